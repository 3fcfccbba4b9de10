package proxy

import (
	"math"
	"time"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/resp"
)

// holder is who holds up an instance's commands: what one has begun the other does not end.
type holder uint8

const (
	byClient   holder = iota // CLIENT PAUSE
	byOperator               // PROXY PAUSE and PROXY KILL
	byMove                   // the instance is on its way to another backend: see Standstill

	holders = iota
)

// holdKey says whose commands are held up, and by whom.
type holdKey struct {
	instance string
	by       holder
}

// hold is a pause of one instance's clients, as one loop knows it.
type hold struct {
	lets    func(s *Session, it *item) bool // what goes on all the same
	waiting map[*Session]func()             // with what goes on when it is over
	timer   Timer                           // nil: somebody ends it
	ends    bool                            // blocked commands end, as if their time were over
}

// holdUp has the commands of an instance's clients wait for d; release lets them go.
func (c *Core) holdUp(of holdKey, d time.Duration, lets func(*Session, *item) bool) {
	h := &hold{lets: lets, waiting: map[*Session]func(){}}
	h.timer = c.After(d, func() { c.release(of) })
	c.hold(of, h)
}

// hold puts a hold into effect. Who waits already, for an earlier one of the same holder's,
// looks again and finds this one.
func (c *Core) hold(of holdKey, h *hold) {
	before := c.holds[of]
	if c.holds == nil {
		c.holds = map[holdKey]*hold{}
	}
	c.holds[of] = h
	before.end()
}

func (c *Core) release(of holdKey) {
	h := c.holds[of]
	delete(c.holds, of)
	h.end()
}

// end has go on what waits for the end of a pause, if there is one.
func (h *hold) end() {
	if h == nil {
		return
	}
	stop(&h.timer)
	for _, goOn := range h.waiting {
		goOn()
	}
}

// forget has no pause wait for a session that has ended.
func (c *Core) forget(s *Session) {
	for _, h := range c.holds {
		delete(h.waiting, s)
	}
}

// held reports whether a pause concerns the command; the session waits then.
func (s *Session) held(it *item) bool {
	h := s.holdOf(it)
	if h != nil {
		s.holdBack(h, s.resume)
	}
	return h != nil
}

// holdOf returns the pause that concerns the command; nil: there is none.
func (s *Session) holdOf(it *item) *hold {
	for by := range holder(holders) {
		h := s.core.holds[holdKey{s.principal.Route.InstanceID, by}]
		if h != nil && !h.lets(s, it) {
			return h
		}
	}
	return nil
}

// letsTransactionsEnd is an operator's pause: transactions that have begun come to their end.
func letsTransactionsEnd(s *Session, _ *item) bool { return s.pin.tx != none }

// letsRead is a pause of what writes.
func letsRead(_ *Session, it *item) bool { return !mayWrite(it) }

// letsNothing is a pause of all.
func letsNothing(*Session, *item) bool { return false }

func (s *Session) holdBack(h *hold, goOn func()) {
	h.waiting[s] = goOn
	s.heldUp = true
	s.pause(someone)
}

// heldOff reports whether an operator has paused the session's instance: then again is
// called when that is over. It is for what fails while the server is away, which may be what
// the pause is for.
func (s *Session) heldOff(again func()) bool {
	h := s.core.holds[holdKey{s.principal.Route.InstanceID, byOperator}]
	if h == nil {
		return false
	}
	s.holdBack(h, func() {
		s.wait, s.heldUp = nothing, false
		if again(); s.wait == nothing {
			s.resume()
		}
	})
	return true
}

// mayWrite reports whether a command changes what replicas have.
func mayWrite(it *item) bool {
	info := it.id.Info()
	return info.Flags&(command.FlagWrite|command.FlagMayReplicate) != 0 || info.Class == command.Script || info.Name == "exec" || it.id == command.Other
}

// clientPause serves CLIENT PAUSE timeout [WRITE|ALL].
func (s *Session) clientPause(it *item, args [][]byte) {
	ms, ok := resp.ParseInt(args[2])
	if ms > math.MaxInt64-time.Now().UnixMilli() {
		ms = 0 // Redis's sum is below zero then: long past
	}
	ms = min(ms, int64(100*365*24*time.Hour/time.Millisecond)) // a century is for ever
	switch {
	case len(args) > 4:
		s.refuse(it.id, badRequest, "ERR unknown subcommand or wrong number of arguments for 'PAUSE'. Try CLIENT HELP.")
	case !ok:
		s.refuse(it.id, badRequest, "ERR timeout is not an integer or out of range")
	case ms < 0:
		s.refuse(it.id, badRequest, "ERR timeout is negative")
	case len(args) == 4 && !equalFold(args[3], "write") && !equalFold(args[3], "all"):
		s.refuse(it.id, badRequest, "ERR CLIENT PAUSE mode must be WRITE or ALL")
	default:
		lets := letsNothing
		if len(args) == 4 && equalFold(args[3], "write") {
			lets = letsRead
		}
		s.onAllLoops(func(c *Core, instance string) {
			c.holdUp(holdKey{instance, byClient}, time.Duration(ms)*time.Millisecond, lets)
		})
	}
}

// onAllLoops runs fn on every loop for the session's instance and then answers OK.
func (s *Session) onAllLoops(fn func(c *Core, instance string)) {
	instance := s.principal.Route.InstanceID
	s.pause(someone)
	s.core.everywhere(func(c *Core) { fn(c, instance) }, func() {
		if s.closed {
			return
		}
		s.say([]byte("+OK\r\n"))
		s.resume()
	})
}
