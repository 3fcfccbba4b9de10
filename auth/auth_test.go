package auth

import (
	"errors"
	"maps"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/tenant"
)

func TestAuthenticate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two, revoked, expired := makeKey("cache"), makeKey("main", "cache"), makeKey(), makeKey()
		revoked.grant.Key.RevokedAt = time.Now().Add(-time.Hour)
		expired.grant.Key.ExpiresAt = time.Now()
		here, elsewhere := makeKey(), makeKey() // the tests' addresses are in 10.0.0.0/8
		here.grant.Key.AllowFrom, elsewhere.grant.Key.AllowFrom = networks(t, "10.0.0.0/8"), networks(t, "192.0.2.0/24,2001:db8::/32")
		lost := makeKey("main", "cache") // its own instance is gone
		lost.grant.Routes = lost.grant.Routes[1:]
		w := newWorld(t, Config{}, newFakeStore(one.grant, two.grant, revoked.grant, expired.grant, here.grant, elsewhere.grant, lost.grant))

		wrong := GenerateFor(one.ID).Text.Reveal()
		typo := "rg_" + strings.Repeat("0", 12) + "_" + strings.Repeat("0", 32)
		tests := []struct {
			name, user, key string
			want, reason    string // the instance, or why not
		}{
			{"own instance", "", one.text(), "cache", ""},
			{"default", "default", one.text(), "cache", ""},
			{"by name", "cache", one.text(), "cache", ""},
			{"of several, own", "", two.text(), "main", ""},
			{"of several, own by name", "main", two.text(), "main", ""},
			{"of several, another", "cache", two.text(), "cache", ""},
			{"not its instance", "main", one.text(), "", ReasonInstance},
			{"names are as they are", "CACHE", one.text(), "", ReasonInstance},
			{"own instance gone", "", lost.text(), "", ReasonInstance},
			{"own instance gone, another", "cache", lost.text(), "cache", ""},
			{"empty", "", "", "", ReasonMalformed},
			{"typo", "", typo, "", ReasonMalformed},
			{"huge", "", strings.Repeat("x", 1<<20), "", ReasonMalformed},
			{"unknown", "", Generate().Text.Reveal(), "", ReasonUnknown},
			{"wrong secret", "", wrong, "", ReasonWrongSecret},
			{"wrong secret and instance", "main", wrong, "", ReasonWrongSecret},
			{"revoked", "", revoked.text(), "", ReasonRevoked},
			{"revoked, wrong secret", "", GenerateFor(revoked.ID).Text.Reveal(), "", ReasonWrongSecret},
			{"expired", "", expired.text(), "", ReasonExpired},
			{"from where it may be used", "", here.text(), "cache", ""},
			{"from elsewhere", "", elsewhere.text(), "", ReasonAddress},
			{"from elsewhere, wrong secret", "", GenerateFor(elsewhere.ID).Text.Reveal(), "", ReasonWrongSecret},
			{"from elsewhere, not its instance", "main", elsewhere.text(), "", ReasonAddress},
		}
		for i, tt := range tests {
			from := netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
			// The second time the answer comes from the cache.
			for range 2 {
				_, before := w.counts.get()
				h, err := w.Authenticate(t.Context(), from, tt.user, tt.key)
				_, after := w.counts.get()
				if got := after[tt.reason] - before[tt.reason]; tt.reason != "" && got != 1 {
					t.Errorf("%s: failures are %v, want one more %s", tt.name, after, tt.reason)
				}
				cached, ok := w.Cached(from, []byte(tt.user), []byte(tt.key))
				switch {
				case tt.want == "":
					if h != nil || !errors.Is(err, ErrWrongPass) || err.Error() != ErrWrongPass.Error() {
						t.Errorf("%s: got %v, %v, want just ErrWrongPass", tt.name, h, err)
					}
					if ok {
						t.Errorf("%s: Cached lets it in", tt.name)
					}
				case err != nil:
					t.Errorf("%s: %v", tt.name, err)
				default:
					p := h.Principal()
					if p.Route.Instance != tt.want || p.Org != "acme" || p.KeyID != h.KeyID() || !p.Commands.Has(uint16(command.Lookup([]byte("get")))) {
						t.Errorf("%s: principal is %+v, want instance %s of acme with GET", tt.name, p, tt.want)
					}
					if !ok || cached != h {
						t.Errorf("%s: Cached gives %p, %v, want the handle %p", tt.name, cached, ok, h)
					}
				}
			}
		}
		for _, k := range []made{one, two, revoked, expired, here, elsewhere} {
			if got := w.store.asks(k.ID); got != 1 {
				t.Errorf("the store was asked %d times for a key, want once", got)
			}
			if strings.Contains(w.log(), k.text()) {
				t.Error("a key stands in the log")
			}
		}
		if requests, failures := w.counts.get(); requests != 2*len(tests)+2*8 {
			t.Errorf("%d requests, want %d; failures: %v", requests, 2*len(tests)+2*8, failures)
		}
	})
}

