package store

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/tenant"
)

// made returns a change of what is at a version, or with no of nothing, that is for want.
func made[T any](want int64, no bool, version func(*T) *int64, alter func(*T)) func(*T) error {
	return func(v *T) error {
		if *version(v) != want {
			return ErrStale
		}
		if !no {
			alter(v)
		}
		*version(v) = 77 // is not for it to change
		return nil
	}
}

// testVersions: a version grows by one with each change, and with nothing else, and a
// change that is made for another one is refused.
func testVersions(t *testing.T, s *Store) {
	ctx := t.Context()
	const id = "000000000001"
	seed(t, s, "acme", id, "cache")
	u := must[tenant.User](t)(s.CreateUser(ctx, tenant.User{Email: "ann@example.com"}))
	for name, change := range map[string]func(want int64, no bool) (int64, error){
		"organization": func(want int64, no bool) (int64, error) {
			o, err := s.UpdateOrganization(ctx, "acme", made(want, no, func(o *tenant.Organization) *int64 { return &o.Version }, func(o *tenant.Organization) { o.MaxKeys++ }))
			return o.Version, err
		},
		"instance": func(want int64, no bool) (int64, error) {
			in, err := s.UpdateInstance(ctx, "acme", "cache", made(want, no, func(in *tenant.Instance) *int64 { return &in.Version }, func(in *tenant.Instance) { in.URL += "x" }))
			return in.Version, err
		},
		"key": func(want int64, no bool) (int64, error) {
			k, err := s.UpdateKey(ctx, id, made(want, no, func(k *tenant.Key) *int64 { return &k.Version }, func(k *tenant.Key) { k.Audit += "+get " }))
			return k.Version, err
		},
		"user": func(want int64, no bool) (int64, error) {
			u, err := s.UpdateUser(ctx, u.ID, made(want, no, func(u *tenant.User) *int64 { return &u.Version }, func(u *tenant.User) { u.Name += "x" }))
			return u.Version, err
		},
	} {
		for i, step := range []struct {
			made int64
			no   bool
			want int64 // 0: it is refused
		}{{1, false, 2}, {2, true, 2}, {2, false, 3}, {2, false, 0}, {3, true, 3}} {
			got, err := change(step.made, step.no)
			switch {
			case step.want == 0 && !errors.Is(err, ErrStale):
				t.Errorf("%s, step %d: %v, want %v", name, i, err, ErrStale)
			case step.want > 0 && (err != nil || got != step.want):
				t.Errorf("%s, step %d: version %d, %v, want %d", name, i, got, err, step.want)
			}
		}
	}
}

// testFixed: what a change is not for stays as it is, whatever it says.
func testFixed(t *testing.T, s *Store) {
	ctx := t.Context()
	k := seed(t, s, "acme", "000000000001", "cache")
	o := must[tenant.Organization](t)(s.Organization(ctx, "acme"))
	in := must[tenant.Instance](t)(s.Instance(ctx, "acme", "cache"))
	u := must[tenant.User](t)(s.CreateUser(ctx, tenant.User{Email: "ann@example.com"}))
	later := time.Now().Add(time.Hour)
	if got, err := s.UpdateOrganization(ctx, "acme", func(o *tenant.Organization) error {
		o.ID, o.Version, o.CreatedAt, o.DeletedAt = "x", 77, later, later
		return nil
	}); err != nil || got != o {
		t.Errorf("organization %+v, %v, want %+v", got, err, o)
	}
	if got, err := s.UpdateInstance(ctx, "acme", "cache", func(in *tenant.Instance) error {
		in.ID, in.Org, in.Version, in.CreatedAt, in.DeletedAt = "x", "x", 77, later, later
		return nil
	}); err != nil || got != in {
		t.Errorf("instance %+v, %v, want %+v", got, err, in)
	}
	if got, err := s.UpdateUser(ctx, u.ID, func(u *tenant.User) error { u.ID, u.Version, u.CreatedAt = "x", 77, later; return nil }); err != nil || got != u {
		t.Errorf("user %+v, %v, want %+v", got, err, u)
	}
	got, err := s.UpdateKey(ctx, k.ID, func(k *tenant.Key) error {
		k.ID, k.Org, k.SecretHash, k.PreviousHash = "x", "x", [32]byte{9}, [32]byte{9}
		k.Version, k.CreatedAt, k.RevokedAt, k.PreviousUntil, k.LastUsedAt = 77, later, later, later, later
		return nil
	})
	if err != nil || !reflect.DeepEqual(got, must[tenant.Key](t)(s.Key(ctx, k.ID))) || got.Version != 1 || got.SecretHash != k.SecretHash || !got.RevokedAt.IsZero() {
		t.Errorf("key %+v, %v, want %+v", got, err, k)
	}
}

