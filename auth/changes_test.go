package auth

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/tenant"
)

// live is the time a change may take to reach live connections.
const live = 2 * time.Second

func TestChangesReachLiveHandles(t *testing.T) {
	tests := []struct {
		name    string
		change  func(g *tenant.Grant)
		ends    bool
		changed bool // OnChange is called
		check   func(p *tenant.Principal) bool
	}{
		{"revoked", func(g *tenant.Grant) { g.Key.RevokedAt = time.Now() }, true, true, nil},
		{"expired", func(g *tenant.Grant) { g.Key.ExpiresAt = time.Now() }, true, true, nil},
		{"instance taken away", func(g *tenant.Grant) { g.Key.Instances, g.Routes = g.Key.Instances[:1], g.Routes[:1] }, true, true, nil},
		{"instance made anew", func(g *tenant.Grant) { g.Routes[1].InstanceID = "another" }, true, true, nil},
		{"rate", func(g *tenant.Grant) { g.Key.Limits.Rate = new(7) }, false, true,
			func(p *tenant.Principal) bool { return *p.Limits.Rate == 7 }},
		{"burst", func(g *tenant.Grant) { g.Key.Limits.Burst = new(7) }, false, true,
			func(p *tenant.Principal) bool { return *p.Limits.Burst == 7 }},
		{"reset", func(g *tenant.Grant) { g.Key.Limits.Reset = 1 }, false, true,
			func(p *tenant.Principal) bool { return p.Limits.Reset == 1 }},
		{"bytes", func(g *tenant.Grant) { g.Key.Limits.ByteRate = new(int64(7)) }, false, true,
			func(p *tenant.Principal) bool { return *p.Limits.ByteRate == 7 }},
		{"mode", func(g *tenant.Grant) { g.Key.Limits.Mode = tenant.LimitDelay }, false, true,
			func(p *tenant.Principal) bool { return p.Limits.Mode == tenant.LimitDelay }},
		{"commands", func(g *tenant.Grant) { g.Key.Commands = "+get" }, false, true,
			func(p *tenant.Principal) bool { return !p.Commands.Has(uint16(command.Lookup([]byte("set")))) }},
		{"commands that cannot be read", func(g *tenant.Grant) { g.Key.Commands = "+get >password" }, false, true,
			func(p *tenant.Principal) bool { return !p.Commands.Has(uint16(command.Lookup([]byte("get")))) }},
		{"address", func(g *tenant.Grant) { g.Routes[1].URL = "redis://other:1" }, false, true,
			func(p *tenant.Principal) bool { return p.Route.URL == "redis://other:1" }},
		{"slow log's threshold", func(g *tenant.Grant) { g.Routes[1].SlowlogThreshold = new(time.Second) }, false, true,
			func(p *tenant.Principal) bool { return *p.Route.SlowlogThreshold == time.Second }},
		{"instance renamed", func(g *tenant.Grant) { g.Key.Instances[1], g.Routes[1].Instance = "new", "new" }, false, true,
			func(p *tenant.Principal) bool { return p.Route.Instance == "new" }},
		{"networks", func(g *tenant.Grant) { g.Key.AllowFrom = tenant.Networks{netip.MustParsePrefix("10.0.0.0/8")} }, false, true,
			func(p *tenant.Principal) bool { return !p.AllowFrom.Allow(home) }},
		{"connections", func(g *tenant.Grant) { g.Seats.Key = 7 }, false, true,
			func(p *tenant.Principal) bool { return p.Seats.Key == 7 }},
		{"connections of the organization", func(g *tenant.Grant) { g.Seats.Org = 7 }, false, true,
			func(p *tenant.Principal) bool { return p.Seats.Org == 7 }},
		{"secret rotated", func(g *tenant.Grant) { g.Key.SecretHash[0]++ }, true, true, nil},
		{"certificate bound", func(g *tenant.Grant) { g.Key.CertificateName = "web" }, false, false,
			func(p *tenant.Principal) bool { return p != nil }},
		{"limit of the organization", func(g *tenant.Grant) { g.Quota.Rate = 7 }, false, true,
			func(p *tenant.Principal) bool { return p.Pace.Rate == 7 }},
		{"bytes and mode of the organization", func(g *tenant.Grant) { g.Quota.ByteRate, g.Quota.LimitMode = 7, tenant.LimitDryRun }, false, true,
			func(p *tenant.Principal) bool { return p.Pace == tenant.Pace{ByteRate: 7, Mode: tenant.LimitDryRun} }},
		{"name", func(g *tenant.Grant) { g.Key.Name = "renamed" }, false, true,
			func(p *tenant.Principal) bool { return p.KeyName == "renamed" }},
		{"commands that are noted", func(g *tenant.Grant) { g.Key.Audit = "+@write -del" }, false, true,
			func(p *tenant.Principal) bool {
				return p.Audit.Has(id("set")) && !p.Audit.Has(id("del")) && !p.Audit.Has(id("client|list"))
			}},
		{"noted commands that cannot be read", func(g *tenant.Grant) { g.Key.Audit = "+get >password" }, false, true,
			func(p *tenant.Principal) bool { return p.Audit.Has(id("set")) && p.Audit.Unknown() }},
		{"nothing", func(g *tenant.Grant) { g.Key.LastUsedAt = time.Now() }, false, false,
			func(p *tenant.Principal) bool { return p != nil }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := makeKey("main", "cache")
				k.grant.Key.Limits.Rate = new(5)
				w := newWorld(t, Config{}, newFakeStore(k.grant))
				h := w.open("cache", k)
				before := h.Principal()
				time.Sleep(live)
				w.takeChanged()
				w.store.change(k.ID, tt.change)
				time.Sleep(live)
				after := h.Principal()
				if (after == nil) != tt.ends {
					t.Fatalf("principal is %+v, want ended = %v", after, tt.ends)
				}
				if got := slices.Contains(w.takeChanged(), h); got != tt.changed {
					t.Errorf("OnChange called = %v, want %v", got, tt.changed)
				}
				if (after == before) == tt.changed {
					t.Errorf("another principal = %v, want %v", after != before, tt.changed)
				}
				if tt.check != nil && !tt.check(after) {
					t.Errorf("principal is %+v", after)
				}
			})
		})
	}
}

func TestAnInstanceTakenAwayLeavesTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := makeKey("main", "cache")
		w := newWorld(t, Config{}, newFakeStore(k.grant))
		main, cache := w.open("", k), w.open("cache", k)
		w.store.change(k.ID, func(g *tenant.Grant) { g.Key.Instances, g.Routes = g.Key.Instances[1:], g.Routes[1:] })
		w.store.with(func() { w.store.log = append(w.store.log, "/acme/main") })
		time.Sleep(live)
		if main.Principal() != nil || cache.Principal() == nil {
			t.Errorf("main: %+v, cache: %+v, want only main ended", main.Principal(), cache.Principal())
		}
		if got := w.open("", k); got != cache {
			t.Error("the key's own instance is not the one that is left")
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if !slices.Equal(w.deleted, []string{"acme/main"}) {
			t.Errorf("deleted: %v, want acme/main", w.deleted)
		}
	})
}

func TestAnEndedHandleStaysEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := makeKey()
		k.grant.Key.ExpiresAt = time.Now().Add(time.Minute)
		w := newWorld(t, Config{}, newFakeStore(k.grant))
		old := w.open("", k)
		time.Sleep(time.Minute + live)
		w.store.change(k.ID, func(g *tenant.Grant) { g.Key.ExpiresAt = time.Now().Add(time.Minute) })
		time.Sleep(live)
		if h := w.open("", k); h == old || old.Principal() != nil {
			t.Error("the handle of an expired key came back")
		}
	})
}

func TestDeletedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := makeKey()
		w := newWorld(t, Config{}, newFakeStore(k.grant))
		h := w.open("", k)
		w.store.delete(k.ID)
		time.Sleep(live)
		if h.Principal() != nil || h.KeyID() != k.ID {
			t.Errorf("principal %+v of key %q, want none of %q", h.Principal(), h.KeyID(), k.ID)
		}
		if !slices.Equal(w.takeChanged(), []*Handle{h}) {
			t.Error("OnChange was not called")
		}
		if _, err := w.Authenticate(t.Context(), home, "", k.text()); !errors.Is(err, ErrWrongPass) {
			t.Errorf("got %v, want ErrWrongPass", err)
		}
		if _, cached, _ := w.Status(); cached != 0 {
			t.Errorf("%d keys are cached, want 0", cached)
		}
	})
}

func TestExpiryByTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		soon, late, never := makeKey(), makeKey(), makeKey()
		soon.grant.Key.ExpiresAt = time.Now().Add(10 * time.Second)
		late.grant.Key.ExpiresAt = time.Now().Add(20 * time.Second)
		w := newWorld(t, Config{CacheSize: 1}, newFakeStore(soon.grant, late.grant, never.grant))
		s, l, n := w.open("", soon), w.open("", late), w.open("", never)
		w.store.with(func() { w.store.hang, w.store.deaf = make(chan struct{}), true })
		defer func() { w.store.with(func() { close(w.store.hang); w.store.hang = nil }) }()
		time.Sleep(9 * time.Second)
		if s.Principal() == nil {
			t.Error("a key ended before its time")
		}
		time.Sleep(2 * time.Second)
		if s.Principal() != nil || l.Principal() == nil {
			t.Error("a second after the first key's time, want it ended and the second not")
		}
		if !slices.Equal(w.takeChanged(), []*Handle{s}) {
			t.Error("OnChange was not called for the first key alone")
		}
		time.Sleep(10 * time.Second)
		if l.Principal() != nil || n.Principal() == nil {
			t.Error("want the second key ended and the third not")
		}
		runtime.KeepAlive(s)
	})
}

// TestClockGoesBack has the clock jump beyond a key's end and back again: the key is good
// once more, though what had been opened stays ended.
func TestClockGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := makeKey()
		k.grant.Key.ExpiresAt = time.Now().Add(time.Hour)
		w := newWorld(t, Config{}, newFakeStore(k.grant))
		h := w.open("", k)
		w.expire(time.Now().Add(2 * time.Hour))
		if h.Principal() != nil {
			t.Error("a key is live beyond its end")
		}
		if w.open("", k) == h || h.Principal() != nil {
			t.Error("a handle that had ended is live again")
		}
		w.store.with(func() { w.store.err = errors.New("away") })
		if _, ok := w.Cached(home, nil, []byte(k.text())); !ok {
			t.Error("the key is not cached as before")
		}
	})
}

func TestEvictedHandlesStillSeeChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var keys []made
		st := newFakeStore()
		for range 10 {
			k := makeKey()
			keys = append(keys, k)
			st.grants[k.ID] = k.grant
		}
		w := newWorld(t, Config{CacheSize: 2}, st)
		h := w.open("", keys[0])
		for _, k := range keys[1:] {
			w.open("", k)
		}
		if _, cached, _ := w.Status(); cached != 2 {
			t.Errorf("%d keys are cached, want 2", cached)
		}
		runtime.GC()
		if got := w.open("", keys[0]); got != h {
			t.Error("a key in use got a second handle")
		}
		for _, k := range keys[1:] {
			w.open("", k)
		}
		st.revoke(keys[0].ID)
		time.Sleep(live)
		if h.Principal() != nil {
			t.Error("a handle whose key fell out of the cache missed the revocation")
		}
		runtime.KeepAlive(h)
		h = nil
		w.takeChanged()
		runtime.GC()
		time.Sleep(sweepInterval + time.Second)
		w.Service.mu.Lock()
		defer w.Service.mu.Unlock()
		if got := len(w.index); got != 2 {
			t.Errorf("%d entries are left, want the 2 of the cache", got)
		}
	})
}

