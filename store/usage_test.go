package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/tenant"
)

// testUsage: what proxies add of the same minute is one sum, and sums are of the steps
// that are asked for.
func testUsage(t *testing.T, s *Store) {
	ctx := t.Context()
	const a, b = "0000000000u1", "0000000000u2"
	seed(t, s, "raviga", a, "cache", "queue")
	seed(t, s, "bachmanity", b, "cache")
	id := func(org, name string) string { return must[tenant.Instance](t)(s.Instance(ctx, org, name)).ID }
	cache, queue, other := id("raviga", "cache"), id("raviga", "queue"), id("bachmanity", "cache")
	noon := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	one := func(key, instance string, at time.Time) tenant.Usage {
		return tenant.Usage{KeyID: key, InstanceID: instance, At: at, Commands: 1, Errors: 2, Limited: 3, BytesIn: 4, BytesOut: 5 << 40}
	}
	batch := []tenant.Usage{
		one(a, cache, noon), one(a, cache, noon.Add(59*time.Second)), one(a, queue, noon), one(a, cache, noon.Add(time.Minute)), one(b, other, noon.Add(time.Hour)),
		one("nosuch", cache, noon), one(a, "nosuch", noon),
	}
	for range 2 {
		if err := s.AddUsage(ctx, batch); err != nil {
			t.Fatal(err)
		}
	}
	if batch[1].At != noon.Add(59*time.Second) {
		t.Error("the caller's slice was changed")
	}
	for _, c := range []struct {
		name   string
		filter UsageFilter
		want   string
	}{
		{"minutes", UsageFilter{OrgID: orgID(t, s, "raviga"), Step: time.Minute}, "12:00 web/cache 4, 12:00 web/queue 2, 12:01 web/cache 2"},
		{"hours", UsageFilter{Step: time.Hour}, "12:00 web/cache 6, 12:00 web/queue 2, 13:00 web/cache 2"},
		{"in one", UsageFilter{}, "- web/cache 6, - web/queue 2, - web/cache 2"},
		{"of a key", UsageFilter{KeyID: b, Step: time.Hour}, "13:00 web/cache 2"},
		{"of an instance", UsageFilter{InstanceID: queue, Step: time.Hour}, "12:00 web/queue 2"},
		{"from", UsageFilter{KeyID: a, From: noon.Add(time.Minute), Step: time.Hour}, "12:00 web/cache 2"},
		{"to", UsageFilter{KeyID: a, InstanceID: cache, To: noon.Add(time.Minute), Step: time.Minute}, "12:00 web/cache 4"},
		{"of another organization's key", UsageFilter{OrgID: orgID(t, s, "raviga"), KeyID: b}, ""},
	} {
		all, err := s.Usage(ctx, c.filter)
		if got := sums(all); err != nil || !same(got, c.want) {
			t.Errorf("%s: %s, %v, want %s", c.name, got, err, c.want)
		}
	}
	all := must[[]UsageSum](t)(s.Usage(ctx, UsageFilter{InstanceID: queue}))
	if want := (tenant.Usage{KeyID: a, InstanceID: queue, Commands: 2, Errors: 4, Limited: 6, BytesIn: 8, BytesOut: 10 << 40}); len(all) != 1 || all[0].Usage != want {
		t.Errorf("the queue's are %+v, want %+v", all, want)
	}
	_, err := s.Usage(ctx, UsageFilter{Step: time.Second})
	wantError(t, err, ErrInvalid, "step of 1s: want 0s, or 1m or more")
	if err := s.DeleteInstance(ctx, "raviga", "queue", Deletion{Force: true}); err != nil {
		t.Fatal(err)
	}
	if all, err := s.Usage(ctx, UsageFilter{InstanceID: queue}); err != nil || len(all) != 1 || all[0].Instance != "queue" {
		t.Errorf("of a deleted instance: %+v, %v, want it by its name", all, err)
	}
	if err := errors.Join(s.AddUsage(ctx, batch[2:3]), s.AddUsage(ctx, nil), s.AddUsage(ctx, batch[5:])); err != nil {
		t.Errorf("what comes late: %v", err)
	}
	if err := s.DeleteKey(ctx, b, 0); err != nil {
		t.Fatal(err)
	}
	if all, err := s.Usage(ctx, UsageFilter{KeyID: b}); err != nil || len(all) != 0 {
		t.Errorf("of a key that is deleted for good: %+v, %v", all, err)
	}
}

