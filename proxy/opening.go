package proxy

import (
	"bytes"
	"errors"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/pool"
)

// opening is a cluster's transaction of which no command with a key has been queued yet. When
// the node does not have the slot, or not any more, nothing of the transaction is executed
// there, whatever has been sent: it goes, from its MULTI on, to the one that has.
type opening struct {
	s      *Session
	queued [][]byte   // what came before the first key: the client has been told QUEUED
	sent   []*attempt // what came since, in order; the first has the key
	bytes  int        // of these
	held   int        // bytes of all of it, which the session keeps
	tries  int
	vain   bool // the node has sent it away; the replies to the rest are to come
	left   int  // how many of them
	words  []byte
	over   bool
}

// attempt owns a command of an opening.
type attempt struct {
	moved
	o     *opening
	id    command.ID
	r     role
	raw   []byte
	reply []byte
}

// add makes a command one of the opening's. It keeps a copy of the bytes.
func (o *opening) add(it *item, r role, owner moved, raw []byte) *attempt {
	a := &attempt{moved: owner, o: o, id: it.id, r: r, raw: bytes.Clone(raw)}
	o.sent = append(o.sent, a)
	o.bytes += len(raw)
	o.held += len(raw)
	o.s.keep(len(raw))
	return a
}

// full reports whether a command is too large to be kept besides the others.
func (o *opening) full(raw []byte) bool {
	return len(o.sent) > 0 && o.bytes+len(raw) > maxQueued
}

// end says that the node has taken, or refused, the first command: it is the right one.
func (o *opening) end() {
	o.over, o.sent, o.queued = true, nil, nil
	if !o.s.closed {
		o.s.keep(-o.held)
	}
	o.held = 0
	if o.s.group.opening == o {
		o.s.group.opening = nil
	}
}

// doom says that the node has refused the first command, which tells nothing of its slot: an
// unknown command is refused by any. What follows would be queued, for nothing.
func (o *opening) doom() {
	o.s.group.doomed = true
	for _, a := range o.sent {
		a.instead = queuedText(a.r)
	}
}

// Replies implements pool.Owner.
func (a *attempt) Replies(b []byte, done int, partial bool) {
	o := a.o
	switch {
	case o.over:
		a.moved.Replies(b, done, partial)
		return
	case o.s.closed:
		return
	case o.vain:
		if o.left -= done; done > 0 && o.left == 0 {
			o.follow()
		}
		return
	}
	if a.reply = append(a.reply, b...); done == 0 {
		return
	}
	if slot := slotMoved(a.reply); slot < 0 || o.tries >= maxTries {
		switch {
		case slot >= 0:
			o.s.usage.Errors++
		case a.reply[0] == '-':
			o.doom()
		}
		o.end()
		a.moved.Replies(a.reply, done, false)
		return
	}
	o.tries++
	o.vain, o.left, o.words = true, len(o.sent)-1, a.reply
	a.reply = nil
	o.s.pause(someone) // no more of it is to go there
	if o.left == 0 {
		o.follow()
	}
}

// Failed implements pool.Owner.
func (a *attempt) Failed(id command.ID, err *pool.Error) {
	o := a.o
	switch {
	case o.over:
	case o.vain:
		if !o.s.closed {
			o.s.drop(errTransactionLost)
		}
		return
	default:
		o.end()
	}
	a.moved.Failed(id, err)
}

var errTransactionLost = errors.New("backend lost in a transaction")

// follow gives the link to the wrong node back, and begins anew at the one that it has named.
func (o *opening) follow() {
	s := o.s
	p := s.pin
	member, why := s.named(o.words, p.link.Key().Backend)
	s.unpin()
	s.pin.begun, s.pin.queued, s.pin.spoilt = p.begun, p.queued, p.spoilt
	s.borrowAt(member, func(l *pool.Link, err *pool.Error) {
		if err != nil {
			o.fail(err)
			return
		}
		if why == metrics.RetryAsk { // which holds for the whole transaction
			l.Ask(unasked, "ASKING")
		}
		l.Ask(func(reply []byte) {
			switch {
			case s.closed:
			case len(reply) == 0 || s.pin.link != l:
				s.drop(errTransactionLost)
			case reply[0] != '+':
				o.fail(pool.Refused(reply))
			default:
				o.sendAgain(l)
			}
		}, "MULTI")
	})
}

// sendAgain sends all of the transaction but its MULTI, which l's node has accepted.
func (o *opening) sendAgain(l *pool.Link) {
	s := o.s
	now := s.core.Clock.Nanos()
	o.vain = false
	for _, raw := range o.queued {
		_, _ = l.Send(unheard{}, raw, command.Other, now)
	}
	s.link = l
	for _, a := range o.sent {
		var err *pool.Error
		if s.last, err = l.Send(a, a.raw, a.id, now); err != nil {
			s.drop(errTransactionLost)
			return
		}
	}
	s.resume()
}

// fail answers all that was sent in vain: there is no link to the right node.
func (o *opening) fail(err *pool.Error) {
	s := o.s
	sent := o.sent
	o.end()
	if s.pin.tx != none { // its EXEC is to come
		s.pin.tx = none // and no node knows of it
		s.unpin()
		s.pin.tx, s.pin.poisoned, s.group.slot = pending, true, -1
	}
	for _, a := range sent {
		switch a.r {
		case exec:
			s.Replies(execAbort, 1, false)
		case discard:
			s.Replies([]byte("+OK\r\n"), 1, false)
		default:
			s.Failed(a.id, err)
		}
	}
	s.resume()
}
