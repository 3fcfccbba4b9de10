package store

import (
	"reflect"
	"slices"
	"testing"

	"github.com/respgate/respgate/tenant"
)

// testLimits: what bounds a key, an organization and an instance's cache is kept, is in the
// key's grant, and is news to the proxies.
func testLimits(t *testing.T, s *Store) {
	ctx := t.Context()
	const id = "000000000001"
	seed(t, s, "acme", id, "cache")
	for _, step := range []struct {
		name string
		key  tenant.Limits
		org  tenant.Quota
		size int64
	}{
		{"bytes", tenant.Limits{ByteRate: new(int64(1 << 20))}, tenant.Quota{ByteRate: 1 << 30}, 64 << 20},
		{"modes", tenant.Limits{Mode: tenant.LimitDryRun}, tenant.Quota{LimitMode: tenant.LimitDelay}, 0},
		{"the most", tenant.Limits{ByteRate: new(int64(tenant.MaxBytes)), Mode: tenant.LimitReject}, tenant.Quota{ByteRate: tenant.MaxBytes, LimitMode: tenant.LimitReject}, tenant.MaxBytes},
		{"no bytes", tenant.Limits{ByteRate: new(int64(0)), Mode: tenant.LimitDelay}, tenant.Quota{LimitMode: tenant.LimitDryRun}, 1},
		{"nothing of its own", tenant.Limits{}, tenant.Quota{}, 0},
	} {
		before := must[tenant.Changes](t)(s.Changes(ctx, 0))
		must[tenant.Key](t)(s.UpdateKey(ctx, id, func(k *tenant.Key) error { k.Limits = step.key; return nil }))
		must[tenant.Organization](t)(s.UpdateOrganization(ctx, "acme", func(o *tenant.Organization) error { o.Quota = step.org; return nil }))
		must[tenant.Instance](t)(s.UpdateInstance(ctx, "acme", "cache", func(in *tenant.Instance) error { in.CacheBytes = step.size; return nil }))
		g := must[tenant.Grant](t)(s.Grant(ctx, id))
		if !reflect.DeepEqual(g.Key.Limits, step.key) || g.Quota != step.org || g.Routes[0].CacheBytes != step.size {
			t.Errorf("%s: the grant has %+v, %+v and %+v, want %+v, %+v and a cache of %d bytes", step.name, g.Key.Limits, g.Quota, g.Routes, step.key, step.org, step.size)
		}
		o, in := must[tenant.Organization](t)(s.Organization(ctx, "acme")), must[tenant.Instance](t)(s.Instance(ctx, "acme", "cache"))
		if o.Quota != step.org || in.CacheBytes != step.size {
			t.Errorf("%s: read %+v and %+v", step.name, o, in)
		}
		if after := must[tenant.Changes](t)(s.Changes(ctx, before.Seq)); !slices.Contains(after.Keys, id) {
			t.Errorf("%s: the key has not changed", step.name)
		}
	}
	k := tenant.Key{ID: "000000000002", Org: "acme", Name: "web", Instances: []string{"cache"}, Limits: tenant.Limits{ByteRate: new(int64(5)), Mode: tenant.LimitDelay}}
	must[tenant.Key](t)(s.CreateKey(ctx, k))
	if got := must[tenant.Key](t)(s.Key(ctx, k.ID)); !reflect.DeepEqual(got.Limits, k.Limits) {
		t.Errorf("made with %+v, read %+v", k.Limits, got.Limits)
	}
	made := must[tenant.Instance](t)(s.CreateInstance(ctx, tenant.Instance{Org: "acme", Name: "queue", URL: testURL, CacheBytes: 7}))
	if got := must[tenant.Instance](t)(s.Instance(ctx, "acme", "queue")); made.CacheBytes != 7 || got.CacheBytes != 7 {
		t.Errorf("made with a cache of 7 bytes: %+v, read %+v", made, got)
	}
	quota := tenant.Quota{ByteRate: 3, LimitMode: tenant.LimitDelay}
	must[tenant.Organization](t)(s.CreateOrganization(ctx, tenant.Organization{Name: "globex", Quota: quota}))
	if got := must[tenant.Organization](t)(s.Organization(ctx, "globex")); got.Quota != quota {
		t.Errorf("made with %+v, read %+v", quota, got.Quota)
	}
}
