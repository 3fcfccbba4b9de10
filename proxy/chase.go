package proxy

import (
	"bytes"

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
}

func (s *Session) newChase(it *item, owner pool.Owner) *chase {
	return &chase{moved: moved{owner, s.group.topology}, s: s, id: it.id, raw: bytes.Clone(it.frame.Raw)}
}

// Replies implements pool.Owner.
func (c *chase) Replies(b []byte, done int, partial bool) {
	s := c.s
	if slotMoved(b) < 0 || s.closed || s.owed() > 1 || s.pin.link == nil || s.pin.bound() || c.tries >= maxTries {
		c.moved.Replies(b, done, partial)
		return
	}
	c.tries++
	c.topology.Refresh()
	why := metrics.RetryMoved
	if b[1] == 'A' {
		why = metrics.RetryAsk
	}
	s.meter.tenant.Retry(why)
	member := c.topology.Member(string(bytes.Fields(b)[2]), s.pin.link.Key().Backend)
	blocking := s.pin.blocking
	s.unpin()
	s.pin.blocking = blocking
	s.pause(someone)
	answered := false
	cancel := s.core.Links.Borrow(s.keyTo(member, s.db, pool.Plain), pool.Pinned, func(l *pool.Link, err *pool.Error) {
		answered = true
		s.pin.cancel = nil
		if err == nil {
			s.pin.link = l
			l.Hold(s)
			err = c.send(l, why == metrics.RetryAsk)
		}
		if err != nil {
			s.Failed(c.id, err)
		}
		s.resume()
		s.endWait()
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