func TestCutHistory(t *testing.T) {
	tests := []struct {
		name string
		cut  func(f *fakeStore)
	}{
		{"incomplete", func(f *fakeStore) { f.log = append(f.log, "a", "b", "c"); f.cut = 5 }},
		{"another history", func(f *fakeStore) { f.log = f.log[:1] }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				revoked, deleted, same, created := makeKey(), makeKey(), makeKey(), makeKey()
				st := newFakeStore(revoked.grant, deleted.grant, same.grant)
				st.log = []string{"x", "y"}
				w := newWorld(t, Config{CacheSize: 1}, st)
				r, d, s := w.open("", revoked), w.open("", deleted), w.open("", same)
				if _, err := w.Authenticate(t.Context(), home, "", created.text()); !errors.Is(err, ErrWrongPass) {
					t.Errorf("got %v, want ErrWrongPass", err)
				}
				time.Sleep(live)
				st.with(func() {
					g := st.grants[revoked.ID]
					g.Key.RevokedAt = time.Now()
					st.grants[revoked.ID] = g
					delete(st.grants, deleted.ID)
					st.grants[created.ID] = created.grant
					tt.cut(st)
				})
				time.Sleep(live)
				if r.Principal() != nil || d.Principal() != nil || s.Principal() == nil {
					t.Errorf("revoked: %v, deleted: %v, unchanged: %v, want only the last to live", r.Principal(), d.Principal(), s.Principal())
				}
				w.open("", created)
			})
		})
	}
}

func TestChangedKeyThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken, fine := makeKey(), makeKey()
		w := newWorld(t, Config{}, newFakeStore(broken.grant, fine.grant))
		b, f := w.open("", broken), w.open("", fine)
		w.store.with(func() { w.store.broken[broken.ID] = errors.New("cannot unseal") })
		w.store.revoke(broken.ID)
		time.Sleep(live)
		if b.Principal() != nil || f.Principal() == nil {
			t.Error("want the session of the key that cannot be read ended, the other not")
		}
		if _, err := w.Authenticate(t.Context(), home, "", broken.text()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
		if reachable, _, err := w.Status(); !reachable {
			t.Errorf("the store counts as away for one key: %v", err)
		}
		if !strings.Contains(w.log(), broken.ID) {
			t.Errorf("the key's id is not in the log: %s", w.log())
		}
	})
}

func TestStoreGoesAwayWhileChangesAreRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newFakeStore()
		var handles []*Handle
		w := newWorld(t, Config{}, st)
		for range 50 {
			k := makeKey()
			st.with(func() { st.grants[k.ID] = k.grant })
			handles = append(handles, w.open("", k))
		}
		time.Sleep(live)
		hang, reads := make(chan struct{}), 0
		st.with(func() {
			st.answered = func(ctx context.Context, _ string) {
				hung := false
				st.with(func() {
					if reads++; reads == 10 {
						st.hang = hang
					}
					hung = st.hang != nil
				})
				if hung {
					<-ctx.Done()
				}
			}
		})
		for _, h := range handles {
			st.revoke(h.KeyID())
		}
		time.Sleep(20 * time.Second)
		ended := 0
		for _, h := range handles {
			if h.Principal() == nil {
				ended++
			}
		}
		if ended == 0 || ended > 10 {
			t.Errorf("%d of 50 handles ended before the store hung, want 1 to 10", ended)
		}
		if reachable, _, _ := w.Status(); reachable {
			t.Error("the store counts as reachable while it hangs")
		}
		st.with(func() { st.hang, st.answered = nil, nil })
		close(hang)
		time.Sleep(live)
		for _, h := range handles {
			if h.Principal() != nil {
				t.Fatal("a key revoked while the store went away lives on")
			}
		}
	})
}

func TestManyChangesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newFakeStore()
		w := newWorld(t, Config{}, st)
		var handles []*Handle
		for range 1000 {
			k := makeKey()
			st.with(func() { st.grants[k.ID] = k.grant })
			handles = append(handles, w.open("", k))
		}
		for _, h := range handles {
			st.revoke(h.KeyID())
			st.revoke(h.KeyID())
		}
		time.Sleep(live)
		for _, h := range handles {
			if h.Principal() != nil {
				t.Fatal("a revoked key lives on")
			}
		}
		if got := len(w.takeChanged()); got != len(handles) {
			t.Errorf("OnChange was called %d times, want once for each of %d", got, len(handles))
		}
	})
}
