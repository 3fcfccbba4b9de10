package auth

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/respgate/respgate/tenant"
)

// TestConcurrentUse lets clients come and go, with a cache far too small, while keys
// change, are revoked and deleted: whoever is let in after a revocation was seen
// was let in wrongly.
func TestConcurrentUse(t *testing.T) {
	var keys []made
	st := newFakeStore()
	for range 40 {
		k := makeKey("main", "cache")
		keys = append(keys, k)
		st.grants[k.ID] = k.grant
	}
	s, err := New(Config{CacheSize: 5, PollInterval: time.Millisecond, LookupTimeout: 10 * time.Second, MaxLookups: 2}, st, &counts{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running, working sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })

	var mu sync.Mutex
	held := map[*Handle]bool{}
	for worker := range 4 {
		working.Go(func() {
			for range 2000 {
				k, user := keys[rand.IntN(len(keys))], []string{"", "cache"}[rand.IntN(2)]
				h, ok := s.Cached(home, []byte(user), []byte(k.text()))
				if !ok {
					ctx, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(1000))*time.Microsecond)
					h, _ = s.verifyOnly(ctx, user, k)
					cancel()
				}
				mu.Lock()
				if h != nil && worker%2 == 0 {
					held[h] = true
				}
				mu.Unlock()
			}
		})
	}
	working.Go(func() {
		for i, k := range keys {
			switch i % 4 {
			case 0:
				st.revoke(k.ID)
			case 1:
				st.delete(k.ID)
			case 2:
				st.change(k.ID, func(g *tenant.Grant) { g.Key.Limits.Reset++ })
			}
			runtime.GC()
			s.sweep()
		}
	})
	working.Wait()
	bad := func() (n int) {
		mu.Lock()
		defer mu.Unlock()
		for i, k := range keys {
			for h := range held {
				if i%4 < 2 && h.KeyID() == k.ID && h.Principal() != nil {
					n++
				}
			}
			if _, ok := s.Cached(home, nil, []byte(k.text())); ok && i%4 < 2 {
				n++
			}
		}
		return n
	}
	for deadline := time.Now().Add(10 * time.Second); bad() > 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d handles of revoked and deleted keys live on", bad())
		}
	}
	cancel()
	running.Wait()
}

// verifyOnly is Authenticate without the delay of failures.
func (s *Service) verifyOnly(ctx context.Context, user string, k made) (*Handle, error) {
	h, bad, err := s.verify(ctx, home, user, k.ID, &k.Hash)
	if bad.Reason != "" {
		return nil, errors.New(bad.Reason)
	}
	return h, err
}