func orgID(t *testing.T, s *Store, name string) string {
	t.Helper()
	return must[tenant.Organization](t)(s.Organization(t.Context(), name)).ID
}

func sums(all []UsageSum) string {
	var text []string
	for _, u := range all {
		at := "-"
		if !u.At.IsZero() {
			at = u.At.Format("15:04")
		}
		text = append(text, fmt.Sprintf("%s %s/%s %d", at, u.Key, u.Instance, u.Commands))
	}
	return strings.Join(text, ", ")
}

// same compares sums; those of the same time come by ids, which are random.
func same(got, want string) bool {
	counts := map[string]int{}
	for _, s := range strings.Split(got, ", ") {
		counts[s]++
	}
	for _, s := range strings.Split(want, ", ") {
		counts[s]--
	}
	for _, n := range counts {
		if n != 0 {
			return false
		}
	}
	return true
}

func testIdempotency(t *testing.T, s *Store) {
	ctx := t.Context()
	noon := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	first, other := [32]byte{1}, [32]byte{2}
	claim := func(step, owner, key string, request [32]byte, at time.Time, want string, words string) {
		t.Helper()
		answer, done, err := s.Claim(ctx, owner, key, request, at)
		if words != "" {
			wantError(t, err, ErrConflict, words)
		} else if err != nil || string(answer) != want || done != (want != "") {
			t.Errorf("%s: %q, done %v, %v, want %q", step, answer, done, err, want)
		}
	}
	claim("the first", "ann", "k", first, noon, "", "")
	claim("at once", "ann", "k", first, noon.Add(ClaimTime-1), "", `the request with idempotency key "k" is being done`)
	claim("another request", "ann", "k", other, noon, "", `idempotency key "k" was used for another request`)
	if _, _, err := s.Claim(ctx, "ann", "k", other, noon); !errors.Is(err, ErrReused) {
		t.Errorf("another request: got %v, want ErrReused", err)
	}
	claim("another owner", "bob", "k", other, noon, "", "")
	if err := s.Release(ctx, "ann", "k"); err != nil {
		t.Error(err)
	}
	claim("released", "ann", "k", other, noon, "", "")
	claim("who had it has died", "ann", "k", other, noon.Add(ClaimTime), "", "")
	if err := s.Answer(ctx, "ann", "k", []byte("rg_secret\x00\xff")); err != nil {
		t.Error(err)
	}
	claim("answered", "ann", "k", other, noon.Add(time.Hour), "rg_secret\x00\xff", "")
	claim("answered another", "ann", "k", first, noon, "", "another request")
	if err := s.Release(ctx, "ann", "k"); err != nil {
		t.Error(err)
	}
	claim("an answer stays", "ann", "k", other, noon, "rg_secret\x00\xff", "")
	wantError(t, s.Answer(ctx, "ann", "nosuch", nil), tenant.ErrNotFound, "not found")
	for _, key := range []string{"", strings.Repeat("x", 256)} {
		_, _, err := s.Claim(ctx, "ann", key, first, noon)
		wantError(t, err, ErrInvalid, "idempotency key of")
	}
	var sealed []byte
	if err := s.db.QueryRowContext(ctx, "SELECT answer FROM idempotency WHERE owner = 'ann'").Scan(&sealed); err != nil || strings.Contains(string(sealed), "secret") {
		t.Errorf("stored is %q, %v, want nothing that can be read", sealed, err)
	}
}

