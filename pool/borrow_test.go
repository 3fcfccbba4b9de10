package pool

import (
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

// TestCancelledWishIsNotGranted: a kept link that has yet to change its database is not
// given to who has given the wish up meanwhile, and is there for the next.
func TestCancelledWishIsNotGranted(t *testing.T) {
	server := testbed.Redis(t)
	b := newBench(t)
	backend, err := ParseURL(tenant.Secret("redis://" + server.Addr))
	if err != nil {
		t.Fatal(err)
	}
	key := func(db int) Key {
		return Key{Instance: "i", Label: "acme/cache", Backend: backend, DB: db, Proto: 2}
	}
	borrow := func(db int) *Link {
		t.Helper()
		granted := make(chan *Link, 1)
		b.loop.Do(func() {
			b.pool.Borrow(key(db), Pinned, func(l *Link, err *Error) {
				if err != nil {
					t.Error(err)
				}
				granted <- l
			})
		})
		select {
		case l := <-granted:
			return l
		case <-time.After(testbed.Patience):
			t.Fatal("no link")
			return nil
		}
	}
	first := borrow(5)
	b.loop.Do(func() { first.GiveBack(Clean) })
	calls := 0
	b.loop.Do(func() {
		cancel := b.pool.Borrow(key(0), Pinned, func(*Link, *Error) { calls++ })
		cancel()
	})
	testbed.Eventually(t, "the link is kept again", func() (kept bool) {
		b.loop.Do(func() { kept = len(b.pool.kept) > 0 })
		return kept
	})
	if second := borrow(0); second != first {
		t.Error("the link is not used again")
	}
	b.loop.Do(func() {
		if calls != 0 {
			t.Errorf("the wish that was given up has been answered %d times", calls)
		}
	})
}
