package proxy

import (
	"github.com/respgate/respgate/cache"
	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/pool"
)

// nearRead owns a command that goes over the link of a near cache: it gives its reply to the
// session, in the session's protocol, and to the cache, if that has room for it.
type nearRead struct {
	s       *Session
	c       *nearCache
	link    *pool.Link
	id      command.ID
	raw     []byte // to be sent again, elsewhere, when the link is lost
	nth     uint64 // of the session's relayed commands
	number  uint64
	sentAt  int64
	proto   int
	to2     cache.ToRESP2
	fills   []nearFill
	reply   []byte // as far as it has come, while it may be kept
	tooLong bool
}

// nearReadSize is what a read takes besides its command and its reply, about.
const nearReadSize = 256

// hold counts n bytes more, or less, that the read keeps: for its session, while that is there.
func (r *nearRead) hold(n int) {
	if !r.s.closed {
		r.s.keep(n)
	}
}

// let counts what the read keeps no more: it is over.
func (r *nearRead) let() { r.hold(-nearReadSize - len(r.raw) - len(r.reply)) }

// nearFill is an entry that a nearRead fills.
type nearFill struct {
	entry   *cache.Entry
	element int   // of the reply that it is
	until   int64 // when its key ends at the latest, nanoseconds of the loop's clock
	gone    bool  // there is no such key
}

// Client implements pool.Rider.
func (r *nearRead) Client() pool.Owner { return r.s }

// Replies implements pool.Owner.
func (r *nearRead) Replies(b []byte, done int, partial bool) {
	if done > 0 && r.c.link == r.link {
		r.c.answered(r.number, r.sentAt)
	}
	r.take(b)
	if done > 0 {
		r.let()
		r.settle()
	}
	if r.proto == 2 {
		b = r.to2.Append(r.c.scratch[:0], b)
		r.c.scratch = reused(b)
	}
	if len(b) > 0 || done > 0 {
		r.s.Replies(b, done, partial)
	}
}

// take keeps a piece of the reply for the cache.
func (r *nearRead) take(b []byte) {
	most := r.c.core.Cache.EntryBytes()
	if r.id == mgetID {
		most *= len(r.fills)
	}
	switch {
	case len(r.fills) == 0 || r.tooLong:
	case len(r.reply)+len(b) > most:
		r.hold(-len(r.reply))
		r.tooLong, r.reply = true, nil
	default:
		r.hold(len(b))
		r.reply = append(r.reply, b...)
	}
}

// settle fills the entries. Those whose keys have changed meanwhile have been dropped.
func (r *nearRead) settle() {
	switch {
	case len(r.fills) == 0:
	case r.id == mgetID:
		i := 0
		cache.Elements(r.reply, func(at int, element []byte) {
			if i < len(r.fills) && r.fills[i].element == at {
				r.fills[i].keepElement(element)
				i++
			}
		})
		for ; i < len(r.fills); i++ {
			r.fills[i].entry.Drop()
		}
	default:
		f := &r.fills[0]
		if len(r.reply) > 0 && r.reply[0] == '-' {
			r.reply = nil
		}
		f.entry.Keep(r.reply, f.until)
	}
}

// keepElement keeps what MGET says of a key as what GET would: null is for a key that is not
// there or, and that is not kept, for one that is no string.
func (f *nearFill) keepElement(element []byte) {
	if element[0] == '_' && !f.gone {
		element = nil
	}
	f.entry.Keep(element, f.until)
}

// Failed implements pool.Owner. It only reads, and nothing later of the session has run: it
// goes again, as if there were no cache, to where the instance is now. Not while its commands
// wait: the server may be away, or the instance may just be on its way.
func (r *nearRead) Failed(id command.ID, err *pool.Error) {
	if r.c.link == r.link {
		r.c.out--
	}
	for i := range r.fills {
		r.fills[i].entry.Drop()
	}
	r.let()
	s := r.s
	switch {
	case s.closed, s.partial, s.principal == nil, s.principal.Route.InstanceID != r.c.key.instance, s.group.topology != nil,
		s.proto != r.proto, s.db != s.backend.DB, s.holdOf(&item{id: id}) != nil:
		s.Failed(id, err)
		return
	}
	l := s.shared(pool.Plain)
	if l == nil {
		s.Failed(id, err)
		return
	}
	pos, refused := l.Send(s, r.raw, id, s.core.Clock.Nanos())
	if refused != nil {
		if r.nth != s.done+1 { // one before it goes again, and must be answered first
			s.drop(errTorn)
			return
		}
		s.Failed(id, refused)
		return
	}
	s.meter.tenant.Retry(metrics.RetryLostRead)
	l.Cut(pos) // what is said here after it waits for its reply
	s.link, s.last = l, pos
	s.near.bypassed(s.sent)
}

// askNear sends a command over the cache's link, and has its reply kept; false: it is not sent.
func (s *Session) askNear(c *nearCache, it *item, rule cache.Rule) bool {
	now := s.core.Clock.Nanos()
	r := &nearRead{s: s, c: c, link: c.link, id: it.id, raw: append([]byte(nil), it.frame.Raw...), proto: s.proto}
	if rule == cache.Many {
		r.fillEach(it, now)
	} else if request := c.requestOf(it); c.kept.Get(request, now) == nil {
		r.fills = []nearFill{{entry: c.kept.Begin(request, it.frame.Sub)}}
	}
	r.number, r.sentAt = c.sent()
	for i := range r.fills {
		r.askLife(&r.fills[i])
	}
	pos, err := c.link.Send(r, it.frame.Raw, it.id, now)
	if err != nil {
		for i := range r.fills {
			r.fills[i].entry.Drop()
		}
		c.out--
		return false
	}
	r.hold(nearReadSize + len(r.raw))
	s.link, s.last = c.link, pos
	s.sent++
	s.near.asked, r.nth = s.sent, s.sent
	s.meter.tenant.Phase(metrics.PhasePool, 0, 1)
	return true
}

// fillEach has the entries of MGET's keys filled that are not there yet.
func (r *nearRead) fillEach(it *item, now int64) {
	core := r.s.core
	core.args = it.frame.AppendArgs(core.args[:0])
	for i, key := range core.args[1:] {
		request := r.c.requestFor(key)
		if r.c.kept.Get(request, now) == nil {
			r.fills = append(r.fills, nearFill{entry: r.c.kept.Begin(request, key), element: i})
		}
	}
}

// askLife asks for how long a fill's key lives: Redis announces that it has ended only when it
// notices, which may be later. The answer, too, is void when the key changes before the value has come.
func (r *nearRead) askLife(f *nearFill) {
	f.until = r.sentAt + int64(nearAge)
	r.link.Ask(func(reply []byte) {
		ms, gone, ok := cache.Life(reply)
		switch {
		case !ok:
			f.entry.Drop()
		case ms >= 0:
			f.until = min(f.until, r.sentAt+ms*1_000_000)
		}
		f.gone = gone
	}, "PTTL", f.entry.Key())
}
