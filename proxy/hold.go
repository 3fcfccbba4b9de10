package proxy

import (
	"math"
	"time"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/resp"
)

// hold is a CLIENT PAUSE of one instance's clients, as one loop knows it.
type hold struct {
	until   int64 // nanoseconds of the loop's clock
	writes  bool  // only these are held up
	waiting map[*Session]struct{}
	timer   Timer
}

// holdUp has the commands of an instance's clients wait for d; release lets them go.
func (c *Core) holdUp(instance string, d time.Duration, writes bool) {
	c.release(instance)
	h := &hold{until: c.Clock.Nanos() + int64(d), writes: writes, waiting: map[*Session]struct{}{}}
	h.timer = c.After(d, func() { c.release(instance) })
	if c.holds == nil {
		c.holds = map[string]*hold{}
	}
	c.holds[instance] = h
}

func (c *Core) release(instance string) {
	h := c.holds[instance]
	if h == nil {
		return
	}
	delete(c.holds, instance)
	h.timer.Stop()
	for s := range h.waiting {
		s.resume()
	}
}

// forget has no CLIENT PAUSE wait for a session that has ended.
func (c *Core) forget(s *Session) {
	for _, h := range c.holds {
		delete(h.waiting, s)
	}
}

// held reports whether a CLIENT PAUSE concerns the command; the session waits then.
func (s *Session) held(it *item) bool {
	h := s.core.holds[s.principal.Route.InstanceID]
	if h == nil || h.writes && !mayWrite(it) {
		return false
	}
	h.waiting[s] = struct{}{}
	s.heldUp = true
	s.pause(someone)
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
		writes := len(args) == 4 && equalFold(args[3], "write")
		s.onAllLoops(func(c *Core, instance string) { c.holdUp(instance, time.Duration(ms)*time.Millisecond, writes) })
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
