package pool

import (
	"math/rand/v2"
	"time"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/internal/bare"
	"github.com/respgate/respgate/tenant"
)

// Sight is one command that is looked at, when its whole reply has come. Its slices are valid
// during the call only.
type Sight struct {
	Owner     Owner
	ID        command.ID
	Why       tenant.Why
	Command   []byte        // how it begins, as it was sent, up to 256 bytes; nil: it is not known
	Size      int           // bytes of the whole command
	Reply     []byte        // its reply, or the last piece of it
	ReplySize int           // bytes of the whole reply
	Waited    time.Duration // for a connection, before it was sent
	SentAt    int64         // nanoseconds of the loop's clock
	Ahead     time.Duration // for how long since then replies to others were still to come: see Own
	Now       int64
}

// Took is the time from sending the command to its reply.
func (s *Sight) Took() time.Duration { return time.Duration(s.Now - s.SentAt) }

// Own is the command's own part of that: the backend, which answers in order, had answered all
// that was sent before it over this link.
func (s *Sight) Own() time.Duration { return s.Took() - s.Ahead }

// watched is what a link needs to look at commands.
type watched struct {
	*tenant.Watch
	tape       tape
	until      int   // so many are answered until one is sampled
	pieces     int   // bytes of the reply at hand that have been handed out
	answeredAt int64 // when the reply before came
	sight      Sight // the last one, so that none is allocated
}

// count has the link count with m, and look for what that wants to see.
func (l *Link) count(m Meter) {
	l.meter = m
	l.Watch = m.Watch()
	l.sampleIn()
}

// sampleIn draws when the next command is sampled.
func (w *watched) sampleIn() {
	w.until = 1023 // to look whether that has changed
	if w.Every > 0 {
		w.until = rand.IntN(2*w.Every - 1) //nolint:gosec // no secret
	}
}

// record keeps how a command begins, if somebody may want to see it.
func (l *Link) record(raw []byte) bool {
	return !bare.On && l.Some() && l.tape.addOne(raw)
}

// recordAll is record for several.
func (l *Link) recordAll(raw []byte, parts []Part) bool {
	return !bare.On && l.Some() && l.tape.add(raw, parts)
}

// look has the meter see the command q, whose reply ends with piece, if it wants to. It is
// called for every reply.
func (l *Link) look(q *request, piece []byte, now int64) {
	if bare.On {
		return
	}
	var begins []byte
	if q.taped {
		begins = l.tape.next(int(q.size))
	}
	size := l.pieces + len(piece)
	l.pieces = 0
	before := l.answeredAt
	l.answeredAt = now
	var why tenant.Why
	if l.until--; l.until < 0 {
		if l.Every > 0 {
			why = tenant.WhySampled
		}
		l.sampleIn()
	}
	if l.Slow >= 0 && time.Duration(now-q.at) >= l.Slow {
		why |= tenant.WhySlow
	}
	if l.Big > 0 && max(size, int(q.size)) >= l.Big {
		why |= tenant.WhyBig
	}
	if l.Failed && l.isError() {
		why |= tenant.WhyFailed
	}
	if why != 0 {
		l.saw(q, piece, Sight{Why: why, Command: begins, ReplySize: size, Ahead: max(0, time.Duration(before-q.at)), Now: now})
	}
}

// saw fills in what s has of q, and has the meter see it.
func (l *Link) saw(q *request, piece []byte, s Sight) {
	if ownCommand(q.owner) {
		return
	}
	s.Owner, s.ID, s.Size, s.SentAt, s.Waited, s.Reply = q.owner, q.cmd, int(q.size), q.at, time.Duration(q.waited)*time.Microsecond, piece
	l.sight = s
	l.meter.Saw(&l.sight)
	l.sight = Sight{}
}

// isError reports whether the reply that the framer has just ended is an error.
func (l *Link) isError() bool {
	k := l.framer.Kind()
	return k == '-' || k == '!'
}

// ownCommand reports whether a command of that owner is the proxy's own.
func ownCommand(o Owner) bool {
	switch o.(type) {
	case *question, asking:
		return true
	}
	return false
}

// Delayed says that the command that was sent last had waited for so long for the link.
func (l *Link) Delayed(d time.Duration) {
	if d > 0 && l.q.len() > 0 {
		l.q.at(l.q.tail - 1).wait(int64(d))
	}
}

// rest gives the tape's memory back when the link owes nothing and has been quiet for a second.
func (l *Link) rest(now int64) {
	if l.q.len() == 0 && time.Duration(now-l.moved) > time.Second {
		l.forgetTape()
	}
}

// forgetTape drops what is kept of commands: those that stay have other places.
func (l *Link) forgetTape() { l.tape = tape{} }
