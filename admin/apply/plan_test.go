package apply

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/tenant"
)

// read reads a file that is right.
func read(t testing.TB, text string) []Organization {
	t.Helper()
	all, err := Read("t.yaml", []byte(text), references())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

const before = `
organizations:
- name: acme
  quotas: {max_keys: 3}
  instances:
  - {name: cache, url: env:CACHE_URL}
  - {name: queue, url: redis://10.0.0.6:6379}
  keys:
  - {name: web, instances: [cache], rate: 100, commands: +@all -@dangerous, allow_from: [10.0.0.0/8], expires: 2027-01-31T00:00:00Z}
  - {name: batch, instances: [queue, cache], certificate_name: spiffe://corp/batch}
`

// TestPlan is what it takes to get from before to a file.
func TestPlan(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		prune      bool
		change     func(m *model) // what has been done otherwise
		want       []string
		unchanged  int
	}{
		{name: "the same", text: before, unchanged: 5},
		{name: "the same, otherwise written", unchanged: 3, text: `
organizations:
- name: acme
  instances: [{name: cache, url: file:/run/secrets/cache}]
  keys: [{name: web, instances: [cache], rate: 100, commands: "+@all\n  -@dangerous", allow_from: [10.0.0.0/8, "::ffff:10.0.0.0/104"], expires: 2027-01-31T02:00:00+02:00}]`},
		{name: "the same, pruned", text: before, prune: true, unchanged: 5},
		{name: "nothing of it", text: "organizations: [{name: acme}]", unchanged: 1},
		{name: "no organization", text: "organizations: []", prune: true},
		{name: "what is left out of a key is the default", text: `
organizations: [{name: acme, keys: [{name: web, instances: [cache]}]}]`, unchanged: 1,
			want: []string{"update key acme/web: rate 100 → default, commands +@all -@dangerous → default, allow_from 10.0.0.0/8 → any, expires 2027-01-31T00:00:00Z → never"}},
		{name: "what is left out of quotas is unlimited", text: "organizations: [{name: acme, quotas: {burst: 5}}]",
			want: []string{"update organization acme: max_keys 3 → unlimited, burst as rate → 5"}},
		{name: "values", text: `
organizations: [{name: acme, keys: [{name: batch, instances: [cache, queue], rate: 0, burst: 7, max_connections: 9, certificate_name: other, audit: +@write}]}]`, unchanged: 1,
			want: []string{"update key acme/batch: instances queue,cache → cache,queue, rate default → 0, burst as rate → 7, max_connections unlimited → 9, certificate_name spiffe://corp/batch → other, audit none → +@write"}},
		{name: "slow logs", unchanged: 1, text: `
organizations:
- name: acme
  instances: [{name: cache, url: env:CACHE_URL, slowlog_threshold: 2.5ms}, {name: queue, url: redis://10.0.0.6:6379, slowlog_threshold: off}, {name: jobs, url: redis://h, slowlog_threshold: 0}]`,
			want: []string{"update instance acme/cache: slowlog_threshold default → 2.5ms", "update instance acme/queue: slowlog_threshold default → off", "create instance acme/jobs: url redis://h, slowlog_threshold 0"}},
		{name: "bytes, modes and caches", text: `
organizations: [{name: acme, quotas: {byte_rate: 1GiB, limit_mode: delay}, instances: [{name: cache, url: env:CACHE_URL, cache: 64MiB}], keys: [{name: bytes, instances: [cache], byte_rate: 0, limit_mode: dry_run}]}]`,
			want: []string{"update organization acme: max_keys 3 → unlimited, byte_rate unlimited → 1GiB, limit_mode default → delay",
				"update instance acme/cache: cache none → 64MiB", "create key acme/bytes: instances cache, byte_rate 0, limit_mode dry_run"}},
		{name: "the same slow logs", unchanged: 2, change: func(m *model) { m.all[0].Instances[0].Slowlog = new(1500 * time.Microsecond) }, text: `
organizations: [{name: acme, instances: [{name: cache, url: env:CACHE_URL, slowlog_threshold: 1500us}]}]`},
		{name: "a slow log as the proxies have it", unchanged: 1, change: func(m *model) { m.all[0].Instances[0].Slowlog = new(tenant.SlowlogOff) }, text: `
organizations: [{name: acme, instances: [{name: cache, url: env:CACHE_URL, slowlog_threshold: default}]}]`,
			want: []string{"update instance acme/cache: slowlog_threshold off → default"}},
		{name: "another password", text: before, unchanged: 4, change: func(m *model) { m.all[0].Instances[0].URL = "redis://app:old@10.0.0.5:6379/0" },
			want: []string{"update instance acme/cache: url redis://app:xxxxx@10.0.0.5:6379/0 with another password"}},
		{name: "another place", text: before, unchanged: 4, change: func(m *model) { m.all[0].Instances[0].URL = "redis://app:" + hidden + "@10.0.0.7:6379/0" },
			want: []string{"update instance acme/cache: url redis://app:xxxxx@10.0.0.7:6379/0 → redis://app:xxxxx@10.0.0.5:6379/0"}},
		{name: "a password instead of none", text: before, unchanged: 4, change: func(m *model) { m.all[0].Instances[0].URL = "redis://app@10.0.0.5:6379/0" },
			want: []string{"update instance acme/cache: url redis://app@10.0.0.5:6379/0 → redis://app:xxxxx@10.0.0.5:6379/0"}},
		{name: "a new organization", text: `
organizations:
- name: globex
  quotas: {max_instances: 1}
  instances: [{name: store, url: env:CACHE_URL}]
  keys: [{name: web, instances: [store], rate: 0}]`, prune: true,
			want: []string{"create organization globex: max_instances 1", "create instance globex/store: url redis://app:xxxxx@10.0.0.5:6379/0", "create key globex/web: instances store, rate 0"}},
		{name: "a key is revoked", text: before, unchanged: 4, change: func(m *model) { m.all[0].Keys[0].RevokedAt = time.Unix(1, 0) },
			want: []string{"create key acme/web: instances cache, rate 100, commands +@all -@dangerous, allow_from 10.0.0.0/8, expires 2027-01-31T00:00:00Z"}},
		{name: "pruned: keys first, then what they opened", text: `
organizations: [{name: acme, instances: [{name: cache, url: env:CACHE_URL}]}]`, prune: true, unchanged: 2,
			want: []string{"delete key acme/batch", "delete key acme/web", "delete instance acme/queue"}},
		{name: "pruned: what a key opens until it is changed, last", text: `
organizations:
- name: acme
  instances: [{name: cache, url: env:CACHE_URL}]
  keys: [{name: batch, instances: [cache], certificate_name: spiffe://corp/batch}]`, prune: true, unchanged: 2,
			want: []string{"delete key acme/web", "update key acme/batch: instances queue,cache → cache", "delete instance acme/queue"}},
		{name: "pruned: makes room", text: `
organizations:
- name: acme
  quotas: {max_instances: 1, max_keys: 1}
  instances: [{name: new, url: redis://h}]
  keys: [{name: new, instances: [new]}]`, prune: true,
			want: []string{"update organization acme: max_instances unlimited → 1, max_keys 3 → 1", "delete key acme/batch", "delete key acme/web",
				"delete instance acme/cache", "delete instance acme/queue", "create instance acme/new: url redis://h", "create key acme/new: instances new"}},
		{name: "pruned: what only revoked keys open", text: "organizations: [{name: acme}]", prune: true, unchanged: 1, change: func(m *model) {
			m.all[0].Keys[0].RevokedAt, m.all[0].Keys[1].RevokedAt = time.Unix(1, 0), time.Unix(1, 0)
		}, want: []string{"delete instance acme/cache", "delete instance acme/queue"}},
		{name: "a certificate's name goes to another key", text: `
organizations:
- name: acme
  keys:
  - {name: api, instances: [cache], certificate_name: spiffe://corp/batch}
  - {name: batch, instances: [queue, cache]}`, unchanged: 1,
			want: []string{"update key acme/batch: certificate_name spiffe://corp/batch → none", "create key acme/api: instances cache, certificate_name spiffe://corp/batch"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := &model{}
			if _, err := m.apply(read(t, before), false); err != nil {
				t.Fatal(err)
			}
			if tt.change != nil {
				tt.change(m)
			}
			plan, err := m.apply(read(t, tt.text), tt.prune)
			if err != nil {
				t.Fatal(err)
			}
			got := []string{}
			for _, s := range plan.Steps {
				got = append(got, s.String())
			}
			if !slices.Equal(got, tt.want) || plan.Unchanged != tt.unchanged {
				t.Errorf("got  %s\nand %d unchanged, want %s\nand %d", strings.Join(got, "\n     "), plan.Unchanged, strings.Join(tt.want, "\n     "), tt.unchanged)
			}
			raw, err := json.Marshal(plan)
			if err != nil || strings.Contains(string(raw), hidden) || strings.Contains(string(raw), "[redacted]") {
				t.Errorf("as JSON: %s, %v, want no secret and no hole", raw, err)
			}
			if again, err := m.apply(read(t, tt.text), tt.prune); err != nil || len(again.Steps) > 0 {
				t.Errorf("again: %v, %v, want nothing to do", again.Steps, err)
			}
		})
	}
}

