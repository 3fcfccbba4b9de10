package proxy

import (
	"container/heap"
	"time"

	"github.com/respgate/respgate/internal/bare"
	"github.com/respgate/respgate/tenant"
)

// beyond serves a command for which there is no token: it is refused, or the session waits, and
// looks at it again: false. rest are the commands from it on.
func (s *Session) beyond(rest []item, r role, b *buckets, short *shortage) bool {
	if short.mode == tenant.LimitDelay && s.delay(rest, b.more, short) {
		return false
	}
	s.core.looked += answering
	s.rateLimited(rest[0].id, b, *short)
	s.turnedDown(r)
	s.pin.err, s.pin.waited = nil, 0
	return true
}

// delay has the session wait until there are tokens for the next commands. False says that it
// would be too long: what the shortage says then holds for all of rest.
func (s *Session) delay(rest []item, x *shaping, short *shortage) bool {
	if short.of == nil { // what was reserved is spent
		return true
	}
	n := 0
	for i := range rest {
		if rest[i].verdict.costs() {
			n++
		}
	}
	each := max(len(rest[0].frame.Raw), s.usualSize())
	wait, failed := x.reserve(s.core.Clock.Now(), x.portion(n, each), each)
	if failed.of != nil {
		*short = failed
		return false
	}
	if wait > 0 {
		x.since = s.core.Clock.Nanos()
		x.due = x.since + int64(wait)
		s.core.awaitTokens(s)
		s.heldUp = true
		s.pause(someone)
	}
	return true
}

// usualSize is how many bytes a command of the key's has with its reply, at the loop of late.
func (s *Session) usualSize() int {
	if s.usage.Commands == 0 {
		return 1
	}
	return max(1, int((s.usage.BytesIn+s.usage.BytesOut)/s.usage.Commands))
}

// delayed reports whether the session waits for tokens.
func (s *Session) delayed() bool { return s.buckets.more != nil && s.buckets.more.index >= 0 }

// unshape gives back what is reserved for the session, and reports whether it has waited for
// that: then it is for the caller to resume or to end it.
func (s *Session) unshape() bool {
	x := s.buckets.more
	if x == nil {
		return false
	}
	waits := x.index >= 0
	if waits {
		heap.Remove(&s.core.delays, x.index)
	}
	x.giveBack()
	return waits
}

// relimit has the session follow other limits: what waits asks again.
func (s *Session) relimit(p *tenant.Principal) {
	waits := s.unshape()
	s.buckets = bucketsOf(s.core.Limiters, p)
	if waits {
		s.resume()
	}
}

// Relimit has all sessions follow a change of the limits' defaults.
func (c *Core) Relimit() {
	for s := range c.sessions {
		if s.principal != nil {
			s.relimit(s.principal)
		}
	}
}

// settleShaped ends a batch of a session with shaping: of its commands served, used had a
// token, of asked.
func (s *Session) settleShaped(x *shaping, m *meter, served []item, asked, used int) {
	if n := x.settle(asked, used, s.buckets.more == x && !s.closed); n > 0 && !bare.On {
		m.tenant.RateDryRun(n)
		s.core.dryRuns.Interval = time.Second
		s.core.dryRuns.Do(func() { s.core.Log.Info("a limit would refuse commands: it is in dry run", s.about("commands", n)...) })
	}
	if s.waited > 0 {
		m.tenant.RateDelayed(used)
		s.waited = 0
	}
	if !x.measured {
		return
	}
	size := 0
	for i := range served {
		switch v := served[i].verdict; {
		case v == free:
			size += len(served[i].frame.Raw)
		case v.costs() && used > 0:
			size += len(served[i].frame.Raw)
			used--
		}
	}
	x.debit(s.core.Clock.Now(), size)
}

// debit counts n bytes that a backend has sent.
func (s *Session) debit(n int) {
	if s.buckets.more.measured {
		s.buckets.more.debit(s.core.Clock.Now(), n)
	}
}

// push gives the client what a backend has sent unasked.
func (s *Session) push(b []byte) {
	if s.buckets.more != nil {
		s.debit(len(b))
	}
	s.write(b, 0)
}

// overdrawn reports whether the session must get replies first, since their bytes count: a
// bucket would give too many on trust. It waits then.
func (s *Session) overdrawn() bool {
	x := s.buckets.more
	if !x.bytes[ofKey].enforced() && !x.bytes[ofOrg].enforced() || s.owed() < batchSize {
		return false
	}
	s.pause(idleness)
	return true
}

// delays are the loop's sessions that wait for tokens, a heap with the one whose wait ends
// first on top (container/heap), and the one timer of all of them.
type delays struct {
	waiting []*Session
	timer   Timer // nil: none has waited yet
	next    int64 // when it is due; 0: it is not running
}

// awaitTokens has the session's wait end when it is due.
func (c *Core) awaitTokens(s *Session) {
	heap.Push(&c.delays, s)
	c.awaitDelays()
}

// awaitDelays has the timer run until the first wait ends.
func (c *Core) awaitDelays() {
	d := &c.delays
	if len(d.waiting) == 0 {
		return // it finds nothing to do
	}
	due := d.waiting[0].buckets.more.due
	if d.next != 0 && d.next <= due {
		return
	}
	d.next = due
	wait := time.Duration(max(0, due-c.Clock.Nanos()))
	if d.timer == nil {
		d.timer = c.After(wait, c.endDelays)
	} else {
		d.timer.Reset(wait)
	}
}

// endDelays lets those go on whose wait has ended.
func (c *Core) endDelays() {
	d, now := &c.delays, c.Clock.Nanos()
	d.next = 0
	for len(d.waiting) > 0 && d.waiting[0].buckets.more.due <= now {
		if d.requeue(c.Clock) {
			continue
		}
		s := heap.Pop(d).(*Session)
		x := s.buckets.more
		x.waited = time.Duration(now - x.since)
		s.resume()
	}
	c.awaitDelays()
}

// Len implements heap.Interface.
func (d *delays) Len() int { return len(d.waiting) }

// Less implements heap.Interface.
func (d *delays) Less(i, j int) bool {
	return d.waiting[i].buckets.more.due < d.waiting[j].buckets.more.due
}

// Swap implements heap.Interface.
func (d *delays) Swap(i, j int) {
	w := d.waiting
	w[i], w[j] = w[j], w[i]
	w[i].buckets.more.index, w[j].buckets.more.index = i, j
}

// Push implements heap.Interface.
func (d *delays) Push(x any) {
	s := x.(*Session)
	s.buckets.more.index = len(d.waiting)
	d.waiting = append(d.waiting, s)
}

// Pop implements heap.Interface.
func (d *delays) Pop() any {
	last := len(d.waiting) - 1
	s := d.waiting[last]
	d.waiting[last] = nil
	d.waiting = d.waiting[:last]
	s.buckets.more.index = -1
	return s
}
