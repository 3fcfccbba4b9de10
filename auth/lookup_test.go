package auth

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/respgate/respgate/tenant"
)

func TestSingleFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := makeKey()
		w := newWorld(t, Config{}, newFakeStore(k.grant))
		synctest.Wait()
		release := make(chan struct{})
		w.store.with(func() { w.store.hang = release })

		first, cancel := context.WithCancel(t.Context())
		answers := make(chan error, 10)
		for i := range 10 {
			ctx := t.Context()
			if i == 0 {
				ctx = first
			}
			go func() {
				_, err := w.Authenticate(ctx, home, "", k.text())
				answers <- err
			}()
			synctest.Wait()
		}
		cancel()
		if err := <-answers; !errors.Is(err, context.Canceled) {
			t.Errorf("who gave up got %v, want context.Canceled", err)
		}
		close(release)
		for range 9 {
			if err := <-answers; err != nil {
				t.Errorf("the others got %v, want a handle", err)
			}
		}
		if got := w.store.asks(k.ID); got != 1 {
			t.Errorf("the store was asked %d times, want once", got)
		}
	})
}

func TestLookupEndsWithTheLastWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := makeKey()
		w := newWorld(t, Config{}, newFakeStore(k.grant))
		synctest.Wait()
		release := make(chan struct{})
		w.store.with(func() { w.store.hang = release })
		ctx, cancel := context.WithCancel(t.Context())
		answers := make(chan error)
		for range 2 {
			go func() {
				_, err := w.Authenticate(ctx, home, "", k.text())
				answers <- err
			}()
		}
		synctest.Wait()
		cancel()
		for range 2 {
			if err := <-answers; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want context.Canceled", err)
			}
		}
		synctest.Wait()
		w.store.with(func() {
			if w.store.running != 0 {
				t.Errorf("%d calls to the store still run, want 0", w.store.running)
			}
		})
		close(release)
		w.open("", k)
		if reachable, _, err := w.Status(); !reachable {
			t.Errorf("the store counts as away (%v), but only its clients gave up", err)
		}
	})
}

func TestLookupsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{MaxLookups: 3}, newFakeStore())
		synctest.Wait()
		w.store.with(func() {
			w.store.answered = func(context.Context, string) { time.Sleep(10 * time.Millisecond) }
			w.store.most = 0
		})
		answers := make(chan error)
		var keys []made
		for range 60 {
			k := makeKey()
			w.store.with(func() { w.store.grants[k.ID] = k.grant })
			keys = append(keys, k)
		}
		w.store.with(func() {
			wait := w.store.answered
			w.store.answered = func(ctx context.Context, id string) {
				w.store.with(func() { w.store.running++; w.store.most = max(w.store.most, w.store.running) })
				wait(ctx, id)
				w.store.with(func() { w.store.running-- })
			}
		})
		for _, k := range keys {
			go func() {
				_, err := w.Authenticate(t.Context(), home, "", k.text())
				answers <- err
			}()
		}
		for range keys {
			if err := <-answers; err != nil {
				t.Errorf("got %v, want a handle", err)
			}
		}
		w.store.with(func() {
			if w.store.most != 3 {
				t.Errorf("%d look-ups ran at once, want 3", w.store.most)
			}
		})
	})
}

func TestStoreAway(t *testing.T) {
	tests := []struct {
		name  string
		gone  func(f *fakeStore)
		first time.Duration // what the first to ask may wait
	}{
		{"fails", func(f *fakeStore) { f.err = errors.New("connection refused") }, 0},
		{"hangs", func(f *fakeStore) { f.hang = make(chan struct{}) }, time.Second},
		{"hangs whatever the context", func(f *fakeStore) { f.hang, f.deaf = make(chan struct{}), true }, time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cached, fresh := makeKey(), makeKey()
				w := newWorld(t, Config{}, newFakeStore(cached.grant, fresh.grant))
				h := w.open("", cached)
				w.store.with(func() { tt.gone(w.store) })

				unavailable := func(within time.Duration) {
					t.Helper()
					begin := time.Now()
					_, err := w.Authenticate(t.Context(), home, "", fresh.text())
					if took := time.Since(begin); !errors.Is(err, ErrUnavailable) || took > within {
						t.Errorf("got %v after %v, want ErrUnavailable within %v", err, took, within)
					}
				}
				unavailable(tt.first)
				time.Sleep(2 * time.Second) // it is known now
				before := runtime.NumGoroutine()
				for range 10 {
					unavailable(0)
					time.Sleep(time.Second)
				}
				if after := runtime.NumGoroutine(); after > before+2 {
					t.Errorf("%d goroutines, %d before, want no more", after, before)
				}
				w.open("", cached)
				if h.Principal() == nil {
					t.Error("a cached key ended, want it kept while the store is away")
				}
				if reachable, n, err := w.Status(); reachable || n != 1 || err == nil {
					t.Errorf("Status() = %v, %d, %v, want false, 1 and why", reachable, n, err)
				}
				if _, failures := w.counts.get(); failures[ReasonUnavailable] != 11 {
					t.Errorf("failures are %v, want 11 unavailable", failures)
				}

				w.store.with(func() {
					w.store.err = nil
					if w.store.hang != nil {
						close(w.store.hang)
						w.store.hang = nil
					}
				})
				w.store.revoke(cached.ID)
				time.Sleep(2 * time.Second)
				w.open("", fresh)
				if h.Principal() != nil {
					t.Error("a key revoked meanwhile lives 2 s after the store is back")
				}
				if reachable, _, err := w.Status(); !reachable {
					t.Errorf("Status() says away: %v", err)
				}
			})
		})
	}
}

func TestStoreAwayAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newFakeStore()
		s, err := New(Config{}, st, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if reachable, _, err := s.Status(); reachable || err == nil {
			t.Errorf("before Run: Status() = %v, %v, want false and why", reachable, err)
		}
		st.err = errors.New("connection refused")
		w := newWorld(t, Config{}, st)
		synctest.Wait()
		if reachable, _, err := w.Status(); reachable || !errors.Is(err, st.err) {
			t.Errorf("Status() = %v, %v, want false, %v", reachable, err, st.err)
		}
		st.with(func() { st.err = nil })
		time.Sleep(time.Second)
		if reachable, _, err := w.Status(); !reachable || err != nil {
			t.Errorf("Status() = %v, %v, want true, nil", reachable, err)
		}
	})
}

func TestOneSlowKeyIsNotAStoreAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, good := makeKey(), makeKey()
		w := newWorld(t, Config{}, newFakeStore(slow.grant, good.grant))
		w.store.with(func() {
			w.store.answered = func(ctx context.Context, id string) {
				if id == slow.ID {
					<-ctx.Done()
				}
			}
		})
		if _, err := w.Authenticate(t.Context(), home, "", slow.text()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
		synctest.Wait()
		w.open("", good)
	})
}

// TestRevokedDuringLookup holds the answer to a look-up, which has read the key as it
// was, until the revocation has been seen.
func TestRevokedDuringLookup(t *testing.T) {
	tests := []struct {
		name   string
		change func(f *fakeStore, id string)
	}{
		{"revoked", func(f *fakeStore, id string) { f.revoke(id) }},
		{"deleted", func(f *fakeStore, id string) { f.delete(id) }},
		{"history cut", func(f *fakeStore, id string) {
			f.delete(id)
			f.with(func() { f.log = append(f.log, "x", "y"); f.cut = 3 })
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := makeKey()
				w := newWorld(t, Config{LookupTimeout: 10 * time.Second}, newFakeStore(k.grant))
				hold := make(chan struct{})
				w.store.with(func() { w.store.answered = func(context.Context, string) { <-hold } })
				answer := make(chan error)
				go func() {
					_, err := w.Authenticate(t.Context(), home, "", k.text())
					answer <- err
				}()
				synctest.Wait()
				tt.change(w.store, k.ID)
				time.Sleep(time.Second) // seen
				close(hold)
				if err := <-answer; !errors.Is(err, ErrWrongPass) {
					t.Errorf("got %v, want ErrWrongPass", err)
				}
				if got := w.store.asks(k.ID); got != 2 {
					t.Errorf("the store was asked %d times, want again after the change", got)
				}
				if _, ok := w.Cached(home, nil, []byte(k.text())); ok {
					t.Error("the old grant is in the cache")
				}
			})
		})
	}
}

func TestRevokedBetweenLookupAndPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := makeKey()
		w := newWorld(t, Config{}, newFakeStore(k.grant))
		synctest.Wait() // the first poll is over, and cannot see the revocation
		w.store.with(func() {
			w.store.answered = func(context.Context, string) {
				w.store.with(func() { w.store.answered = nil })
				w.store.revoke(k.ID)
			}
		})
		h := w.open("", k) // read before the revocation, which is not seen yet
		time.Sleep(time.Second)
		if h.Principal() != nil {
			t.Error("a revoked key's handle lives")
		}
	})
}

func TestErrorsHaveNoKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := makeKey()
		st := newFakeStore()
		st.broken[k.ID] = fmt.Errorf("disk: %w", context.DeadlineExceeded)
		w := newWorld(t, Config{}, st)
		_, err := w.Authenticate(t.Context(), home, "", k.text())
		if !errors.Is(err, ErrUnavailable) || errors.Is(err, tenant.ErrNotFound) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
		if want := ErrUnavailable.Error() + ": disk: context deadline exceeded"; err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
	})
}

func TestNobodyJoinsACancelledFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := makeKey()
		w := newWorld(t, Config{}, newFakeStore(k.grant))
		cancelled := false
		f := &flight{cancel: func() { cancelled = true }, done: make(chan struct{}), waiters: 2}
		w.Service.mu.Lock()
		w.flights[k.ID] = f
		w.Service.mu.Unlock()
		w.leave(k.ID, f)
		if cancelled {
			t.Error("the flight was cancelled while somebody waits")
		}
		w.leave(k.ID, f)
		if !cancelled {
			t.Error("the flight was not cancelled when nobody waits")
		}
		w.open("", k)
	})
}

func TestEntryDroppedBeforeItIsOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := makeKey()
		w := newWorld(t, Config{}, newFakeStore(k.grant))
		f := &flight{cancel: func() {}, done: make(chan struct{})}
		w.Service.mu.Lock()
		w.flights[k.ID] = f
		w.Service.mu.Unlock()
		answer := make(chan error)
		go func() {
			_, err := w.Authenticate(t.Context(), home, "", k.text())
			answer <- err
		}()
		synctest.Wait()
		w.Service.mu.Lock()
		f.entry = &entry{id: k.ID, generations: []generation{{hash: k.Hash}}, gone: true}
		delete(w.flights, k.ID)
		w.Service.mu.Unlock()
		close(f.done)
		if err := <-answer; err != nil {
			t.Errorf("got %v, want the key looked up again", err)
		}
	})
}
