package store

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/respgate/respgate/tenant"
)

// contract is what every driver has to keep. open returns a new, empty store; it is
// closed when the test ends.
func contract(t *testing.T, open func(testing.TB, Observer) *Store) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *Store)
	}{
		{"organizations", testOrganizations},
		{"instances", testInstances},
		{"keys", testKeys},
		{"access", testAccess},
		{"grants", testGrants},
		{"changes", testChanges},
		{"forgotten changes", testForgottenChanges},
		{"certificates", testCertificates},
		{"bad values", testBadValues},
		{"a cancelled context", testCancelled},
		{"concurrent writers", testConcurrentWriters},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t, nil)) })
	}
	t.Run("observed queries", func(t *testing.T) {
		seen := &queries{}
		testObserved(t, open(t, seen), seen)
	})
}

const testURL = tenant.Secret("redis://user:hunter2-password@10.0.0.5:6379/0")

// must fails the test when a step that only prepares it fails.
func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func wantError(t *testing.T, err, kind error, words string) {
	t.Helper()
	if !errors.Is(err, kind) || !strings.Contains(err.Error(), words) {
		t.Errorf("got error %v, want a %v with %q", err, kind, words)
	}
}

func names[T any](all []T, name func(T) string) string {
	var s []string
	for _, v := range all {
		s = append(s, name(v))
	}
	return strings.Join(s, " ")
}

// seed makes organization org with the instances and one key, with id, to all of them.
func seed(t testing.TB, s *Store, org, id string, instances ...string) tenant.Key {
	t.Helper()
	ctx := t.Context()
	if _, err := s.Organization(ctx, org); err != nil {
		must[tenant.Organization](t)(s.CreateOrganization(ctx, tenant.Organization{Name: org}))
	}
	for _, name := range instances {
		must[tenant.Instance](t)(s.CreateInstance(ctx, org, name, testURL))
	}
	return must[tenant.Key](t)(s.CreateKey(ctx, tenant.Key{ID: id, SecretHash: [32]byte{1, 2, 3}, Org: org, Instances: instances, Name: "web"}))
}

func testOrganizations(t *testing.T, s *Store) {
	ctx := t.Context()
	acme, err := s.CreateOrganization(ctx, tenant.Organization{Name: "acme"})
	if err != nil || acme.Name != "acme" || !validID(acme.ID) || time.Since(acme.CreatedAt).Abs() > time.Minute {
		t.Fatalf("created %+v, %v", acme, err)
	}
	_, err = s.CreateOrganization(ctx, tenant.Organization{Name: "acme"})
	wantError(t, err, ErrConflict, `organization "acme" exists already`)
	if got, err := s.Organization(ctx, "acme"); err != nil || got != acme {
		t.Errorf("read %+v, %v, want %+v", got, err, acme)
	}
	_, err = s.Organization(ctx, "nosuch")
	wantError(t, err, tenant.ErrNotFound, `organization "nosuch" not found`)
	must[tenant.Organization](t)(s.CreateOrganization(ctx, tenant.Organization{Name: "globex"}))
	if got, err := s.UpdateOrganization(ctx, "acme", rename("zenith")); err != nil || got.Name != "zenith" || got.ID != acme.ID {
		t.Errorf("renamed %+v, %v", got, err)
	}
	_, err = s.UpdateOrganization(ctx, "zenith", rename("globex"))
	wantError(t, err, ErrConflict, `"globex" exists already`)
	all, err := s.Organizations(ctx)
	if got := names(all, func(o tenant.Organization) string { return o.Name }); err != nil || got != "globex zenith" {
		t.Errorf("listed %s, %v", got, err)
	}
	seed(t, s, "zenith", "000000000001", "cache")
	wantError(t, s.DeleteOrganization(ctx, "zenith", false), ErrConflict, "1 instances and 1 keys")
	for _, name := range []string{"zenith", "globex"} {
		if err := s.DeleteOrganization(ctx, name, name == "zenith"); err != nil {
			t.Errorf("delete %s: %v", name, err)
		}
	}
	wantError(t, s.DeleteOrganization(ctx, "zenith", true), tenant.ErrNotFound, "zenith")
	if got, err := s.Counts(ctx); err != nil || got != (tenant.Counts{}) {
		t.Errorf("after all is deleted there are %+v, %v", got, err)
	}
}

