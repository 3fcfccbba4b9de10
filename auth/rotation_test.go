package auth

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/respgate/respgate/tenant"
)

// rotate gives a key another secret; the one before is good for overlap more.
func (f *fakeStore) rotate(id string, overlap time.Duration) (text string) {
	next := GenerateFor(id)
	f.change(id, func(g *tenant.Grant) {
		g.Key.PreviousHash, g.Key.PreviousUntil = g.Key.SecretHash, time.Time{}
		if overlap > 0 {
			g.Key.PreviousUntil = time.Now().Add(overlap)
		}
		g.Key.SecretHash = next.Hash
	})
	return next.Text.Reveal()
}

// TestRotationWithOverlap rotates a key and has something happen then: who came with the
// first secret goes on, or not, and so does who came with the second.
func TestRotationWithOverlap(t *testing.T) {
	for _, c := range []struct {
		name          string
		then          func(f *fakeStore, id string)
		first, second bool // go on
	}{
		{"nothing", func(*fakeStore, string) {}, true, true},
		{"its time is over", func(*fakeStore, string) { time.Sleep(time.Hour) }, false, true},
		{"ended early", func(f *fakeStore, id string) {
			f.change(id, func(g *tenant.Grant) { g.Key.PreviousUntil = time.Time{} })
		}, false, true},
		{"made longer", func(f *fakeStore, id string) {
			f.change(id, func(g *tenant.Grant) { g.Key.PreviousUntil = time.Now().Add(2 * time.Hour) })
			time.Sleep(time.Hour + time.Minute)
		}, true, true},
		{"rotated again", func(f *fakeStore, id string) { f.rotate(id, 0) }, false, false},
		{"rotated again with an overlap", func(f *fakeStore, id string) { f.rotate(id, time.Hour) }, false, true},
		{"its time is over twice", func(f *fakeStore, id string) { f.rotate(id, time.Hour); time.Sleep(time.Hour) }, false, false},
		{"revoked", func(f *fakeStore, id string) { f.revoke(id) }, false, false},
		{"deleted", func(f *fakeStore, id string) { f.delete(id) }, false, false},
		{"another limit", func(f *fakeStore, id string) {
			f.change(id, func(g *tenant.Grant) { g.Key.Limits.Rate = new(7) })
		}, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := makeKey()
				w := newWorld(t, Config{}, newFakeStore(k.grant))
				first := w.open("", k)
				text := w.store.rotate(k.ID, time.Hour)
				time.Sleep(live)
				if first.Principal() == nil || len(w.takeChanged()) > 0 {
					t.Fatal("the rotation itself was felt by who came with the first secret")
				}
				second, err := w.Authenticate(t.Context(), home, "", text)
				if err != nil || second == first {
					t.Fatalf("the second secret gives %p, %v, want another handle than %p", second, err, first)
				}
				if again := w.open("", k); again != first {
					t.Errorf("the first secret gives %p now, want %p", again, first)
				}
				c.then(w.store, k.ID)
				time.Sleep(live)
				told := w.takeChanged()
				for name, s := range map[string]struct {
					handle *Handle
					text   string
					want   bool
				}{"first": {first, k.text(), c.first}, "second": {second, text, c.second}} {
					if got := s.handle.Principal() != nil; got != s.want {
						t.Errorf("the handle of the %s secret goes on: %v, want %v", name, got, s.want)
					}
					if !s.want && !slices.Contains(told, s.handle) {
						t.Errorf("OnChange was not called for the %s", name)
					}
					h, err := w.Authenticate(t.Context(), home, "", s.text)
					if s.want && h != s.handle || !s.want && !errors.Is(err, ErrWrongPass) {
						t.Errorf("the %s secret gives %p, %v, want it good: %v", name, h, err, s.want)
					}
				}
				if a, b := first.Principal(), second.Principal(); a != nil && b != nil && !same(a, b) {
					t.Errorf("the secrets have different principals: %+v, %+v", a, b)
				}
			})
		})
	}
}

// TestOverlapOfAKeyThatIsNotCached has a proxy see a key for the first time when it has two
// secrets.
func TestOverlapOfAKeyThatIsNotCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := makeKey()
		st := newFakeStore(k.grant)
		st.rotate(k.ID, time.Minute)
		w := newWorld(t, Config{}, st)
		h := w.open("", k)
		time.Sleep(time.Minute + live)
		if h.Principal() != nil {
			t.Error("the old secret's handle outlives the overlap")
		}
	})
}

// TestBadKeysAreTold has clients come with all kinds of keys: the bad ones are told of, with
// whose they are.
func TestBadKeysAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, revoked, expired, elsewhere, unknown := makeKey(), makeKey(), makeKey(), makeKey(), makeKey()
		revoked.grant.Key.RevokedAt, expired.grant.Key.ExpiresAt = time.Now(), time.Now()
		elsewhere.grant.Key.AllowFrom = tenant.Networks{netip.MustParsePrefix("10.0.0.0/8")}
		st := newFakeStore()
		for _, k := range []made{good, revoked, expired, elsewhere} {
			k.grant.Key.Name, k.grant.Seats.OrgID = "web", "org-of-"+k.ID
			st.grants[k.ID] = k.grant
		}
		s, err := New(Config{}, st, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		var told []BadKey
		s.OnBadKey(func(b BadKey) { told = append(told, b) })
		for _, c := range []struct{ name, user, id, text, reason string }{
			{"good", "", good.ID, good.text(), ""},
			{"no key", "", "", "password", ""},
			{"another instance", "nosuch", good.ID, good.text(), ""},
			{"revoked", "", revoked.ID, revoked.text(), ReasonRevoked},
			{"expired", "", expired.ID, expired.text(), ReasonExpired},
			{"another address", "", elsewhere.ID, elsewhere.text(), ReasonAddress},
			{"wrong secret", "", good.ID, GenerateFor(good.ID).Text.Reveal(), ReasonWrongSecret},
			{"unknown", "", unknown.ID, unknown.text(), ReasonUnknown},
		} {
			told = nil
			_, _ = s.Authenticate(t.Context(), home, c.user, c.text)
			want := []BadKey{{KeyID: c.id, KeyName: "web", OrgID: "org-of-" + c.id, Org: "acme", Addr: home, Reason: c.reason}}
			switch c.reason {
			case "":
				want = nil
			case ReasonUnknown:
				want = []BadKey{{KeyID: c.id, Addr: home, Reason: c.reason}}
			}
			if !slices.Equal(told, want) {
				t.Errorf("%s: told %+v, want %+v", c.name, told, want)
			}
		}
	})
}

// TestSessionsToEndAreTold has a change of the store name sessions.
func TestSessionsToEndAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newFakeStore()
		w := newWorld(t, Config{}, st)
		time.Sleep(live)
		w.store.with(func() { st.log = append(st.log, "-abc123-7", "-xyz999-8") })
		time.Sleep(live)
		w.mu.Lock()
		defer w.mu.Unlock()
		if !slices.Equal(w.sessions, []string{"abc123-7", "xyz999-8"}) {
			t.Errorf("told of %q, want abc123-7 and xyz999-8, each once", w.sessions)
		}
	})
}