// TestPlanAsJSON: what programs read.
func TestPlanAsJSON(t *testing.T) {
	m := &model{}
	if _, err := m.apply(read(t, before), false); err != nil {
		t.Fatal(err)
	}
	m.all[0].Instances[0].URL = "redis://app:old@10.0.0.5:6379/0"
	plan, err := m.apply(read(t, `
organizations:
- name: acme
  instances: [{name: cache, url: env:CACHE_URL}]
  keys: [{name: web, instances: [cache], rate: 5, expires: 2027-01-31T00:00:00Z}]`), true)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"steps":[` +
		`{"action":"delete","kind":"key","org":"acme","name":"batch"},` +
		`{"action":"delete","kind":"instance","org":"acme","name":"queue"},` +
		`{"action":"update","kind":"instance","org":"acme","name":"cache","changes":[{"field":"url","before":"redis://app:xxxxx@10.0.0.5:6379/0","after":"redis://app:xxxxx@10.0.0.5:6379/0","hidden":true}]},` +
		`{"action":"update","kind":"key","org":"acme","name":"web","changes":[{"field":"rate","before":100,"after":5},` +
		`{"field":"commands","before":"+@all -@dangerous","after":null},{"field":"allow_from","before":["10.0.0.0/8"],"after":[]}]}],"unchanged":1}`
	if got, err := json.Marshal(plan); err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
	if got, err := json.Marshal(Plan{Steps: []Step{}}); err != nil || string(got) != `{"steps":[],"unchanged":0}` {
		t.Errorf("nothing is %s, %v", got, err)
	}
}

// TestPlanRefuses: what cannot be is found before anything is changed.
func TestPlanRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		prune      bool
		change     func(m *model)
		want       string
	}{
		{name: "an instance that is nowhere", text: "organizations:\n- name: acme\n  keys:\n  - name: web\n    instances: [cache, nosuch]",
			want: `t.yaml:5: organizations[acme].keys[web].instances: there is no instance "nosuch", and none in the file`},
		{name: "an instance that is pruned", prune: true, text: "organizations: [{name: acme, keys: [{name: web, instances: [cache]}]}]",
			want: `t.yaml:1: organizations[acme].keys[web].instances: instance "cache" is to be deleted, since it is not in the file`},
		{name: "an instance of another organization", text: "organizations: [{name: globex, keys: [{name: web, instances: [cache]}]}]",
			want: `organizations[globex].keys[web].instances: there is no instance "cache", and none in the file`},
		{name: "two keys of one name", text: before, change: func(m *model) {
			k := m.all[0].Keys[0]
			k.ID = "another"
			m.all[0].Keys = append(m.all[0].Keys, k)
		}, want: "organization acme has 2 keys that are called web: rename, revoke or delete all but one"},
		{name: "a certificate's name of a key that stays", text: "organizations: [{name: globex, instances: [{name: i, url: redis://h}], keys: [{name: a, instances: [i], certificate_name: spiffe://corp/batch}]}, {name: acme}]",
			want: `key globex/a: certificate name "spiffe://corp/batch" is that of key acme/batch, which is not in the file`},
		{name: "too many keys", text: "organizations: [{name: acme, keys: [{name: a, instances: [cache]}, {name: b, instances: [cache]}]}]",
			want: "organization acme may have 3 keys, and would have 4"},
		{name: "too many keys, pruned", prune: true, text: "organizations: [{name: acme, quotas: {max_keys: 1}, instances: [{name: i, url: redis://h}], keys: [{name: a, instances: [i]}, {name: b, instances: [i]}]}]",
			want: "organization acme may have 1 keys, and would have 2"},
		{name: "too many instances", text: "organizations: [{name: acme, quotas: {max_instances: 2}, instances: [{name: i, url: redis://h}]}]",
			want: "organization acme may have 2 instances, and would have 3"},
		{name: "several", text: "organizations: [{name: acme, quotas: {max_instances: 2}, instances: [{name: i, url: redis://h}], keys: [{name: web, instances: [nosuch]}]}]",
			want: "and none in the file\norganization acme may have 2 instances"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := &model{}
			if _, err := m.apply(read(t, before), false); err != nil {
				t.Fatal(err)
			}
			if tt.change != nil {
				tt.change(m)
			}
			if plan, err := m.apply(read(t, tt.text), tt.prune); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, %v, want an error with %q", plan.Steps, err, tt.want)
			}
		})
	}
}

// TestLowerQuota: fewer than there are is no mistake, as long as none comes.
func TestLowerQuota(t *testing.T) {
	m := &model{}
	if _, err := m.apply(read(t, before), false); err != nil {
		t.Fatal(err)
	}
	if plan, err := m.apply(read(t, strings.Replace(before, "max_keys: 3", "max_keys: 1, max_instances: 1", 1)), false); err != nil || len(plan.Steps) != 1 {
		t.Errorf("got %v, %v, want the quota changed", plan.Steps, err)
	}
}

// TestCurrentAsksLittle: a URL is compared only where it cannot be told from what is shown.
func TestCurrentAsksLittle(t *testing.T) {
	m := &model{}
	if _, err := m.apply(read(t, before), false); err != nil {
		t.Fatal(err)
	}
	c := &counting{model: m}
	wanted := read(t, before+"  - {name: third, instances: [cache]}\n")
	wanted[0].Instances = append(wanted[0].Instances, Instance{Name: "new", URL: "redis://:x@h"})
	if _, err := Current(t.Context(), c, wanted); err != nil || !slices.Equal(c.asked, []string{"acme/cache"}) {
		t.Errorf("asked for %v, %v, want the one with a password that there is", c.asked, err)
	}
	m.all[0].Instances[0].URL = tenant.Secret(strings.Replace(m.all[0].Instances[0].URL.Reveal(), "10.0.0.5", "10.0.0.9", 1))
	c.asked = nil
	if _, err := Current(t.Context(), c, wanted); err != nil || len(c.asked) > 0 {
		t.Errorf("asked for %v, %v, want none where another host is shown", c.asked, err)
	}
}
