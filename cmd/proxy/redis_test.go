package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

// TestServerWithoutAUTH: a server that knows no AUTH says what it was given, and that is the
// instance's password: who copies keys is not shown it.
func TestServerWithoutAUTH(t *testing.T) {
	server := testbed.NewScriptedCluster(t, 1, func(_ int, command []string) string {
		return fmt.Sprintf("-ERR unknown command `%s`, with args beginning with: `%s`, \r\n", command[0], strings.Join(command[1:], "`, `"))
	})
	cfg := testConfig(t)
	r, err := openRedis(t.Context(), cfg, tenant.Secret("redis://:hunter2@"+server.Addrs[0]))
	if err == nil {
		t.Cleanup(func() { _ = r.Close() })
		_, err = r.Info(t.Context())
	}
	if got, want := fmt.Sprint(err), "it answered WRONGPASS"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
