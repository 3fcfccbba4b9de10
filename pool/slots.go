package pool

import (
	"sync"
	"sync/atomic"
)

// Kind is what a link that one client has to itself is for; each kind has its
// bound.
type Kind uint8

// The kinds of such links.
const (
	Pinned     Kind = iota // a transaction, a blocking command: for a while
	Subscriber             // as long as the client listens
	Tracker                // the proxy's own: a loop's reads whose replies it keeps, and what has become of them
	kinds
)

// String returns the kind's label in metrics.
func (k Kind) String() string { return [...]string{"pinned", "subscriber", "cache"}[k] }

// Slots bound how many links of each kind there are to one instance, over all
// loops: those in use and those kept for later. It is safe for concurrent use.
type Slots struct {
	max [kinds]int
	obs WaitObserver

	waiting atomic.Int64 // places in all queues: links come back without a lock while there are none

	mu    sync.Mutex
	used  map[slot]int
	queue map[slot][]*place // who waits, oldest first
	pools []*Pool
}

// slot says what is bounded.
type slot struct {
	instance string
	kind     Kind
}

// place is a borrower's place in the queue. Whoever takes it out of the queue
// gives it a slot; its pool's loop is told.
type place struct {
	pool  *Pool
	given func() // runs on the pool's loop; the slot is the borrower's
}

// maxTrackers bounds the links of kind Tracker to an instance. Each loop has one, or two while it
// is to another server than before: the bound is for what nobody has thought of.
const maxTrackers = 4096

// NewSlots returns the bounds for pinned links and for subscribers.
func NewSlots(pinned, subscribers int) *Slots {
	return &Slots{max: [kinds]int{pinned, subscribers, maxTrackers}, obs: unobserved{}, used: map[slot]int{}, queue: map[slot][]*place{}}
}

// WaitObserver counts those who wait for a link of their own.
type WaitObserver interface {
	// LinkWaits is told of one that begins to wait (1) and of one that waits no more (-1).
	LinkWaits(label, kind string, n int)
	// LinksExhausted is told of one that has waited for as long as is allowed, for nothing.
	LinksExhausted(label, kind string)
}

// Observe has waits counted. It is called before there are any.
func (s *Slots) Observe(obs WaitObserver) { s.obs = obs }

func (s *Slots) join(p *Pool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pools = append(s.pools, p)
}

// take returns true when there is a slot free; else p waits for one, and the
// pools are asked to close a link that they keep for later.
func (s *Slots) take(k slot, p *place) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used[k] < s.max[k.kind] {
		s.used[k]++
		return true
	}
	s.queue[k] = append(s.queue[k], p)
	s.waiting.Add(1)
	for _, pool := range s.pools {
		pool.loop.Post(func() { pool.spare(k) })
	}
	return false
}

// leave gives up a place; false says that it has been given a slot already.
func (s *Slots) leave(k slot, p *place) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, q := range s.queue[k] {
		if q == p {
			s.queue[k] = append(s.queue[k][:i:i], s.queue[k][i+1:]...)
			s.waiting.Add(-1)
			return true
		}
	}
	return false
}

// wanted reports whether somebody waits for a slot.
func (s *Slots) wanted(k slot) bool {
	if s.waiting.Load() == 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue[k]) > 0
}

// release gives a slot back: to whoever has waited for the longest, unless there are more in
// use than may be.
func (s *Slots) release(k slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue[k]) > 0 && s.used[k] <= s.max[k.kind] {
		p := s.queue[k][0]
		s.queue[k] = s.queue[k][1:]
		s.waiting.Add(-1)
		if p.pool.loop.Post(p.given) {
			return
		}
	}
	if len(s.queue[k]) == 0 {
		delete(s.queue, k)
	}
	if s.used[k]--; s.used[k] == 0 {
		delete(s.used, k)
	}
}
