package main

import (
	"strings"
	"testing"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

// reads is how many GETs a server has served.
func reads(t *testing.T, s *testbed.Server) string {
	t.Helper()
	c := s.Client()
	stats := c.Info(t.Context(), "commandstats").Val()
	_, after, found := strings.Cut(stats, "cmdstat_get:calls=")
	if !found {
		return "0"
	}
	calls, _, _ := strings.Cut(after, ",")
	return calls
}

// TestReplicasAreReadFrom has reads go to a replica, and to the primary while none is fit;
// writes, and what is in a transaction, always go to the primary.
func TestReplicasAreReadFrom(t *testing.T) {
	for _, c := range []struct {
		name string
		url  func(t *testing.T, primary *testbed.Server) tenant.Secret
	}{
		{"of a primary", func(_ *testing.T, primary *testbed.Server) tenant.Secret {
			return tenant.Secret("redis://:s3cret@" + primary.Addr + "/0?read_from=prefer_replica")
		}},
		{"known to sentinels", func(t *testing.T, primary *testbed.Server) tenant.Secret {
			return sentinelURL(testbed.Sentinels(t, 1, primary, ""), ":s3cret@", "?read_from=prefer_replica")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			primary := testbed.Redis(t, "--requirepass", "s3cret")
			replica := testbed.Replica(t, primary)
			r := startServe(t, testConfig(t))
			x := talkTo(t, r.addr, r.tenantAt(t, "acme", c.url(t, primary), limits(0, 0)))
			x.send("SET k v")
			x.expect("+OK")
			get := func() {
				t.Helper()
				x.send("GET k")
				if got := x.line(); got == "$1" {
					x.line()
				} else if got != "$-1" { // it may lag behind
					t.Fatalf("GET: %q", got)
				}
			}
			testbed.Eventually(t, "the replica is read from", func() bool { get(); return reads(t, replica) != "0" })
			x.send("MULTI", "GET k", "EXEC")
			x.expect("+OK", "+QUEUED", "*1", "$1", "v")
			if reads(t, primary) == "0" {
				t.Error("a transaction's GET was not the primary's")
			}
			replica.Kill()
			for range 20 {
				get()
			}
			x.send("GET k")
			x.expect("$1", "v")
			replica.Start()
			testbed.Eventually(t, "the replica is read from again", func() bool { get(); return reads(t, replica) != "0" })
		})
	}
}

// TestClusterReplicasAreReadFrom does the same of a cluster.
func TestClusterReplicasAreReadFrom(t *testing.T) {
	c := testbed.NewCluster(t, 3, 1)
	r := startServe(t, testConfig(t))
	x := talkTo(t, r.addr, r.tenantAt(t, "acme", tenant.Secret(c.URL()+"?read_from=prefer_replica"), limits(0, 0)))
	keys := []string{"a", "b", "c", "d", "e", "f"}
	testbed.Eventually(t, "all replicas are read from", func() bool {
		for _, k := range keys {
			x.send("GET " + k)
			x.expect("$-1")
		}
		for _, replica := range c.Replicas {
			if reads(t, replica.Server) == "0" {
				return false
			}
		}
		return true
	})
	before := reads(t, c.Replicas[0].Server)
	for range 10 {
		for _, k := range keys {
			x.send("WATCH "+k, "GET "+k, "UNWATCH")
			x.expect("+OK", "$-1", "+OK")
		}
	}
	if after := reads(t, c.Replicas[0].Server); after != before {
		t.Errorf("a replica was read from %s times before and %s after keys were watched: what it says may be older than the watch", before, after)
	}
}

// TestNearestIsReadFrom has reads go to one server, whichever.
func TestNearestIsReadFrom(t *testing.T) {
	primary := testbed.Redis(t)
	testbed.Replica(t, primary)
	r := startServe(t, testConfig(t))
	x := talkTo(t, r.addr, r.tenantAt(t, "acme", tenant.Secret("redis://"+primary.Addr+"?read_from=nearest"), limits(0, 0)))
	for range 100 {
		x.send("GET k")
		x.expect("$-1")
	}
}