func testInstances(t *testing.T, s *Store) {
	ctx := t.Context()
	_, err := s.CreateInstance(ctx, "acme", "cache", testURL)
	wantError(t, err, tenant.ErrNotFound, `organization "acme" not found`)
	seed(t, s, "acme", "000000000001", "cache", "queue")
	seed(t, s, "acme", "000000000002", "jobs")
	seed(t, s, "globex", "000000000003", "cache")
	_, err = s.CreateInstance(ctx, "acme", "cache", testURL)
	wantError(t, err, ErrConflict, `instance "cache" of organization "acme" exists already`)
	in, err := s.Instance(ctx, "acme", "cache")
	if err != nil || in.Label() != "acme/cache" || in.URL != testURL {
		t.Errorf("read %+v (%v), %v", in, in.URL == testURL, err)
	}
	_, err = s.Instance(ctx, "acme", "nosuch")
	wantError(t, err, tenant.ErrNotFound, `instance "nosuch" of organization "acme" not found`)
	_, err = s.Instance(ctx, "nosuch", "cache")
	wantError(t, err, tenant.ErrNotFound, `organization "nosuch" not found`)
	label := tenant.Instance.Label
	if all, err := s.Instances(ctx, ""); err != nil || names(all, label) != "acme/cache acme/jobs acme/queue globex/cache" {
		t.Errorf("all: %s, %v", names(all, label), err)
	}
	if all, err := s.Instances(ctx, "globex"); err != nil || names(all, label) != "globex/cache" {
		t.Errorf("globex's: %s, %v", names(all, label), err)
	}
	_, err = s.Instances(ctx, "nosuch")
	wantError(t, err, tenant.ErrNotFound, "nosuch")
	if in, err := s.SetInstanceURL(ctx, "acme", "cache", "redis://elsewhere"); err != nil || in.URL != "redis://elsewhere" {
		t.Errorf("set URL: %v, %v", in.URL.Reveal(), err)
	}
	wantError(t, s.DeleteInstance(ctx, "acme", "queue", false), ErrConflict, "opened by 1 keys")
	if err := s.DeleteInstance(ctx, "acme", "queue", true); err != nil {
		t.Error(err)
	}
	if k, err := s.Key(ctx, "000000000001"); err != nil || !slices.Equal(k.Instances, []string{"cache"}) {
		t.Errorf("a key that opened it too: %+v, %v", k, err)
	}
	if err := s.DeleteInstance(ctx, "acme", "jobs", true); err != nil {
		t.Error(err)
	}
	_, err = s.Key(ctx, "000000000002")
	wantError(t, err, tenant.ErrNotFound, `key "000000000002" not found`)
}

