package store

import (
	"slices"
	"testing"
	"time"

	"github.com/respgate/respgate/tenant"
)

// testSlowlogThreshold: an instance has one of its own or none, its routes have it too, and
// keys that open it have changed when it has.
func testSlowlogThreshold(t *testing.T, s *Store) {
	ctx := t.Context()
	const id = "000000000001"
	seed(t, s, "acme", id, "cache")
	for _, step := range []struct {
		name    string
		set     *time.Duration
		want    string
		version int64
		changes bool
	}{
		{"it has none", nil, "default", 1, false},
		{"one of its own", new(10 * time.Millisecond), "10ms", 2, true},
		{"the same again", new(10 * time.Millisecond), "10ms", 2, false},
		{"every command", new(time.Duration(0)), "0", 3, true},
		{"no command", new(-time.Hour), "off", 4, true},
		{"no command, said otherwise", new(tenant.SlowlogOff), "off", 4, false},
		{"the longest", new(tenant.MaxSlowlogThreshold), "24h0m0s", 5, true},
		{"none again", nil, "default", 6, true},
	} {
		before := must[tenant.Changes](t)(s.Changes(ctx, 0))
		changed, err := s.UpdateInstance(ctx, "acme", "cache", func(in *tenant.Instance) error { in.SlowlogThreshold = step.set; return nil })
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		read := must[tenant.Instance](t)(s.Instance(ctx, "acme", "cache"))
		route := must[tenant.Grant](t)(s.Grant(ctx, id)).Routes[0]
		for of, got := range map[string]*time.Duration{"changed": changed.SlowlogThreshold, "read": read.SlowlogThreshold, "route": route.SlowlogThreshold} {
			if text := tenant.FormatSlowlogThreshold(got); text != step.want {
				t.Errorf("%s, %s: got %s, want %s", step.name, of, text, step.want)
			}
		}
		after := must[tenant.Changes](t)(s.Changes(ctx, before.Seq))
		if told := slices.Contains(after.Keys, id); read.Version != step.version || told != step.changes {
			t.Errorf("%s: version %d, its keys have changed: %t, want version %d, %t", step.name, read.Version, told, step.version, step.changes)
		}
	}
	made := must[tenant.Instance](t)(s.CreateInstance(ctx, tenant.Instance{Org: "acme", Name: "queue", URL: testURL, SlowlogThreshold: new(time.Second)}))
	all := must[[]tenant.Instance](t)(s.Instances(ctx, "acme", Page{}))
	if len(all) != 2 || made.SlowlogThreshold == nil || *all[1].SlowlogThreshold != time.Second || all[0].SlowlogThreshold != nil {
		t.Errorf("made with one: %+v, listed %+v, want a second of it, and none of the other", made, all)
	}
}
