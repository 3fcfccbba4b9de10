package metrics

import (
	"testing"
	"time"

	"github.com/respgate/respgate/command"
)

// TestBriefs: what Totals says of each tenant, in short, but of none that is gone.
func TestBriefs(t *testing.T) {
	m, _ := newMetrics(t, 2)
	get, other := command.Lookup([]byte("get")), command.Lookup([]byte("nosuch"))
	for i := range 2 {
		acme := m.Loop(i).Tenant("acme/cache")
		acme.Commands(get, 3)
		acme.Commands(other, 2)
		acme.Error(get, "WRONGTYPE")
		acme.Phase(PhaseBackend, time.Millisecond, 3)
		acme.Phase(PhasePool, time.Millisecond, 5)
		acme.Bytes(100, 200)
		acme.Clients(1)
		acme.RateLimited(7)
	}
	m.AddTenant("idle/cache")
	m.LinkOpened("acme/cache", "shared")
	m.LinkOpened("acme/cache", "pinned")
	m.LinkOpened("acme/cache", "subscriber")
	m.AddTenant("gone/cache")
	m.LinkOpened("gone/cache", "shared")
	m.RemoveTenant("gone/cache")

	all := m.Briefs()
	if len(all) != 2 || all["idle/cache"] == nil || *all["idle/cache"] != (Brief{}) {
		t.Errorf("got %d tenants, an idle one is %+v, want acme/cache and an idle one of nothing", len(all), all["idle/cache"])
	}
	var want Totals
	m.Totals("acme/cache", &want)
	got := all["acme/cache"]
	if got == nil || got.Commands != 10 || got.Errors != want.Errors || got.Limited != want.Limited || got.In != want.In || got.Out != want.Out ||
		got.Backend != want.Phases[PhaseBackend] || got.Clients != want.Clients || got.Links != want.Links {
		t.Errorf("got %+v, want what its totals are: %+v", got, want)
	}
}