func testKeys(t *testing.T, s *Store) {
	ctx := t.Context()
	made := seed(t, s, "acme", "000000000001", "cache", "queue")
	if got, err := s.Key(ctx, made.ID); err != nil || got.Limits.Rate != nil || got.SecretHash != made.SecretHash || !slices.Equal(got.Instances, made.Instances) || !got.CreatedAt.Equal(made.CreatedAt) {
		t.Errorf("read %+v, %v, want %+v", got, err, made)
	}
	_, err := s.CreateKey(ctx, made)
	wantError(t, err, ErrConflict, "key 000000000001 exists already")
	rate, burst, expires := 5, 0, time.Now().Add(time.Hour)
	changed, err := s.UpdateKey(ctx, made.ID, func(k *tenant.Key) error {
		k.Name, k.Limits.Rate, k.Limits.Burst, k.Commands, k.Instances, k.ExpiresAt = "api", &rate, &burst, "+get", []string{"queue"}, expires
		k.SecretHash, k.Org, k.ID, k.RevokedAt = [32]byte{9}, "other", "other", expires // are not for it to change
		return nil
	})
	if err != nil || changed.SecretHash != made.SecretHash || changed.Org != "acme" || !changed.RevokedAt.IsZero() {
		t.Errorf("changed %+v, %v", changed, err)
	}
	got := must[tenant.Key](t)(s.Key(ctx, made.ID))
	if got.Name != "api" || *got.Limits.Rate != 5 || *got.Limits.Burst != 0 || got.Commands != "+get" || !slices.Equal(got.Instances, []string{"queue"}) || !got.ExpiresAt.Equal(expires.UTC().Truncate(time.Millisecond)) {
		t.Errorf("after the change: %+v", got)
	}
	no := errors.New("no")
	if _, err := s.UpdateKey(ctx, made.ID, func(k *tenant.Key) error { k.Name = "x"; return no }); !errors.Is(err, no) {
		t.Errorf("a refused change: %v", err)
	}
	if got := must[tenant.Key](t)(s.Key(ctx, made.ID)); got.Name != "api" {
		t.Errorf("after a refused change: %+v", got)
	}
	if got, err := s.RotateKey(ctx, made.ID, [32]byte{7}); err != nil || got.SecretHash != [32]byte{7} {
		t.Errorf("rotated %+v, %v", got, err)
	}
	seed(t, s, "globex", "000000000002", "cache")
	if n, err := s.ResetLimits(ctx, ""); err != nil || n != 2 {
		t.Errorf("reset %d keys, %v, want 2", n, err)
	}
	if n, err := s.ResetLimits(ctx, made.ID); err != nil || n != 1 || must[tenant.Key](t)(s.Key(ctx, made.ID)).Limits.Reset != 2 {
		t.Errorf("reset %d, %v", n, err)
	}
	revoked, err := s.RevokeKey(ctx, made.ID)
	if err != nil || revoked.RevokedAt.IsZero() {
		t.Errorf("revoked %+v, %v", revoked, err)
	}
	if again, err := s.RevokeKey(ctx, made.ID); err != nil || !again.RevokedAt.Equal(revoked.RevokedAt) {
		t.Errorf("revoked again %+v, %v", again, err)
	}
	_, err = s.RotateKey(ctx, made.ID, [32]byte{8})
	wantError(t, err, ErrConflict, "is revoked")
	id := func(k tenant.Key) string { return k.ID }
	if all, err := s.Keys(ctx, ""); err != nil || names(all, id) != "000000000001 000000000002" {
		t.Errorf("all: %s, %v", names(all, id), err)
	}
	if all, err := s.Keys(ctx, "acme"); err != nil || names(all, id) != made.ID {
		t.Errorf("acme's: %s, %v", names(all, id), err)
	}
	if got, err := s.Counts(ctx); err != nil || got != (tenant.Counts{Organizations: 2, Instances: 3, Keys: 1}) {
		t.Errorf("counts %+v, %v", got, err)
	}
	if err := s.DeleteKey(ctx, made.ID); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{
		"delete": s.DeleteKey(ctx, made.ID),
		"reset":  second(s.ResetLimits(ctx, made.ID)),
		"revoke": second(s.RevokeKey(ctx, made.ID)),
		"rotate": second(s.RotateKey(ctx, made.ID, [32]byte{})),
		"update": second(s.UpdateKey(ctx, made.ID, func(*tenant.Key) error { return nil })),
	} {
		if !errors.Is(err, tenant.ErrNotFound) {
			t.Errorf("%s of a key that is not there: %v", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func testGrants(t *testing.T, s *Store) {
	ctx := t.Context()
	k := seed(t, s, "acme", "000000000001", "zeta", "alpha")
	g, err := s.Grant(ctx, k.ID)
	label := func(r tenant.Route) string { return r.Label + "=" + r.Instance + "=" + r.URL.Reveal() }
	want := "acme/zeta=zeta=" + testURL.Reveal() + " acme/alpha=alpha=" + testURL.Reveal()
	if err != nil || names(g.Routes, label) != want || g.Key.ID != k.ID || g.Key.SecretHash != k.SecretHash {
		t.Errorf("got %+v, routes %s, %v, want routes %s", g.Key, names(g.Routes, label), err, want)
	}
	_, err = s.Grant(ctx, "nosuch")
	wantError(t, err, tenant.ErrNotFound, `key "nosuch" not found`)
	must[tenant.Key](t)(s.RevokeKey(ctx, k.ID))
	if g, err := s.Grant(ctx, k.ID); err != nil || g.Key.RevokedAt.IsZero() {
		t.Errorf("a revoked key: %+v, %v", g, err)
	}
}

// testChanges: each change names the keys that it concerns and the labels that are gone.
func testChanges(t *testing.T, s *Store) {
	ctx := t.Context()
	if c, err := s.Changes(ctx, 0); err != nil || !c.Complete || c.Seq != 0 {
		t.Errorf("an empty store: %+v, %v", c, err)
	}
	const a, b = "000000000001", "000000000002"
	var seq int64
	for _, step := range []struct {
		name          string
		do            func() error
		keys, deleted string
	}{
		{"create a key", func() error { seed(t, s, "acme", a, "cache", "queue"); return nil }, a, ""},
		{"create another", func() error { seed(t, s, "acme", b, "jobs"); return nil }, b, ""},
		{"update", func() error {
			return second(s.UpdateKey(ctx, a, func(k *tenant.Key) error { k.Name = "x"; return nil }))
		}, a, ""},
		{"rotate", func() error { return second(s.RotateKey(ctx, a, [32]byte{})) }, a, ""},
		{"reset one", func() error { return second(s.ResetLimits(ctx, b)) }, b, ""},
		{"reset all", func() error { return second(s.ResetLimits(ctx, "")) }, a + " " + b, ""},
		{"set URL", func() error { return second(s.SetInstanceURL(ctx, "acme", "queue", "redis://x")) }, a, ""},
		{"connections of an organization", func() error {
			return second(s.UpdateOrganization(ctx, "acme", func(o *tenant.Organization) error { o.MaxConnections = 5; return nil }))
		}, a + " " + b, ""},
		{"rename", func() error { return second(s.UpdateOrganization(ctx, "acme", rename("zenith"))) }, a + " " + b, "acme/cache acme/jobs acme/queue"},
		{"revoke", func() error { return second(s.RevokeKey(ctx, b)) }, b, ""},
		{"delete an instance", func() error { return s.DeleteInstance(ctx, "zenith", "queue", true) }, a, "zenith/queue"},
		{"delete a key", func() error { return s.DeleteKey(ctx, a) }, a, ""},
		{"delete all", func() error { return s.DeleteOrganization(ctx, "zenith", true) }, b, "zenith/cache zenith/jobs"},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		c, err := s.Changes(ctx, seq)
		slices.Sort(c.Keys)
		slices.Sort(c.Deleted)
		if err != nil || !c.Complete || c.Seq <= seq || strings.Join(c.Keys, " ") != step.keys || strings.Join(c.Deleted, " ") != step.deleted {
			t.Errorf("%s: got %+v, %v, want keys %s, deleted %s", step.name, c, err, step.keys, step.deleted)
		}
		seq = c.Seq
		if c, err := s.Changes(ctx, seq); err != nil || c.Seq != seq || !c.Complete || len(c.Keys)+len(c.Deleted) > 0 {
			t.Errorf("%s: then %+v, %v, want nothing", step.name, c, err)
		}
	}
	if c, err := s.Changes(ctx, seq+100); err != nil || c.Seq != seq {
		t.Errorf("from the future: %+v, %v, want number %d", c, err, seq)
	}
}

// testForgottenChanges: who is too far behind is told, and a long history comes in
// parts.
func testForgottenChanges(t *testing.T, s *Store) {
	ctx := t.Context()
	k := seed(t, s, "acme", "000000000001", "cache")
	for range 1500 {
		if _, err := s.db.ExecContext(ctx, "INSERT INTO changes (key_id) VALUES (?)", k.ID); err != nil {
			t.Fatal(err)
		}
	}
	c, err := s.Changes(ctx, 0)
	if err != nil || !c.Complete || len(c.Keys) != changesAtOnce {
		t.Errorf("the first part: %d keys, complete %v, %v", len(c.Keys), c.Complete, err)
	}
	if rest, err := s.Changes(ctx, c.Seq); err != nil || len(rest.Keys) != 1501-changesAtOnce {
		t.Errorf("the rest: %d keys, %v", len(rest.Keys), err)
	}
	if _, err := s.db.ExecContext(ctx, "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 10000) INSERT INTO changes (key_id) SELECT ? FROM n", k.ID); err != nil {
		t.Fatal(err)
	}
	must[int](t)(s.ResetLimits(ctx, k.ID))
	var kept, newest int64
	if err := s.db.QueryRowContext(ctx, "SELECT count(*), max(seq) FROM changes").Scan(&kept, &newest); err != nil || kept != keptChanges {
		t.Errorf("%d changes are kept, %v, want %d", kept, err, keptChanges)
	}
	if c, err := s.Changes(ctx, 0); err != nil || c.Complete || c.Seq != newest {
		t.Errorf("too far behind: %+v, %v, want incomplete and number %d", c, err, newest)
	}
	if c, err := s.Changes(ctx, newest-keptChanges); err != nil || !c.Complete {
		t.Errorf("just not too far behind: complete %v, %v", c.Complete, err)
	}
}

func testBadValues(t *testing.T, s *Store) {
	ctx := t.Context()
	good := seed(t, s, "acme", "000000000001", "cache")
	good.ID = "000000000002"
	negative := -1
	for name, bad := range map[string]func(*tenant.Key){
		"id":                                  func(k *tenant.Key) { k.ID = "short" },
		"id with other signs":                 func(k *tenant.Key) { k.ID = "00000000000-" },
		"name":                                func(k *tenant.Key) { k.Name = "A b" },
		"no instance":                         func(k *tenant.Key) { k.Instances = nil },
		"instance twice":                      func(k *tenant.Key) { k.Instances = []string{"cache", "cache"} },
		"too many instances":                  func(k *tenant.Key) { k.Instances = make([]string, MaxInstances+1) },
		"rules too long":                      func(k *tenant.Key) { k.Commands = strings.Repeat("+get ", 1000) },
		"negative rate":                       func(k *tenant.Key) { k.Limits.Rate = &negative },
		"negative burst":                      func(k *tenant.Key) { k.Limits.Burst = &negative },
		"no connections":                      func(k *tenant.Key) { k.MaxConnections = -1 },
		"too many":                            func(k *tenant.Key) { k.MaxConnections = MaxConnections + 1 },
		"too many networks":                   func(k *tenant.Key) { k.AllowFrom = make(tenant.Networks, tenant.MaxNetworks+1) },
		"certificate name that is too long":   func(k *tenant.Key) { k.CertificateName = strings.Repeat("x", MaxCertificateName+1) },
		"certificate name with a line end":    func(k *tenant.Key) { k.CertificateName = "a\nb" },
		"certificate name with spaces around": func(k *tenant.Key) { k.CertificateName = " a" },
	} {
		k := good
		bad(&k)
		if _, err := s.CreateKey(ctx, k); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	for name, err := range map[string]error{
		"organization":    second(s.CreateOrganization(ctx, tenant.Organization{Name: "Acme Inc."})),
		"new name":        second(s.UpdateOrganization(ctx, "acme", rename(""))),
		"its connections": second(s.CreateOrganization(ctx, tenant.Organization{Name: "new", Quota: tenant.Quota{MaxConnections: -1}})),
		"new connections": second(s.UpdateOrganization(ctx, "acme", func(o *tenant.Organization) error {
			o.MaxConnections = MaxConnections + 1
			return nil
		})),
		"instance":          second(s.CreateInstance(ctx, "acme", "default", testURL)),
		"no URL":            second(s.CreateInstance(ctx, "acme", "x", "")),
		"URL too long":      second(s.SetInstanceURL(ctx, "acme", "cache", tenant.Secret(strings.Repeat("x", MaxURL+1)))),
		"update to a space": second(s.UpdateKey(ctx, "000000000001", func(k *tenant.Key) error { k.Name = " "; return nil })),
	} {
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	k := good
	k.Instances = []string{"cache", "nosuch"}
	_, err := s.CreateKey(ctx, k)
	wantError(t, err, tenant.ErrNotFound, `instance "nosuch" of organization "acme" not found`)
	if _, err := s.Key(ctx, k.ID); !errors.Is(err, tenant.ErrNotFound) {
		t.Errorf("a key that was refused: %v", err)
	}
}

func testCancelled(t *testing.T, s *Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.CreateOrganization(ctx, tenant.Organization{Name: "acme"}); !errors.Is(err, context.Canceled) {
		t.Errorf("write: %v", err)
	}
	if _, err := s.Grant(ctx, "000000000001"); !errors.Is(err, context.Canceled) {
		t.Errorf("read: %v", err)
	}
}

func testConcurrentWriters(t *testing.T, s *Store) {
	seed(t, s, "acme", "000000000001", "cache")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if _, err := s.UpdateKey(t.Context(), "000000000001", func(k *tenant.Key) error { k.Limits.Reset++; return nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := must[tenant.Key](t)(s.Key(t.Context(), "000000000001")).Limits.Reset; got != 160 {
		t.Errorf("160 increments made %d", got)
	}
}

// queries notes what an Observer hears.
type queries struct {
	mu   sync.Mutex
	seen map[string]int
	errs []error
}

func (q *queries) Query(name string, took time.Duration, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.seen == nil {
		q.seen = map[string]int{}
	}
	q.seen[name]++
	if err != nil {
		q.errs = append(q.errs, err)
	}
	if took < 0 {
		q.errs = append(q.errs, errors.New("negative time"))
	}
}

func testObserved(t *testing.T, s *Store, seen *queries) {
	ctx := t.Context()
	testChanges(t, s)
	testOrganizations(t, s)
	_ = s.Ping(ctx)
	_, _ = s.Grant(ctx, "nosuch")
	_, _ = s.KeyByCertificate(ctx, []string{"nosuch"})
	_, _ = s.Keys(ctx, "")
	_, _ = s.Key(ctx, "nosuch")
	_, _ = s.Instances(ctx, "")
	_, _ = s.Instance(ctx, "a", "b")
	for name := range seen.seen {
		if !slices.Contains(QueryNames(), name) {
			t.Errorf("query %q is not in QueryNames", name)
		}
	}
	for _, name := range QueryNames() {
		if seen.seen[name] == 0 {
			t.Errorf("no query %q was seen", name)
		}
	}
	if len(seen.errs) > 0 {
		t.Errorf("errors were counted: %v", seen.errs)
	}
}
