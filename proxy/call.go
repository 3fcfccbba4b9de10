package proxy

import (
	"time"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/pool"
)

// call is one command of a session to one of several servers. Its reply waits until those
// before it have been given to the client. It keeps the command's bytes: what a server has
// certainly not executed is sent again.
type call struct {
	s     *Session // nil: the client has left
	next  *call
	to    pool.Owner // who is told the reply: the session, or who makes it true
	id    command.ID
	slot  int   // -1: of none
	home  int   // without a slot: one of the primary's that it is for
	at    []int // of a part: which of the command's keys it has
	n     int   // how many arguments they are
	tries int
	raw   []byte
	link  *pool.Link
	asked bool          // sent behind ASKING
	begun bool          // part of the reply has been given to the client
	done  bool          // the whole reply is in reply
	reply []byte        // what has come while others were ahead, or may be an error to act on
	held  time.Duration // by a limit
	join  *join         // of which it is a part; nil: it is a command of its own
}

// calls are a queue.
type calls struct{ head, tail *call }

func (q *calls) push(c *call) {
	if q.head == nil {
		q.head = c
	} else {
		q.tail.next = c
	}
	q.tail = c
}

func (q *calls) pop() *call {
	c := q.head
	if q.head = c.next; q.head == nil {
		q.tail = nil
	}
	return c
}

// What a call that is over leaves for the next ones: at most so many, of buffers of at most
// so many bytes.
const (
	maxSpare      = 1024
	maxSpareBytes = 4096
)

// newCall queues a call, which the session owes its client from now on.
func (s *Session) newCall(id command.ID, to pool.Owner, raw []byte, slot int) *call {
	c := s.core.takeCall()
	c.s, c.to, c.id, c.slot, c.held = s, to, id, slot, s.waited
	c.raw = append(c.raw[:0], raw...)
	s.group.calls.push(c)
	s.keepCommand(len(raw))
	if s.muteNow {
		s.muteRelayed()
	}
	s.cut = s.muteNow
	s.meter.earn()
	s.sent++
	return c
}

// keepCommand counts n bytes more, or less, of commands that calls keep: they are no output
// that the client has not read.
func (s *Session) keepCommand(n int) {
	s.group.commands += n
	s.keep(n)
}

// popCall takes the call that is first, which is over, out of the queue.
func (s *Session) popCall() {
	s.keepCommand(-len(s.group.calls.pop().raw))
}

// abort closes the links that owe the call, or parts of it, something.
func (c *call) abort(err error) {
	if c.link != nil {
		c.link.Abort(err)
	}
	if c.join != nil {
		for _, part := range c.join.parts {
			part.abort(err)
		}
	}
}

func (c *Core) takeCall() *call {
	if n := len(c.spare); n > 0 {
		k := c.spare[n-1]
		c.spare = c.spare[:n-1]
		return k
	}
	return &call{}
}

// free keeps a call for the next one.
func (c *Core) free(k *call) {
	if len(c.spare) < maxSpare && cap(k.raw) <= maxSpareBytes && cap(k.reply) <= maxSpareBytes {
		*k = call{raw: k.raw[:0], reply: k.reply[:0]}
		c.spare = append(c.spare, k)
	}
}

// send hands the call to a link.
func (c *call) send(l *pool.Link) {
	c.link = l
	send := l.Send
	if c.asked {
		send = l.SendAsking
	}
	if _, err := send(c, c.raw, c.id, c.s.core.Clock.Nanos()); err != nil {
		c.Failed(c.id, err)
	} else if c.held > 0 {
		l.Limited(1, c.held)
	}
}

// Client implements pool.Rider: what follows a command whose fate is unknown is the same
// client's.
func (c *call) Client() pool.Owner { return c.s }

// Replies implements pool.Owner.
func (c *call) Replies(b []byte, done int, partial bool) {
	s := c.s
	switch {
	case s == nil || s.closed:
	case !c.begun && len(c.reply) == 0 && b[0] != '-' && c.streams():
		c.begun = true
		c.tell(b, done, partial)
	case c.begun:
		c.tell(b, done, partial)
	default:
		c.keep(b, done)
	}
}

// streams reports whether the reply may be given to the client as it comes: it is its turn,
// nobody makes it over, and nothing is pushed between.
func (c *call) streams() bool {
	return c.join == nil && c.to == pool.Owner(c.s) && c.s.group.calls.head == c && c.s.pin.link == nil
}

// tell gives the client the reply, or a part of it, of the call that is first.
func (c *call) tell(b []byte, done int, partial bool) {
	s, to := c.s, c.to
	if done == 0 {
		to.Replies(b, 0, partial)
		return
	}
	s.popCall()
	s.core.free(c)
	to.Replies(b, done, false)
	s.flushCalls()
}

// keep puts a reply by, and looks at it once it is whole.
func (c *call) keep(b []byte, done int) {
	s := c.s
	c.reply = append(c.reply, b...)
	s.keep(len(b))
	if s.out.Unsent()+s.kept-s.group.commands > s.core.Limits.MaxOutput {
		s.drop(errOutput)
		return
	}
	if done == 0 {
		return
	}
	if c.reply[0] == '-' && c.refused() {
		return
	}
	c.end()
}

// end says that the whole reply has been put by.
func (c *call) end() {
	c.done = true
	if c.join != nil {
		c.join.ended()
		return
	}
	c.s.flushCalls()
}

// flushCalls gives the client the replies whose turn has come.
func (s *Session) flushCalls() {
	for c := s.group.calls.head; c != nil && !s.closed; c = s.group.calls.head {
		if s.pin.link != nil && s.partial {
			return // in the middle of what is pushed
		}
		if !c.done {
			if len(c.reply) > 0 && c.reply[0] != '-' && c.streams() {
				c.begun = true
				reply := c.reply
				s.keep(-len(reply))
				c.reply = nil
				c.to.Replies(reply, 0, true)
			}
			return
		}
		s.popCall()
		s.keep(-len(c.reply))
		if c.reply[0] == '-' {
			s.usage.Errors++
		}
		c.to.Replies(c.reply, 1, false)
		s.core.free(c)
	}
}

// Failed implements pool.Owner.
func (c *call) Failed(id command.ID, err *pool.Error) {
	s := c.s
	switch {
	case s == nil || s.closed:
	case c.begun:
		s.popCall()
		s.Failed(id, err) // which ends the session, unless nothing of the reply has gone out
		s.flushCalls()
	case !err.Sent && !err.Held && c.mayWait(metrics.RetryUnsent):
		c.dropReply()
		s.sendAgain(c)
	case err.Sent && c.reads() && c.following() == nil && c.mayWait(metrics.RetryLostRead):
		c.dropReply()
		s.sendAgain(c)
	default:
		c.fail(err)
	}
}

func (c *call) dropReply() {
	c.s.keep(-len(c.reply))
	c.reply = c.reply[:0]
}

// fail answers the call with why there is no reply.
func (c *call) fail(err *pool.Error) {
	c.dropReply()
	why := unservedBy(err)
	c.reply = why.appendReply(c.reply, err.Error())
	c.s.meterRefusal(c.id, why, c.reply)
	c.s.keep(len(c.reply))
	c.end()
}

// reads reports whether the command changes nothing, so that it may be executed twice.
func (c *call) reads() bool {
	return c.id.Info().Flags&command.FlagReadonly != 0 && c.id.Info().Class == command.Shared
}
