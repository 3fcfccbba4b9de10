package main

import (
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/pool"
)

// TestProbeOfACache: `instance test` says why an instance that is to have a near cache has none.
func TestProbeOfACache(t *testing.T) {
	server := testbed.Redis(t)
	for name, rules := range map[string]string{"fit": "+@all", "untracked": "+@all -client|tracking", "timeless": "+@all -pttl"} {
		args := []any{"acl", "setuser", name, "on", "nopass", "~app:*"}
		for _, rule := range strings.Fields(rules) {
			args = append(args, rule)
		}
		if err := server.Client().Do(t.Context(), args...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, user, want string
		group            pool.Group
	}{
		{"fit", "fit", "", pool.Single},
		{"no tracking", "untracked", "may not run CLIENT TRACKING", pool.Single},
		{"no PTTL", "timeless", "may not run PTTL", pool.Single},
		{"several servers", "fit", "that is for instances of one server", pool.Sentinel},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := redis.NewClient(&redis.Options{Addr: server.Addr, Username: c.user, Password: "x", Protocol: 2, DisableIdentity: true})
			defer client.Close()
			got := strings.Join(cacheWarnings(t.Context(), c.group, client), "; ")
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