func TestCachedDoesNotAllocateMuch(t *testing.T) {
	k := makeKey()
	s, err := New(Config{}, newFakeStore(k.grant), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Authenticate(t.Context(), home, "", k.text()); err != nil {
		t.Fatal(err)
	}
	user, key := []byte("default"), []byte(k.text())
	if got := testing.AllocsPerRun(100, func() {
		if _, ok := s.Cached(home, user, key); !ok {
			t.Error("a good key is not cached")
		}
	}); got > 0 {
		t.Errorf("Cached allocates %v times, want 0", got)
	}
}

func TestGoodKeyNeverWaitsForGuesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		known, fresh := makeKey(), makeKey()
		w := newWorld(t, Config{}, newFakeStore(known.grant, fresh.grant))
		w.open("", known)
		for range 50 {
			go func() { _, _ = w.Authenticate(t.Context(), home, "", Generate().Text.Reveal()) }()
			go func() { _, _ = w.Authenticate(t.Context(), home, "", GenerateFor(known.ID).Text.Reveal()) }()
			go func() { _, _ = w.Authenticate(t.Context(), home, "", GenerateFor(fresh.ID).Text.Reveal()) }()
			go func() { _, _ = w.Authenticate(t.Context(), home, "", "nonsense") }()
		}
		synctest.Wait()
		begin := time.Now()
		if _, ok := w.Cached(home, nil, []byte(known.text())); !ok {
			t.Error("a good key is not cached any more")
		}
		w.open("", known)
		w.open("", fresh)
		if took := time.Since(begin); took != 0 {
			t.Errorf("good keys waited %v, want 0", took)
		}
		elsewhere := netip.MustParseAddr("192.0.2.2")
		if _, err := w.Authenticate(t.Context(), elsewhere, "", "nonsense"); !errors.Is(err, ErrWrongPass) || time.Since(begin) != 0 {
			t.Errorf("a first guess from elsewhere got %v after %v, want ErrWrongPass at once", err, time.Since(begin))
		}
		if _, err := w.Authenticate(t.Context(), home, "", "nonsense"); !errors.Is(err, ErrWrongPass) || time.Since(begin) != maxDelay {
			t.Errorf("a guess got %v after %v, want ErrWrongPass after %v", err, time.Since(begin), maxDelay)
		}
	})
}

func TestUnreadableRulesAllowNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := makeKey()
		k.grant.Key.Commands = "+@all ~secret-pattern"
		w := newWorld(t, Config{}, newFakeStore(k.grant))
		p := w.open("", k).Principal()
		for id := range command.Num {
			if p.Commands.Has(uint16(id)) {
				t.Fatalf("%s is allowed, want nothing", id.Info().Name)
			}
		}
		if p.Commands.Unknown() {
			t.Error("unknown commands are allowed, want nothing")
		}
		if !strings.Contains(w.log(), k.ID) || strings.Contains(w.log(), k.text()) {
			t.Errorf("want the key's id in the log and not the key: %s", w.log())
		}
	})
}

func TestUnknownIsRememberedBriefly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := makeKey()
		w := newWorld(t, Config{}, newFakeStore())
		for range 3 {
			if _, err := w.Authenticate(t.Context(), home, "", k.text()); !errors.Is(err, ErrWrongPass) {
				t.Fatalf("got %v, want ErrWrongPass", err)
			}
		}
		if got := w.store.asks(k.ID); got != 1 {
			t.Errorf("the store was asked %d times, want once", got)
		}
		w.store.with(func() { w.store.grants[k.ID] = k.grant }) // and the change was not noted
		time.Sleep(10 * time.Second)
		w.open("", k)
	})
}

func TestCreatedKeyIsNoLongerUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := makeKey()
		w := newWorld(t, Config{}, newFakeStore())
		if _, err := w.Authenticate(t.Context(), home, "", k.text()); !errors.Is(err, ErrWrongPass) {
			t.Fatalf("got %v, want ErrWrongPass", err)
		}
		w.store.change(k.ID, func(g *tenant.Grant) { *g = k.grant })
		time.Sleep(time.Second)
		w.open("", k)
	})
}

func TestReasonsAreComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Reasons() {
		seen[r] = true
	}
	want := map[string]bool{"malformed": true, "unknown": true, "wrong_secret": true, "revoked": true, "expired": true, "address": true, "instance": true, "unavailable": true}
	if !maps.Equal(seen, want) {
		t.Errorf("got %v, want %v", seen, want)
	}
}
