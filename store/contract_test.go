package store

import (
	"bytes"
	"context"
	"errors"
	"io"
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
		{"slow log's threshold", testSlowlogThreshold},
		{"limits", testLimits},
		{"keys", testKeys},
		{"access", testAccess},
		{"grants", testGrants},
		{"changes", testChanges},
		{"forgotten changes", testForgottenChanges},
		{"certificates", testCertificates},
		{"versions", testVersions},
		{"versions of keys", testKeyVersions},
		{"what no change changes", testFixed},
		{"rotation", testRotation},
		{"pages", testPages},
		{"deleted and restored", testDeleted},
		{"deleted with their instance", testDeletedKeys},
		{"quotas", testQuotas},
		{"users", testUsers},
		{"within", testWithin},
		{"members", testMembers},
		{"tokens", testTokens},
		{"bad tokens", testBadTokens},
		{"last used", testTouch},
		{"events", testEvents},
		{"many events", testManyEvents},
		{"usage", testUsage},
		{"idempotency", testIdempotency},
		{"moves", testMoves},
		{"moves that end", testMoveEnds},
		{"proxies", testProxies},
		{"purge", testPurge},
		{"purge in parts", testPurgeInParts},
		{"archive", testArchive},
		{"parts of an archive", testArchiveParts},
		{"what an archive covers", testArchiveCovers},
		{"bad archives", testBadArchives},
		{"text that no database takes", testOddText},
		{"connections", testStats},
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
		must[tenant.Instance](t)(s.CreateInstance(ctx, tenant.Instance{Org: org, Name: name, URL: testURL}))
	}
	return must[tenant.Key](t)(s.CreateKey(ctx, tenant.Key{ID: id, SecretHash: [32]byte{1, 2, 3}, Org: org, Instances: instances, Name: "web"}))
}

func second[T any](_ T, err error) error { return err }

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
		"negative bytes":                      func(k *tenant.Key) { k.Limits.ByteRate = new(int64(-1)) },
		"too many bytes":                      func(k *tenant.Key) { k.Limits.ByteRate = new(int64(tenant.MaxBytes + 1)) },
		"limit mode that is none":             func(k *tenant.Key) { k.Limits.Mode = 9 },
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
		"instance":          second(s.CreateInstance(ctx, tenant.Instance{Org: "acme", Name: "default", URL: testURL})),
		"no URL":            second(s.CreateInstance(ctx, tenant.Instance{Org: "acme", Name: "x", URL: ""})),
		"too slow":          second(s.CreateInstance(ctx, tenant.Instance{Org: "acme", Name: "x", URL: testURL, SlowlogThreshold: new(tenant.MaxSlowlogThreshold + time.Microsecond)})),
		"half microseconds": second(s.CreateInstance(ctx, tenant.Instance{Org: "acme", Name: "x", URL: testURL, SlowlogThreshold: new(500 * time.Nanosecond)})),
		"negative cache":    second(s.CreateInstance(ctx, tenant.Instance{Org: "acme", Name: "x", URL: testURL, CacheBytes: -1})),
		"cache too large":   second(s.CreateInstance(ctx, tenant.Instance{Org: "acme", Name: "x", URL: testURL, CacheBytes: tenant.MaxBytes + 1})),
		"its bytes":         second(s.CreateOrganization(ctx, tenant.Organization{Name: "new", Quota: tenant.Quota{ByteRate: -1}})),
		"its mode":          second(s.CreateOrganization(ctx, tenant.Organization{Name: "new", Quota: tenant.Quota{LimitMode: 9}})),
		"URL too long":      second(s.UpdateInstance(ctx, "acme", "cache", at(tenant.Secret(strings.Repeat("x", MaxURL+1))))),
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

func (q *queries) Query(_ context.Context, name string, took time.Duration, err error) {
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
	_, _ = s.Organizations(ctx, Page{})
	_, _ = s.Users(ctx, Page{})
	_, _ = s.User(ctx, "nosuch")
	_, _ = s.UserByEmail(ctx, "nosuch")
	testDeleted(t, s)
	testMembers(t, s)
	testTokens(t, s)
	testEvents(t, s)
	testUsage(t, s)
	testIdempotency(t, s)
	_, _ = s.Purge(ctx, PurgeBefore{Deleted: time.Now()})
	_ = s.Ping(ctx)
	_, _ = s.Export(ctx, io.Discard, ExportOptions{})
	_, _ = s.Import(ctx, bytes.NewReader(export(t, s, ExportOptions{})), ImportOptions{})
	_, _ = s.Grant(ctx, "nosuch")
	_, _ = s.KeyByCertificate(ctx, []string{"nosuch"})
	_, _ = s.Keys(ctx, "", Page{})
	_, _ = s.Key(ctx, "nosuch")
	_, _ = s.ReportProxy(ctx, tenant.Proxy{ID: "nosuch", StartedAt: time.Now(), SeenAt: time.Now()}, nil)
	_ = s.ForgetProxy(ctx, "nosuch")
	_, _ = s.Proxies(ctx)
	_, _, _ = s.BeginMove(ctx, "nosuch", "nosuch", "nosuch")
	_, _ = s.WatchMove(ctx, "nosuch")
	_ = s.HoldMove(ctx, "nosuch")
	_, _ = s.FinishMove(ctx, "nosuch", 1, testURL)
	_, _ = s.EndMove(ctx, "nosuch", 0)
	no := errors.New("no") // is no failure of the store's
	k := seed(t, s, "last", "0000000000zz", "cache")
	if _, err := s.UpdateKey(ctx, k.ID, func(*tenant.Key) error { return no }); !errors.Is(err, no) {
		t.Errorf("a refused change: %v", err)
	}
	wantError(t, second(s.RevokeKey(ctx, k.ID, k.Version+1)), ErrStale, "it is version 1, not 2")
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
