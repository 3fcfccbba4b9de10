package ratelimit

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/respgate/respgate/tenant"
)

// sharing is what the buckets of a registry need to be one with those of other proxies.
type sharing struct {
	lease   time.Duration
	wake    chan struct{}
	proxies atomic.Int64 // this one among them
	alone   atomic.Int64 // buckets that are on their own

	mu    sync.Mutex // taken after a bucket's own
	fresh []*Bucket  // those that have begun to be used since the last Lease

	// Of who calls Lease and Settle.
	busy   []*Bucket // the others in use
	looked time.Time // when they were last looked at
	asked  []*Bucket // of the last Lease, in the order of its requests
}

// Share has all buckets from now on be shared with other proxies, by whoever calls Lease and
// Settle; no bucket may have been made yet. lease is for how long the tokens are good that
// are taken ahead. The channel has something when a bucket has begun to be used.
func (r *Registry) Share(lease time.Duration) (wake <-chan struct{}) {
	s := &sharing{lease: lease, wake: make(chan struct{}, 1)}
	s.proxies.Store(1)
	r.sharing = s
	return s.wake
}

// leaseTicks is how many looks there are at a bucket while what it has ahead lasts.
const leaseTicks = 5

// Tick is how often Lease is to be called while buckets are in use, for a Share with that lease.
func Tick(lease time.Duration) time.Duration { return lease / leaseTicks }

// Alone returns how many buckets are on their own, since they have not been answered.
func (r *Registry) Alone() int { return int(r.sharing.alone.Load()) }

// burst is what the shared bucket holds: what comes between two looks must not be lost.
func (s *sharing) burst(perSecond, burst int) int {
	return max(burst, int(math.Ceil(float64(perSecond)*2*Tick(s.lease).Seconds())))
}

// join has the bucket be looked at from now on.
func (s *sharing) join(b *Bucket) {
	s.mu.Lock()
	s.fresh = append(s.fresh, b)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default: // it has not been taken yet
	}
}

// Lease appends what buckets have to ask, for at most most of them; the others come first the
// next time. soon says that some are in use, so that it is to be called again in a Tick. Its
// requests must be settled before it is called again. Only one goroutine may use both.
func (r *Registry) Lease(now time.Time, requests []tenant.LeaseRequest, most int) (_ []tenant.LeaseRequest, soon bool) {
	s := r.sharing
	s.mu.Lock()
	all := s.fresh
	s.fresh = nil
	s.mu.Unlock()
	kept := s.busy
	if now.Sub(s.looked) >= Tick(s.lease) {
		s.looked, kept, all = now, nil, append(all, s.busy...)
	}
	clear(s.asked) // else it would hold on to buckets
	s.asked = s.asked[:0]
	for i, b := range all {
		if len(s.asked) == most {
			kept = append(all[i:len(all):len(all)], kept...)
			break
		}
		request, due, stays := b.ask(now)
		if due {
			requests = append(requests, request)
			s.asked = append(s.asked, b)
		}
		if stays {
			kept = append(kept, b)
		}
	}
	s.busy = kept
	return requests, len(kept) > 0
}

// Settle is given the answers to the requests that Lease has appended, in their order, and
// how many proxies share.
func (r *Registry) Settle(now time.Time, proxies int, leases []tenant.Lease) {
	if int64(proxies) != r.sharing.proxies.Load() {
		r.sharing.proxies.Store(int64(proxies))
		r.adjust()
	}
	for i, l := range leases {
		r.sharing.asked[i].settle(now, l)
	}
}
