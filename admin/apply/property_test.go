package apply

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/tenant"
)

// counting is a model that remembers which URLs were asked for.
type counting struct {
	*model
	asked []string
}

// SameURL implements Source.
func (c *counting) SameURL(ctx context.Context, org, instance string, url tenant.Secret) (bool, error) {
	c.asked = append(c.asked, org+"/"+instance)
	return c.model.SameURL(ctx, org, instance, url)
}

// TestPlanProperty: whatever there is and is wanted, doing the plan leaves nothing to do,
// what is wanted is there then, and what was there besides is there still, unless pruned.
func TestPlanProperty(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		m := &model{}
		for range 1 + r.IntN(4) {
			wanted, prune := draw(r), r.IntN(2) == 0
			was := m.names()
			plan, err := m.apply(wanted, prune)
			if err != nil && strings.HasSuffix(err.Error(), "which is not in the file") {
				continue // a certificate's name
			}
			if err != nil {
				t.Fatalf("seed %d: %v\n%v", seed, err, plan.Steps)
			}
			if again, err := m.apply(wanted, prune); err != nil || len(again.Steps) > 0 {
				t.Fatalf("seed %d: again %v, %v, want nothing to do", seed, again.Steps, err)
			}
			missing := m.missing(t, wanted)
			if !prune {
				is := m.names()
				missing = append(missing, slices.DeleteFunc(was, func(name string) bool { return slices.Contains(is, name) })...)
			}
			if len(missing) > 0 {
				t.Fatalf("seed %d: %v are not there", seed, missing)
			}
			m.revoke(r)
		}
	}
}

// TestStoppedPlan: a plan that was stopped anywhere is completed by the next one.
func TestStoppedPlan(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		m := &model{}
		if _, err := m.apply(draw(r), false); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		wanted := draw(r)
		current, err := Current(t.Context(), m, wanted)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := New(wanted, current, true)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for _, s := range plan.Steps[:r.IntN(len(plan.Steps)+1)] {
			if err := m.do(s); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		if _, err := m.apply(wanted, true); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if missing := m.missing(t, wanted); len(missing) > 0 {
			t.Fatalf("seed %d: %v are not there", seed, missing)
		}
	}
}

// draw draws what is wanted: of few names, so that much is there already.
func draw(r *rand.Rand) (all []Organization) {
	for _, name := range some(r, "acme", "globex") {
		o := Organization{Name: name, HasQuota: r.IntN(2) == 0}
		if o.HasQuota {
			o.Quota = tenant.Quota{MaxMembers: r.IntN(3), Rate: r.IntN(2) * 100, Burst: r.IntN(2), ByteRate: int64(r.IntN(2)) << 20, LimitMode: tenant.LimitMode(r.IntN(4))}
		}
		names := some(r, "cache", "queue", "store", "jobs")
		for _, name := range names {
			o.Instances = append(o.Instances, Instance{Name: name, URL: pick(r, tenant.Secret("redis://:one@h"), "redis://:two@h", "redis://h", "redis://user@h:1/2", "redis-sentinel://h/m?sentinel_password=three"),
				Slowlog: pick(r, nil, new(tenant.SlowlogOff), new(time.Duration(0)), new(time.Second)), CacheBytes: int64(r.IntN(2)) << 20})
		}
		shared := r.IntN(4)
		for i, name := range some(r, "web", "api", "batch", "admin") {
			if len(names) == 0 {
				break
			}
			k := Key{Key: tenant.Key{Name: name, Limits: tenant.Limits{Rate: pick(r, nil, number(0), number(5)), Burst: pick(r, nil, number(0), number(9)), ByteRate: pick(r, nil, new(int64(0)), new(int64(7))), Mode: tenant.LimitMode(r.IntN(4))},
				Commands: pick(r, "", "+@read", "+@all  -@dangerous"), Audit: pick(r, "", "+@write"), MaxConnections: r.IntN(2), ExpiresAt: pick(r, time.Time{}, time.Unix(1e9, 5e6).UTC())}}
			k.Instances = slices.Clone(names)
			r.Shuffle(len(names), func(i, j int) { k.Instances[i], k.Instances[j] = k.Instances[j], k.Instances[i] })
			k.Instances = k.Instances[:1+r.IntN(len(names))]
			if r.IntN(2) == 0 {
				k.AllowFrom, _ = tenant.ParseNetworks("10.0.0.0/8,192.0.2.1")
			}
			if i == shared {
				k.CertificateName = "spiffe://" + o.Name
			}
			o.Keys = append(o.Keys, k)
		}
		all = append(all, o)
	}
	return all
}