// testKeyVersions: so it is with what else is done with a key.
func testKeyVersions(t *testing.T, s *Store) {
	ctx := t.Context()
	id := seed(t, s, "acme", "000000000001", "cache").ID
	for _, step := range []struct {
		name string
		do   func() error
		want int64
	}{
		{"rotate", func() error { return second(s.RotateKey(ctx, id, [32]byte{9}, 0, 0)) }, 2},
		{"reset", func() error { return second(s.ResetLimits(ctx, id)) }, 3},
		{"revoke", func() error { return second(s.RevokeKey(ctx, id, 0)) }, 4},
		{"revoke again", func() error { return second(s.RevokeKey(ctx, id, 0)) }, 4},
		{"use", func() error { return s.Touch(ctx, map[string]time.Time{id: time.Now()}, nil) }, 4},
	} {
		if err := step.do(); err != nil {
			t.Errorf("%s: %v", step.name, err)
		}
		if k, err := s.Key(ctx, id); err != nil || k.Version != step.want {
			t.Errorf("%s: version %d, %v, want %d", step.name, k.Version, err, step.want)
		}
	}
}

// testRotation: the secret before the last rotation is kept for the overlap, and no other.
func testRotation(t *testing.T, s *Store) {
	ctx := t.Context()
	key := seed(t, s, "acme", "000000000001", "cache")
	first, second, third, fourth := key.SecretHash, [32]byte{2}, [32]byte{3}, [32]byte{4}
	for _, step := range []struct {
		name     string
		hash     [32]byte
		overlap  time.Duration
		previous [32]byte
	}{
		{"with an overlap", second, time.Hour, first},
		{"again within it", third, MaxOverlap, second},
		{"without", fourth, 0, [32]byte{}},
	} {
		if _, err := s.RotateKey(ctx, key.ID, step.hash, step.overlap, 0); err != nil {
			t.Fatal(err)
		}
		// Another change leaves it.
		must[tenant.Key](t)(s.UpdateKey(ctx, key.ID, func(k *tenant.Key) error { k.Name = "n" + strings.Repeat("x", int(step.hash[0])); return nil }))
		g, err := s.Grant(ctx, key.ID)
		if err != nil || g.Key.SecretHash != step.hash || g.Key.PreviousHash != step.previous || g.Key.PreviousUntil.IsZero() != (step.overlap == 0) {
			t.Errorf("%s: %+v, %v", step.name, g.Key, err)
		}
		if until := g.Key.PreviousUntil; step.overlap > 0 && time.Until(until.Add(-step.overlap)).Abs() > time.Minute {
			t.Errorf("%s: it is good until %v", step.name, until)
		}
	}
	for _, overlap := range []time.Duration{-time.Second, MaxOverlap + 1} {
		_, err := s.RotateKey(ctx, key.ID, first, overlap, 0)
		wantError(t, err, ErrInvalid, "overlap of")
	}
}

