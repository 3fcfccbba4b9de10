package proxy

import "time"

// freshTime is how long a client that has just connected may take to say what it has
// connected for, though the proxy is draining: a connection that was accepted in its last
// moments still serves a whole conversation of AUTH and one command.
const freshTime = time.Second

// Drain asks all sessions to end: each does when what had arrived from its client by now
// is answered, and its transaction, if it is in one, has ended. Waits end as if their time
// were over.
func (c *Core) Drain() {
	for s := range c.sessions {
		s.drain()
	}
}

func (s *Session) drain() {
	s.draining = true
	s.before = s.out.Arrived()
	s.conclude()
	s.endWait()
}

// conclude ends a draining session, unless there is something to be done first. What a
// client has sent that never pauses is cut between two commands, the first of which had
// begun to arrive before the drain did: what comes after is not executed.
func (s *Session) conclude() {
	fresh := freshTime - since(s.core.Clock, s.since)
	switch {
	case s.closing:
	case s.heldUp && !s.delayed():
		s.finish()
	case s.pin.tx != none:
	case s.before > 0 && s.out.Arrived() > 0:
	case s.sent == 0 && fresh > 0:
		s.core.After(fresh, s.conclude)
	default:
		s.finish()
	}
}

// concludeSoon has the session looked at when its input is accounted for.
func (s *Session) concludeSoon() { s.core.After(0, s.conclude) }
