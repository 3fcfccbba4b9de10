package pool

import (
	"math"
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
	Limited   time.Duration // that it waited for its limits
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

// lookout is what a link looks for while it hands out what has come at one time.
type lookout struct {
	now    int64
	slow   int64 // what was sent then or before is slow
	big    int
	before int64 // when the last reply came
	failed bool
}

// lookout returns what is looked for now.
func (l *Link) lookout(now int64) lookout {
	v := lookout{now: now, slow: math.MinInt64, big: math.MaxInt, before: l.answeredAt, failed: l.Failed}
	if l.Slow >= 0 {
		v.slow = now - int64(l.Slow)
	}
	if l.Big > 0 {
		v.big = l.Big
	}
	return v
}

// look has the meter see the command q, whose reply ends with piece, if it wants to. It is
// called for every reply.
func (v *lookout) look(l *Link, q *request, piece []byte) {
	if bare.On {
		return
	}
	l.until--
	if l.until < 0 || q.at <= v.slow || max(len(piece), int(q.size)) >= v.big || l.pieces > 0 || v.failed && l.isError() {
		v.lookClosely(l, q, piece)
	} else if q.taped {
		l.tape.skip(int(q.size))
	}
	v.before, l.answeredAt = v.now, v.now
}

func (v *lookout) lookClosely(l *Link, q *request, piece []byte) {
	var begins []byte
	if q.taped {
		begins = l.tape.next(int(q.size))
	}
	size := l.pieces + len(piece)
	l.pieces = 0
	var why tenant.Why
	if l.until < 0 {
		if l.Every > 0 {
			why = tenant.WhySampled
		}
		l.sampleIn()
	}
	if q.at <= v.slow {
		why |= tenant.WhySlow
	}
	if max(size, int(q.size)) >= v.big {
		why |= tenant.WhyBig
	}
	if v.failed && l.isError() {
		why |= tenant.WhyFailed
	}
	if why == 0 || ownCommand(q.owner) {
		return
	}
	l.sight = Sight{
		Owner: q.owner, ID: q.cmd, Why: why, Command: begins, Size: int(q.size), Reply: piece, ReplySize: size,
		Limited: time.Duration(q.held) * time.Microsecond, Waited: time.Duration(q.waited) * time.Microsecond, SentAt: q.at, Ahead: max(0, time.Duration(v.before-q.at)), Now: v.now,
	}
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

// Limited says that the n commands that were sent last had waited for so long for their limits.
func (l *Link) Limited(n int, d time.Duration) {
	for pos := l.q.tail; n > 0 && pos != l.q.head; {
		pos--
		q := l.q.at(pos)
		q.held = micros(int64(d))
		n -= int(q.n)
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
