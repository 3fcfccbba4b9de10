package proxy

import (
	"sync"

	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/tenant"
)

// Seats count the authenticated clients of each key and each organization, over all loops,
// and hold them to as many as there may be. They are safe for concurrent use; nil bounds
// nothing. They cost something when a client authenticates or leaves only.
type Seats struct {
	refused func(p *tenant.Principal, reason string)

	mu    sync.Mutex
	taken map[seat]int // above 0
}

// seat says what is counted.
type seat struct{ of, id string }

// NewSeats returns empty ones. refused is called, on the loop's goroutine, for a client
// that is not let in because all seats are taken: those of its key, metrics.RefusedKey, or
// of its organization, metrics.RefusedOrg.
func NewSeats(refused func(p *tenant.Principal, reason string)) *Seats {
	return &Seats{refused: refused, taken: map[seat]int{}}
}

// move has a client that was from become to; nil is nobody. False says that there is no seat:
// then all stays as it was. Whoever has a seat keeps it, also where there are more now
// than may be.
func (s *Seats) move(from, to *tenant.Principal) bool {
	if s == nil {
		return true
	}
	if reason := s.exchange(from, to); reason != "" {
		s.refused(to, reason)
		return false
	}
	return true
}

// exchange returns the reason why it is not done, "" when it is.
func (s *Seats) exchange(from, to *tenant.Principal) (reason string) {
	was, _ := seatsOf(from)
	will, most := seatsOf(to)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, one := range will {
		if one != was[i] && most[i] > 0 && s.taken[one] >= most[i] {
			return one.of
		}
	}
	for i, one := range will {
		s.count(was[i], -1)
		s.count(one, 1)
	}
	return ""
}

func (s *Seats) count(one seat, n int) {
	if one == (seat{}) {
		return
	}
	if s.taken[one] += n; s.taken[one] == 0 {
		delete(s.taken, one)
	}
}

// seatsOf returns the seats that a client takes, and how many there are of each; nobody
// takes the zero ones.
func seatsOf(p *tenant.Principal) (seats [2]seat, most [2]int) {
	if p == nil {
		return seats, most
	}
	return [2]seat{{metrics.RefusedKey, p.KeyID}, {metrics.RefusedOrg, p.Seats.OrgID}}, [2]int{p.Seats.Key, p.Seats.Org}
}
