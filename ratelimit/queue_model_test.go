package ratelimit

import (
	"math/rand/v2"
	"testing"
	"time"
)

// waiter is a client that sends its next command when it has its reply, and whose commands wait.
type waiter struct {
	waits, certain bool
	place          int64
	due            time.Time // of what waits; of what was refused, when it is tried again
}

// turn has the client send commands while it need not wait, a few at most; it returns how many were admitted, and refused.
func (w *waiter) turn(b *Bucket, now time.Time, most time.Duration) (admitted, refused int) {
	for range 3 {
		if w.waits && !w.certain {
			w.look(b, now, most)
		}
		if now.Before(w.due) {
			return admitted, refused
		}
		if w.waits {
			w.waits = false
			admitted++
		} else if n, _ := b.Take(now, 1); n == 1 {
			admitted++
			continue
		}
		if _, ok := b.Reserve(now, 1, most); ok {
			w.waits, w.place = true, b.Place()
			w.look(b, now, time.Hour)
		} else {
			w.due = now.Add(100 * time.Millisecond)
			refused++
		}
	}
	return admitted, refused
}

// look finds out when the client's turn comes; when that is too late it gives it up.
func (w *waiter) look(b *Bucket, now time.Time, most time.Duration) {
	wait, certain := b.Until(now, w.place)
	w.due, w.certain = now.Add(wait), certain
	if certain && wait > most {
		b.Give(1)
		w.waits, w.due = false, now
	}
}

// Commands that wait for a limit of all proxies have what it allows, wherever their clients are, and no more than the bound; and none is
// refused for which there is a token in time.
func TestModelOfWaiting(t *testing.T) {
	for _, tt := range []struct {
		name        string
		proxies     int
		rate, burst int
		clients     []int
		most        time.Duration
		part        float64
	}{
		{"all clients at one of four", 4, 1000, 1, []int{100}, time.Second, 0.9},
		{"a few clients at one of four", 4, 1000, 1, []int{3}, time.Second, 0.9},
		{"more than can wait at one of two", 2, 200, 1, []int{500}, time.Second, 0.9},
		{"for long, at one of two", 2, 200, 1, []int{1200}, 5 * time.Second, 0.9},
		{"at all", 4, 1000, 1, []int{50, 50, 50, 50}, time.Second, 0.9},
		{"more than can wait at all", 4, 200, 1, []int{400, 400, 400, 400}, time.Second, 0.9},
		{"a low rate at one of four", 4, 10, 1, []int{5}, time.Second, 0.8},
		{"the lowest at one of eight", 8, 2, 2, []int{1}, time.Second, 0.6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := newModel(rand.New(rand.NewPCG(7, 7)), tt.proxies, tt.rate, tt.burst, testLease)
			var waiters [][]waiter
			for _, n := range tt.clients {
				waiters = append(waiters, make([]waiter, n))
			}
			var e excess
			const seconds = 8
			admitted, refused, all := 0, 0, 0
			for range seconds * 1000 {
				m.now = m.now.Add(time.Millisecond)
				got := 0
				for i, p := range m.proxies {
					b := p.registry.Bucket("k", ownBurst(m.rate, m.burst))
					for j := range at(waiters, i) {
						a, r := waiters[i][j].turn(b, m.now, tt.most)
						got, refused = got+a, refused+r
					}
					p.exchange(m)
				}
				admitted += got
				e.add(got, m.came())
			}
			for _, n := range tt.clients {
				all += n
			}
			if e.most > m.bound() {
				t.Errorf("in some time %.0f more commands were admitted than the rate brings in it, want at most %.0f", e.most, m.bound())
			}
			if part := float64(admitted) / float64(tt.rate*seconds); part < tt.part {
				t.Errorf("%.2f of the rate was admitted, want %.2f or more", part, tt.part)
			}
			if room := int(float64(tt.rate) * tt.most.Seconds()); refused > 0 && all <= room/2 {
				t.Errorf("%d commands were refused, want none: %d clients wait at %d/s for up to %v", refused, all, tt.rate, tt.most)
			}
			t.Logf("%d admitted, %d refused, %.0f in excess of %.0f", admitted, refused, e.most, m.bound())
		})
	}
}

// at is the i-th, or nothing.
func at(all [][]waiter, i int) []waiter {
	if i < len(all) {
		return all[i]
	}
	return nil
}