func pick[T any](r *rand.Rand, all ...T) T { return all[r.IntN(len(all))] }

// some draws some of all, in any order.
func some(r *rand.Rand, all ...string) []string {
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:r.IntN(len(all)+1)]
}

// names are those of all that there is, but for keys that are revoked.
func (m *model) names() (all []string) {
	for _, o := range m.all {
		all = append(all, o.Name)
		for _, in := range o.Instances {
			all = append(all, o.Name+"/"+in.Name)
		}
		for _, k := range o.Keys {
			if k.RevokedAt.IsZero() {
				all = append(all, "key "+o.Name+"/"+k.Name)
			}
		}
	}
	return all
}

// missing is what is wanted and not there just so.
func (m *model) missing(t *testing.T, wanted []Organization) (missing []string) {
	t.Helper()
	for _, w := range wanted {
		o, err := m.organization(w.Name)
		if err != nil || w.HasQuota && o.Quota != w.Quota {
			missing = append(missing, w.Name)
			continue
		}
		for _, in := range w.Instances {
			if same, err := m.SameURL(t.Context(), w.Name, in.Name, in.URL); err != nil || !same {
				missing = append(missing, w.Name+"/"+in.Name)
			}
		}
		for _, k := range w.Keys {
			i := slices.IndexFunc(o.Keys, func(has Key) bool { return has.Name == k.Name && has.RevokedAt.IsZero() })
			if i < 0 {
				missing = append(missing, "key "+w.Name+"/"+k.Name)
				continue
			}
			got := o.Keys[i].Key
			got.ID, got.Version = "", 0
			got.Commands, k.Commands = strings.Join(strings.Fields(got.Commands), " "), strings.Join(strings.Fields(k.Commands), " ")
			if !reflect.DeepEqual(got, k.Key) {
				missing = append(missing, fmt.Sprintf("%+v (but %+v)", k.Key, got))
			}
		}
	}
	return missing
}

// revoke ends a key here and there.
func (m *model) revoke(r *rand.Rand) {
	for i := range m.all {
		for j := range m.all[i].Keys {
			if r.IntN(6) == 0 {
				m.all[i].Keys[j].RevokedAt = time.Unix(1, 0)
			}
		}
	}
}

// TestCurrentPassesErrorsOn: with what was asked for.
func TestCurrentPassesErrorsOn(t *testing.T) {
	wanted := []Organization{{Name: "acme", Instances: []Instance{{Name: "cache", URL: "redis://:x@h"}}}}
	failed := errors.New("the store cannot be asked")
	for want, source := range map[string]failing{
		"organization acme: the store":   {first: failed},
		"instance acme/cache: the store": {second: failed},
	} {
		if _, err := Current(t.Context(), source, wanted); !errors.Is(err, failed) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// failing is a Source that fails.
type failing struct{ first, second error }

// Organization implements Source.
func (f failing) Organization(context.Context, string) (Organization, bool, error) {
	return Organization{Name: "acme", Instances: []Instance{{Name: "cache", URL: "redis://:xxxxx@h"}}}, true, f.first
}

// SameURL implements Source.
func (f failing) SameURL(context.Context, string, string, tenant.Secret) (bool, error) {
	return false, f.second
}
