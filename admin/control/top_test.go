package control

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed/stores"
	"github.com/respgate/respgate/tenant"
)

// testTop: tenants in the order that is asked for, an organization's own only.
func testTop(t *testing.T, open stores.Opener) {
	w := newWorld(t, open)
	must[tenant.Organization](t)(w.store.CreateOrganization(t.Context(), tenant.Organization{Name: "acme"}))
	for _, tt := range []struct {
		org   string
		by    Order
		limit int
		want  string
		total int
	}{
		{"", ByRate, 10, "globex/store acme/queue acme/cache acme/jobs", 4},
		{"", ByLatency, 10, "acme/jobs globex/store acme/cache acme/queue", 4},
		{"", ByErrors, 10, "globex/store acme/queue acme/cache acme/jobs", 4},
		{"", ByLimited, 10, "globex/store acme/jobs acme/cache acme/queue", 4},
		{"", ByConnections, 10, "acme/queue globex/store acme/jobs acme/cache", 4},
		{"", ByBytes, 2, "acme/queue globex/store", 4},
		{"acme", ByRate, 10, "acme/queue acme/cache acme/jobs", 3},
		{"acme", ByLimited, 1, "acme/jobs", 3},
	} {
		top := must[TopTenants](t)(w.Top(t.Context(), w.actors["operator"], tt.org, tt.by, tt.limit))
		var got []string
		for _, r := range top.Tenants {
			got = append(got, r.Org+"/"+r.Instance)
		}
		if text := strings.Join(got, " "); text != tt.want || top.Total != tt.total || top.Proxy != "proxy1" || top.At.IsZero() {
			t.Errorf("%s of %q: got %s of %d, proxy %q at %v, want %s of %d", tt.by, tt.org, text, top.Total, top.Proxy, top.At, tt.want, tt.total)
		}
	}
	in := w.instance(t)
	got := ViewInstanceTop(must[InstanceTop](t)(w.InstanceTop(t.Context(), w.actors["viewer"], in.Org, in.Name)), 1)
	if len(got.Commands) != 1 || got.Commands[0].Command != "get of "+in.Label() || len(got.HotKeys) != 1 || got.HotKeys[0].Key != `hot\xff of `+in.ID ||
		got.Proxy != "proxy1" || got.Window != 60 || got.Every != 32 || len(got.Clients) != 1 || got.BigKeys[0].Bytes != 1<<20 || got.BigReplies[0].Bytes != 2<<20 {
		t.Errorf("got %+v, want the first of each list", got)
	}
}

// testSlowLog: an instance's own, until it is reset.
func testSlowLog(t *testing.T, open stores.Opener) {
	w := newWorld(t, open)
	in, other := w.instance(t), w.instance(t)
	entry := tenant.SlowEntry{ID: 7, At: time.Unix(1e9, 0), Command: "get", Args: []string{"GET", "a\x80b"}, Took: 15 * time.Millisecond, Total: 16 * time.Millisecond, Waited: time.Millisecond}
	w.live.SlowLogs = map[string][]tenant.SlowEntry{in.ID: {entry, {ID: 6}}, other.ID: {{ID: 1}}}
	log := must[SlowLog](t)(w.SlowLog(t.Context(), w.actors["viewer"], in.Org, in.Name, 1))
	view := ViewSlowLog(log)
	if len(view.Entries) != 1 || view.Proxy != "proxy1" {
		t.Fatalf("got %+v, want the newest entry", view)
	}
	if e := view.Entries[0]; e.ID != 7 || e.Args[1] != `a\x80b` || e.Took != 15_000 || e.Total != 16_000 || e.Waited != 1000 || e.Ahead != 0 {
		t.Errorf("got %+v, want entry 7", e)
	}
	if err := w.ResetSlowLog(t.Context(), w.actors["admin"], in.Org, in.Name); err != nil {
		t.Fatal(err)
	}
	if e := w.last(t); e.Action != "slowlog.reset" || e.Target != "instance" || e.TargetID != in.ID || e.Name != in.Name || e.Org != in.Org {
		t.Errorf("the event is %+v, want slowlog.reset of %s", e, in.Label())
	}
	for of, want := range map[tenant.Instance]int{in: 0, other: 1} {
		if log := must[SlowLog](t)(w.SlowLog(t.Context(), w.actors["operator"], of.Org, of.Name, 10)); len(log.Entries) != want {
			t.Errorf("%s has %d entries after the reset of %s, want %d", of.Label(), len(log.Entries), in.Label(), want)
		}
	}
}

// testTopOfNoProxy: where no clients are served there is nothing to see.
func testTopOfNoProxy(t *testing.T, open stores.Opener) {
	w := newWorld(t, open, func(c *Config) { c.Live, c.Rates, c.Insight = nil, nil, nil })
	in := w.instance(t)
	ask := func(a Actor) map[string]error {
		return map[string]error{
			"top":      second(w.Top(t.Context(), a, in.Org, ByRate, 10)),
			"instance": second(w.InstanceTop(t.Context(), a, in.Org, in.Name)),
			"slow log": second(w.SlowLog(t.Context(), a, in.Org, in.Name, 10)),
			"reset":    w.ResetSlowLog(t.Context(), a, in.Org, in.Name),
		}
	}
	for what, err := range ask(w.actors["admin"]) {
		if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "serves no clients") {
			t.Errorf("%s: got %v, want that it is unavailable", what, err)
		}
	}
	for what, err := range ask(w.actors["stranger"]) {
		if !errors.Is(err, tenant.ErrNotFound) {
			t.Errorf("%s for a stranger: got %v, want that there is no such organization", what, err)
		}
	}
}