// testPages: parts of a list, one behind the other, are the list.
func testPages(t *testing.T, s *Store) {
	ctx := t.Context()
	u := must[tenant.User](t)(s.CreateUser(ctx, tenant.User{Email: "a@example.com"}))
	for i, org := range []string{"a", "a-b", "a.c", "ab", "b"} {
		digit := string(rune('1' + i))
		seed(t, s, org, "00000000000"+digit, "cache", "a", "a-b")
		must[tenant.Membership](t)(s.SetMember(ctx, org, u.ID, tenant.Viewer))
		other := must[tenant.User](t)(s.CreateUser(ctx, tenant.User{Email: digit + "@example.com"}))
		must[tenant.Membership](t)(s.SetMember(ctx, "a", other.ID, tenant.Admin))
		must[tenant.Token](t)(s.CreateToken(ctx, tenant.Token{ID: "00000000020" + digit, UserID: u.ID, Kind: tenant.APIToken}))
		gone := "gone" + strings.Repeat("-x", i/2) // some have the name of another
		seed(t, s, gone, "00000000030"+digit, "cache")
		must[tenant.Instance](t)(s.CreateInstance(ctx, tenant.Instance{Org: "a", Name: gone, URL: testURL}))
		if err := errors.Join(s.DeleteOrganization(ctx, gone, Deletion{Force: true}), s.DeleteInstance(ctx, "a", gone, Deletion{})); err != nil {
			t.Fatal(err)
		}
		k := tenant.Key{ID: "00000000010" + digit, Org: "a", Instances: []string{"cache", "a"}, Name: "z" + digit}
		must[tenant.Key](t)(s.CreateKey(ctx, k))
	}
	for _, c := range []struct {
		name string
		list func(p Page) ([]string, error) // what it is ordered by
		want int
	}{
		{"organizations", func(p Page) ([]string, error) { return by(s.Organizations(ctx, p))(orgName) }, 5},
		{"a user's organizations", func(p Page) ([]string, error) { return by(s.OrganizationsOf(ctx, u.ID, p))(orgName) }, 5},
		{"instances", func(p Page) ([]string, error) { return labels(s.Instances(ctx, "", p)) }, 15},
		{"an organization's instances", func(p Page) ([]string, error) {
			all, err := s.Instances(ctx, "a", p)
			var names []string
			for _, in := range all {
				names = append(names, in.Name)
			}
			return names, err
		}, 3},
		{"an organization's keys", func(p Page) ([]string, error) { return by(s.Keys(ctx, "a", p))(keyID) }, 6},
		{"keys", func(p Page) ([]string, error) { return by(s.Keys(ctx, "", p))(keyID) }, 10},
		{"users", func(p Page) ([]string, error) {
			all, err := s.Users(ctx, p)
			var emails []string
			for _, u := range all {
				emails = append(emails, u.Email)
			}
			return emails, err
		}, 6},
		{"members", func(p Page) ([]string, error) {
			return by(s.Members(ctx, "a", p))(func(m tenant.Membership) string { return m.Email })
		}, 6},
		{"tokens", func(p Page) ([]string, error) { return by(s.Tokens(ctx, u.ID, tenant.APIToken, p))(TokenPlace) }, 5},
		{"deleted organizations", func(p Page) ([]string, error) {
			return by(s.DeletedOrganizations(ctx, p))(func(o tenant.Organization) string { return o.Name + "/" + o.ID })
		}, 5},
		{"deleted instances", func(p Page) ([]string, error) {
			return by(s.DeletedInstances(ctx, "a", p))(func(in tenant.Instance) string { return in.Name + "/" + in.ID })
		}, 5},
	} {
		all, err := c.list(Page{Limit: 1000})
		if err != nil || len(all) != c.want {
			t.Errorf("%s: %q, %v, want %d", c.name, all, err, c.want)
			continue
		}
		for _, limit := range []int{1, 2, 3} {
			var joined []string
			for p := (Page{Limit: limit}); ; p.After = joined[len(joined)-1] {
				part, err := c.list(p)
				if err != nil || len(part) > limit {
					t.Fatalf("%s: page %+v is %q, %v", c.name, p, part, err)
				}
				if len(part) == 0 {
					break
				}
				joined = append(joined, part...)
			}
			if strings.Join(joined, " ") != strings.Join(all, " ") {
				t.Errorf("%s by %d: %q, want %q", c.name, limit, joined, all)
			}
		}
	}
}

// by returns what orders a list.
func by[T any](all []T, err error) func(key func(T) string) ([]string, error) {
	return func(key func(T) string) (keys []string, _ error) {
		for _, v := range all {
			keys = append(keys, key(v))
		}
		return keys, err
	}
}

func labels(all []tenant.Instance, err error) ([]string, error) {
	return by(all, err)(tenant.Instance.Label)
}
