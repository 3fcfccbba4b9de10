package main

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"regexp"
	"testing"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

// TestDevShowsTheConsole: what it prints is where the console is and a token that lets in,
// unless somebody has chosen one, who knows it.
func TestDevShowsTheConsole(t *testing.T) {
	for _, c := range []struct{ name, configured, want string }{
		{"a token is made", "", `[A-Z0-9]{52}`},
		{"a token is configured", "the operator's own token, long enough", `the one of http\.admin_token`},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := testConfig(t)
			cfg.HTTP.AdminToken = tenant.Secret(c.configured)
			ctx, cancel := context.WithCancel(t.Context())
			var out testbed.Buffer
			ended := make(chan error, 1)
			go func() { ended <- (&app{stdout: &out, stderr: io.Discard}).dev(ctx, cfg) }()
			var said []string
			testbed.Eventually(t, "it says where the console is", func() bool {
				said = regexp.MustCompile(`console   http://(\S+)/console\n  token     (` + c.want + `)\n`).FindStringSubmatch(out.String())
				return said != nil
			})
			defer http.DefaultClient.CloseIdleConnections()
			token := cmp.Or(c.configured, said[2])
			if status := (apiClient{said[1], token}).call(t, "GET", "/api/v1/organizations/demo", "", nil); status != http.StatusOK {
				t.Errorf("the token: got %d, want 200", status)
			}
			if status, page := httpGet(t, "http://"+said[1]+"/console"); status != http.StatusOK {
				t.Errorf("the console: got %d %s, want 200", status, page)
			}
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}
