package proxy

import (
	"bytes"
	"slices"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/pool"
)

// chase owns a command that waits on a link of the session's own, such as BLPOP. A node that
// does not have the slot, or not any more, has not executed it: it is sent to the one that
// has, over another link, unless the session has something else on this one.
type chase struct {
	moved
	s     *Session
	id    command.ID
	raw   []byte
	tries int
	binds bool // it is a WATCH, the first: it has bound the session to the wrong node
}

func (s *Session) newChase(it *item, owner pool.Owner, binds bool) *chase {
	s.keep(len(it.frame.Raw))
	return &chase{moved: moved{Owner: owner, topology: s.group.topology}, s: s, id: it.id, raw: bytes.Clone(it.frame.Raw), binds: binds}
}

// sendToNode sends a command over the session's own link to a node of a cluster, which may not
// have the keys: outside a transaction, or in one; and it may be the first to bind the session.
func (s *Session) sendToNode(it *item, r role, owner pool.Owner, raw []byte, outside, binds bool) {
	l := s.pin.link
	var followed *chase
	switch o := s.group.opening; {
	case o != nil:
		owner = o.add(it, r, moved{Owner: owner, topology: s.group.topology}, raw)
	case r == waits && outside && it.id.Info().Class != command.Script, binds && r == watch:
		followed = s.newChase(it, owner, binds)
		owner = followed
	default:
		m := moved{Owner: owner, topology: s.group.topology}
		if s.group.doomed && !outside {
			m.instead = queuedText(r)
		}
		owner = m
	}
	if s.pin.asks && outside {
		l.Ask(unasked, "ASKING")
	}
	if !s.send(l, owner, raw, it.id) && followed != nil {
		followed.over()
	}
	if binds && s.owed() > 0 {
		s.pause(idleness) // what follows is for the node that has the keys
	}
}

// Replies implements pool.Owner.
func (c *chase) Replies(b []byte, done int, partial bool) {
	s := c.s
	slot := slotMoved(b)
	if slot >= 0 && c.binds && !s.closed {
		s.pin.watching = false // nothing is watched
	}
	if slot < 0 || s.closed || s.owed() > 1 || s.pin.link == nil || s.pin.bound() || c.tries >= maxTries {
		if slot >= 0 && !s.closed {
			s.usage.Errors++
		}
		if done > 0 {
			c.over()
		}
		c.moved.Replies(b, done, partial)
		return
	}
	c.tries++
	member, why := s.named(b, s.pin.link.Key().Backend)
	blocking := s.pin.blocking
	s.unpin()
	s.pin.blocking = blocking
	s.pause(someone)
	s.borrowAt(member, func(l *pool.Link, err *pool.Error) {
		if err == nil {
			if s.pin.watching = c.binds; c.binds {
				s.pin.hosts, s.pin.asks = slot+1, why == metrics.RetryAsk
			}
			err = c.send(l, why == metrics.RetryAsk)
		}
		if err != nil {
			c.Failed(c.id, err)
		}
		s.resume()
		if c.binds && s.owed() > 0 {
			s.pause(idleness) // what follows may be for yet another node
		}
		s.endWait()
	})
}

// Failed implements pool.Owner.
func (c *chase) Failed(id command.ID, err *pool.Error) {
	c.over()
	c.moved.Failed(id, err)
}

// over lets go of the command.
func (c *chase) over() {
	if !c.s.closed {
		c.s.keep(-len(c.raw))
	}
	c.raw = nil
}

// named returns the server that a node, from, names in MOVED or ASK, and which of them it is.
// What it says counts from now on.
func (s *Session) named(words []byte, from pool.Backend) (pool.Backend, metrics.Retry) {
	member := s.group.topology.Member(string(bytes.Fields(words)[2]), from)
	why := metrics.RetryAsk
	if words[1] == 'M' {
		why = metrics.RetryMoved
		s.group.topology.Moved(slotMoved(words), member.Addr)
	}
	s.group.topology.Refresh()
	s.noteStray(member)
	s.meter.tenant.Retry(why)
	return member, why
}

// noteStray remembers a server that the layout does not have, or not yet: WAIT asks it too.
func (s *Session) noteStray(member pool.Backend) {
	if l := s.group.layout; l != nil && !slices.Contains(l.Primaries, member) && !slices.Contains(s.group.strays, member) {
		s.group.strays = append(s.group.strays, member)
	}
}

// borrowAt gets the session, which waits, a link of its own to a member of the group, and
// calls then with it, or with why there is none.
func (s *Session) borrowAt(member pool.Backend, then func(*pool.Link, *pool.Error)) {
	if l := s.group.layout; l != nil {
		if i := slices.Index(l.Primaries, member); i >= 0 {
			s.group.at = i
		}
	}
	answered := false
	cancel := s.core.Links.Borrow(s.keyTo(member, s.db, pool.Plain), pool.Pinned, func(l *pool.Link, err *pool.Error) {
		answered = true
		if s.pin.cancel = nil; err == nil {
			s.pin.link = l
			l.Hold(s)
		}
		then(l, err)
	})
	if !answered {
		s.pin.cancel = cancel
	}
}

// send hands the command to another link.
func (c *chase) send(l *pool.Link, asking bool) (err *pool.Error) {
	send := l.Send
	if asking {
		send = l.SendAsking
	}
	c.s.link = l
	c.s.last, err = send(c, c.raw, c.id, c.s.core.Clock.Nanos())
	return err
}