// testPurge: what is older than it is to be kept goes for good, with what was its.
func testPurge(t *testing.T, s *Store) {
	ctx := t.Context()
	const gone, kept = "0000000000p1", "0000000000p2"
	seed(t, s, "endframe", gone, "cache")
	seed(t, s, "bream-hall", kept, "cache", "queue")
	seed(t, s, "bream-hall", "0000000000p3", "jobs")
	u := must[tenant.User](t)(s.CreateUser(ctx, tenant.User{Email: "laurie@example.com"}))
	must[tenant.Membership](t)(s.SetMember(ctx, "endframe", u.ID, tenant.Owner))
	old, now := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Now()
	queue := must[tenant.Instance](t)(s.Instance(ctx, "bream-hall", "queue")).ID
	if err := s.AddUsage(ctx, []tenant.Usage{{KeyID: kept, InstanceID: queue, At: now, Commands: 1}}); err != nil {
		t.Fatal(err)
	}
	endframe := orgID(t, s, "endframe")
	for _, err := range []error{
		s.DeleteOrganization(ctx, "endframe", Deletion{Force: true}), s.DeleteInstance(ctx, "bream-hall", "queue", Deletion{Force: true}), s.DeleteInstance(ctx, "bream-hall", "jobs", Deletion{Force: true}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	cache := must[tenant.Instance](t)(s.Instance(ctx, "bream-hall", "cache")).ID
	for i, at := range []time.Time{old, now} {
		token := tenant.Token{ID: "0000000000p" + string(rune('a'+i)), UserID: u.ID, Kind: tenant.APIToken, ExpiresAt: at}
		must[tenant.Token](t)(s.CreateToken(ctx, token))
		_, _, err := s.Claim(ctx, "laurie", token.ID, [32]byte{}, at)
		if err := errors.Join(err, s.AddUsage(ctx, []tenant.Usage{{KeyID: kept, InstanceID: cache, At: at, Commands: 1}}),
			s.AppendEvents(ctx, []tenant.Event{{At: at, Action: "purge.test"}})); err != nil {
			t.Fatal(err)
		}
	}
	must[tenant.Token](t)(s.CreateToken(ctx, tenant.Token{ID: "0000000000pc", UserID: u.ID, Kind: tenant.APIToken}))
	year := old.AddDate(1, 0, 0)
	for _, step := range []struct {
		name   string
		before PurgeBefore
		want   Purged
	}{
		{"nothing", PurgeBefore{}, Purged{}},
		{"what was deleted before", PurgeBefore{Deleted: year}, Purged{}},
		{"what is old", PurgeBefore{year, year, year, year, year, year}, Purged{Usage: 1, Events: 1, Answers: 1, Tokens: 1}},
		{"again", PurgeBefore{year, year, year, year, year, year}, Purged{}},
		{"what is deleted", PurgeBefore{Deleted: now.Add(time.Minute)}, Purged{Organizations: 1, Instances: 3, Keys: 2, Usage: 1}},
	} {
		if got, err := s.Purge(ctx, step.before); err != nil || got != step.want {
			t.Errorf("%s: %+v, %v, want %+v", step.name, got, err, step.want)
		}
	}
	wantError(t, second(s.RestoreOrganization(ctx, endframe)), tenant.ErrNotFound, "deleted organization")
	wantError(t, second(s.RestoreInstance(ctx, "bream-hall", queue)), tenant.ErrNotFound, "deleted instance")
	if k, err := s.Key(ctx, kept); err != nil || strings.Join(k.Instances, " ") != "cache" {
		t.Errorf("a key that had another instance: %+v, %v", k, err)
	}
	if all, err := s.Usage(ctx, UsageFilter{KeyID: kept}); err != nil || sums(all) != "- web/cache 1" {
		t.Errorf("usage is %s, %v", sums(all), err)
	}
	if all, err := s.Tokens(ctx, u.ID, "", Page{}); err != nil || len(all) != 2 {
		t.Errorf("tokens are %+v, %v, want those that are good", all, err)
	}
	if _, err := s.RevokeToken(ctx, "0000000000pc"); err != nil {
		t.Error(err)
	}
	if got, err := s.Purge(ctx, PurgeBefore{Tokens: now.Add(time.Minute)}); err != nil || got.Tokens != 2 {
		t.Errorf("then %+v, %v, want 2 tokens, one of them revoked", got, err)
	}
	must[tenant.Key](t)(s.CreateKey(ctx, tenant.Key{ID: gone, Org: "bream-hall", Name: "web", Instances: []string{"cache"}})) // the id is free
}

// testPurgeInParts: much is purged in several transactions, until nothing is left or ctx
// ends.
func testPurgeInParts(t *testing.T, s *Store) {
	_, err := s.db.ExecContext(t.Context(), `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
		INSERT INTO audit (`+eventColumns+`) SELECT 1000, '', '', '', '', '', '', '', '', '', '', '', NULL, NULL, '', '' FROM n`, 2*purgedAtOnce+1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if p, err := s.Purge(ctx, PurgeBefore{Audit: time.Now()}); !errors.Is(err, context.Canceled) || p.Events != 0 {
		t.Errorf("with a cancelled context: %+v, %v", p, err)
	}
	if p, err := s.Purge(t.Context(), PurgeBefore{Audit: time.Now()}); err != nil || p.Events != 2*purgedAtOnce+1 {
		t.Errorf("purged %+v, %v, want %d events", p, err, 2*purgedAtOnce+1)
	}
}
