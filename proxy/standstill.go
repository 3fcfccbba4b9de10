package proxy

import (
	"sync/atomic"
	"time"
)

// Lease is for how long a proxy may serve an instance that is on its way to another backend
// without hearing from the store, which would tell of the switch. All loops share it; it is
// safe for concurrent use.
type Lease struct {
	base  time.Time
	until atomic.Int64 // after base
}

// NewLease returns a lease until then, by the machine's monotonic clock.
func NewLease(until time.Time) *Lease { return &Lease{base: until} }

// Renew has the lease last until then.
func (l *Lease) Renew(until time.Time) { l.until.Store(int64(until.Sub(l.base))) }

// Over reports whether the lease has ended.
func (l *Lease) Over(now time.Time) bool { return int64(now.Sub(l.base)) >= l.until.Load() }

// MovePhase is how far an instance's move is.
type MovePhase uint8

// The phases. In each, all commands wait once the lease is over.
const (
	MoveAnnounced MovePhase = iota // commands go on
	MoveDraining                   // they wait, and what is under way comes to its end, transactions that have begun too
	MoveStill                      // nothing that may write is under way: reads go on
)

// Standstill holds up commands of the loop's clients of an instance that is moved, as its
// phase says; Moved ends that.
func (c *Core) Standstill(instance string, phase MovePhase, lease *Lease) {
	h := &hold{waiting: map[*Session]func(){}, ends: phase == MoveDraining}
	h.lets = func(s *Session, it *item) bool {
		switch {
		case lease.Over(s.core.Clock.Now()):
			return false
		case phase == MoveDraining:
			return s.pin.tx != none
		case phase == MoveStill:
			return roleOf(it) <= tells && !mayWrite(it)
		}
		return true
	}
	c.hold(holdKey{instance, byMove}, h)
	if h.ends {
		for s := range c.sessionsOf(instance) {
			s.endWait()
		}
	}
}

// drainingForMove reports whether what the session waits for may not come: others are kept
// from writing it.
func (s *Session) drainingForMove() bool {
	if len(s.core.holds) == 0 || s.principal == nil {
		return false
	}
	h := s.core.holds[holdKey{s.principal.Route.InstanceID, byMove}]
	return h != nil && h.ends
}

// Moved has the loop's sessions follow their principals, and then ends a Standstill: what has
// waited goes where the instance is now.
func (c *Core) Moved(instance string) {
	c.Refresh()
	c.release(holdKey{instance, byMove})
}

// EndTransactions disconnects the loop's clients of an instance that are in a transaction:
// nothing of it has been executed.
func (c *Core) EndTransactions(instance string) {
	for s := range c.sessionsOf(instance) {
		if s.pin.tx != none && s.pin.tx != refused {
			s.drop(errMoved)
		}
	}
}

// CutOff ends what is under way of an instance on the loop, if anything is: its connections close.
// Clients stay, and have others when commands go on.
func (c *Core) CutOff(instance string) {
	if c.UnderWay(instance) == 0 {
		return
	}
	for s := range c.sessionsOf(instance) {
		s.releaseLinks() // they end
	}
	c.Upkeep.Kill(instance)
}
