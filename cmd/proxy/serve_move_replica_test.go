package main

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

// TestMoveByReplica does under load, at two proxies, what docs/REGIONS.md says of larger data: the
// new backend is a replica of the old one, and takes its place while the instance is paused. No
// command fails, is lost or runs twice, and who writes to the old one is refused.
func TestMoveByReplica(t *testing.T) {
	cfg := testConfig(t)
	cfg.Loops, cfg.Pool.StallTimeout = 1, 2*time.Second
	east, west := startServe(t, cfg), startServe(t, cfg)
	old := testbed.Redis(t)
	key := east.tenant(t, "acme", old.Addr, nil)
	atEast := newOperator(t, east, testbed.Redis(t).Addr)
	atWest := operator{t, west.addr, atEast.key}
	loads := []*countingClients{startCounting(t, east.addr, key, "east", 2), startCounting(t, west.addr, key, "west", 2)}
	blocked := newSpeaker(t, west.addr, key)
	blocked.say("BLPOP nothing 0")
	following := []*speaker{newSpeaker(t, east.addr, key), newSpeaker(t, west.addr, key)} // they are disconnected then
	for i, load := range loads {
		following[i].ask("SUBSCRIBE news")
		load.goOn("clients count")
	}
	fresh := testbed.Replica(t, old)
	testbed.Eventually(t, "the replica has all", func() bool {
		return strings.Contains(old.Client().Info(t.Context(), "replication").Val(), "state=online")
	})

	atEast.want("OK", "PROXY", "PAUSE", "acme/cache", "60000")
	atWest.want("ERR 'acme/cache' is paused, and 1 of its commands and transactions have not ended yet", "PROXY", "PAUSE", "acme/cache", "60000")
	host, port, _ := net.SplitHostPort(fresh.Addr)
	if err := old.Client().Do(t.Context(), "FAILOVER", "TO", host, port, "TIMEOUT", "10000").Err(); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "the failover has ended", func() bool {
		return strings.Contains(old.Client().Info(t.Context(), "replication").Val(), "master_failover_state:no-failover")
	})
	if got := blocked.hear(); !strings.HasPrefix(got, "-UNBLOCKED ") {
		t.Errorf("a client that blocks is told %q", got)
	}
	if err := old.Client().Set(t.Context(), "k", "lost", 0).Err(); err == nil || !strings.HasPrefix(err.Error(), "READONLY ") {
		t.Errorf("a write to the old backend: %v", err)
	}
	if _, err := east.store.UpdateInstance(t.Context(), "acme", "cache", at(tenant.Secret("redis://"+fresh.Addr))); err != nil {
		t.Fatal(err)
	}
	for _, s := range following {
		if got := s.hear(); got != "EOF" {
			t.Errorf("a subscriber hears %q, want the end", got)
		}
	}
	atEast.want("OK", "PROXY", "RESUME", "acme/cache")
	atWest.want("OK", "PROXY", "RESUME", "acme/cache")

	for _, load := range loads {
		load.goOn("clients count at the new backend")
		load.stop()
		load.running.Wait()
		got := int64(0)
		for i := range 2 {
			n, err := fresh.Client().Get(t.Context(), fmt.Sprint("counter:", load.names, i)).Int64()
			if err != nil {
				t.Fatal(err)
			}
			got += n
		}
		if got != load.counted.Load() || load.failed.Load() > 0 {
			t.Errorf("%s: Redis has counted %d, the clients %d; %d failed", load.names, got, load.counted.Load(), load.failed.Load())
		}
	}
}
