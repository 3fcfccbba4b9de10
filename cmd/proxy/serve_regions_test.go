package main

import (
	"strings"
	"testing"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

// TestOwnRegionIsReadFrom has two proxies in two regions, each with a replica in its own:
// reads go there, to the other region's when the own one has gone, and come back with it.
func TestOwnRegionIsReadFrom(t *testing.T) {
	primary := testbed.Redis(t)
	east, west := testbed.Replica(t, primary), testbed.Replica(t, primary)
	url := tenant.Secret("redis://" + primary.Addr + "?read_from=prefer_replica&region.eu=" + east.Addr + "&region.us=" + west.Addr + "," + primary.Addr)
	at := map[string]*testbed.Server{"eu": east, "us": west}
	for region, own := range at {
		cfg := testConfig(t)
		cfg.Region = region
		r := startServe(t, cfg)
		x := talkTo(t, r.addr, r.tenantAt(t, "acme", url, limits(0, 0)))
		other := map[*testbed.Server]*testbed.Server{east: west, west: east}[own]
		get := func() {
			t.Helper()
			x.send("GET k")
			x.expect("$-1")
		}
		testbed.Eventually(t, "the own region's replica is read from", func() bool {
			before := reads(t, own)
			get()
			return reads(t, own) != before
		})
		before := reads(t, other)
		for range 20 {
			get()
		}
		if after := reads(t, other); after != before {
			t.Errorf("in %s, of the other region's replica %s keys were read before and %s after", region, before, after)
		}
		if region == "us" {
			continue // its fall back would be its primary
		}
		x.send("SET written 1")
		x.expect("+OK")
		own.Kill()
		for range 20 {
			get()
		}
		own.Start()
		testbed.Eventually(t, "the own region's replica is read from again", func() bool { get(); return reads(t, own) != "0" })
		if !strings.Contains(r.log.String(), "region=eu") {
			t.Error("no line says in which region the proxy is")
		}
	}
}
