package main

import (
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

// TestWarnings: a backend's user that may run what no tenant should is warned of, and one that
// may not is not, whatever else Redis refuses.
func TestWarnings(t *testing.T) {
	server := testbed.Redis(t)
	if err := server.Client().Do(t.Context(), "ACL", "SETUSER", "guarded", "on", ">secret", "~*", "&*", "+@all", "-@admin", "-@dangerous").Err(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ user, password, want string }{
		{"", "", "its user may run @admin commands (CONFIG, ACL, CLIENT, SLOWLOG, MODULE, LATENCY, CLUSTER): give respgate a user without them (ACL SETUSER … -@admin)"},
		{"guarded", "secret", ""},
	} {
		client := redis.NewClient(&redis.Options{Addr: server.Addr, Username: c.user, Password: c.password, DisableIdentity: true})
		if got := strings.Join(warnings(t.Context(), client), "; "); got != c.want {
			t.Errorf("the user %q: %q, want %q", c.user, got, c.want)
		}
		_ = client.Close()
	}
}

// TestOneNodeOfCluster: an instance that is one node of a cluster by its URL is warned of, since its
// clients get MOVED for what other nodes have.
func TestOneNodeOfCluster(t *testing.T) {
	const want = "it is a node of a cluster"
	cluster := testbed.NewCluster(t, 1, 0)
	cfg, err := loadConfig("")
	if err != nil {
		t.Fatal(err)
	}
	for url, warned := range map[string]bool{"redis://" + cluster.Primaries[0].Addr: true, cluster.URL(): false} {
		p := test(t.Context(), cfg, tenant.Instance{Org: "acme", Name: "cache", URL: tenant.Secret(url)})
		if got := strings.Contains(strings.Join(p.Warnings, "; "), want); !p.Reachable || got != warned {
			t.Errorf("%s: reachable %t, warnings %q: want %q there: %t", url, p.Reachable, p.Warnings, want, warned)
		}
	}
}
