package insight

import (
	"container/list"
	"net/netip"
	"time"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/tenant"
)

// minute is how long a period is, in nanoseconds: what is told is about the one that is
// under way and the one before.
const minute = int64(time.Minute)

// maxSlots is how many counters, and big commands, a loop keeps for all instances; beyond,
// those of the instance go of which nothing was seen for longest.
const maxSlots = 64 << 10

// slots are what one loop keeps of its instances.
type slots struct {
	watches map[string]*list.Element // of *watch, by instance
	recent  *list.List               // the same, what was seen last at the front
	used    int
}

func newSlots() slots { return slots{watches: map[string]*list.Element{}, recent: list.New()} }

// watch is what is kept of one instance.
type watch struct {
	instance string
	minute   int64 // number of the period that is under way
	now      *period
	before   *period // nil: there was none
}

// room is how many slots the watch takes.
func (w *watch) room() int {
	n := w.now.room()
	if w.before != nil {
		n += w.before.room()
	}
	return n
}

// turn has the watch be about the period that is under way.
func (w *watch) turn(now int64) {
	passed := now/minute - w.minute
	if passed <= 0 {
		return
	}
	w.minute = now / minute
	if w.before == nil {
		w.before = new(period)
	}
	w.before, w.now = w.now, w.before
	w.now.reset()
	if passed > 1 {
		w.before.reset()
	}
}

// period returns what is kept of an instance in the period that is under way.
func (s *slots) period(instance string, now int64) *period {
	at := s.watches[instance]
	if at == nil {
		at = s.recent.PushFront(&watch{instance: instance, minute: now / minute, now: new(period)})
		s.watches[instance] = at
	}
	s.recent.MoveToFront(at)
	w := at.Value.(*watch)
	w.turn(now)
	s.expire(now)
	return w.now
}

// expire drops what nobody is told of any more.
func (s *slots) expire(now int64) {
	for at := s.recent.Back(); at != nil && at.Value.(*watch).minute < now/minute-1; at = s.recent.Back() {
		s.drop(at)
	}
}

// shrink drops instances until there are not too many slots, but for the last.
func (s *slots) shrink() {
	for s.used > maxSlots && s.recent.Len() > 1 {
		s.drop(s.recent.Back())
	}
}

func (s *slots) drop(at *list.Element) {
	w := s.recent.Remove(at).(*watch)
	s.used -= w.room()
	delete(s.watches, w.instance)
}

// period is what was seen of an instance in a minute.
type period struct {
	keys    sketch[key]
	clients sketch[client]
	writes  biggest // commands
	replies biggest
}

func (p *period) reset() {
	p.keys.reset()
	p.clients.reset()
	p.writes.reset()
	p.replies.reset()
}

func (p *period) room() int {
	return p.keys.room() + p.clients.room() + p.writes.room() + p.replies.room()
}

// sample counts n commands of which one was seen, for its key and its client.
func (p *period) sample(s *slots, o *tenant.Observed, k key, n uint64) {
	before := p.room()
	if k.known {
		if item, fresh := p.keys.add(k.hash, n); fresh {
			item.become(k)
		}
	}
	item, _ := p.clients.add(uint64(o.Session), n) //nolint:gosec // an id
	*item = clientOf(o)
	s.used += p.room() - before
}

// measure takes note of a command or reply of many bytes.
func (p *period) measure(s *slots, o *tenant.Observed, k key) {
	before := p.room()
	if o.Size >= Big && command.ID(o.Command).Info().Flags&command.FlagWrite != 0 {
		p.writes.offer(o, k, k.hash, o.Size)
	}
	if o.ReplySize >= Big {
		p.replies.offer(o, k, k.hash^uint64(o.Command)<<48, o.ReplySize)
	}
	s.used += p.room() - before
}

// client is who sent a command.
type client struct {
	session int64
	addr    netip.AddrPort
	name    string // as of CLIENT SETNAME
	key     string // the API key's id
}

func clientOf(o *tenant.Observed) client {
	return client{session: o.Session, addr: o.Client, name: short(o.Name), key: o.Principal.KeyID}
}

// key is a key that a command names. What a sketch or a list keeps has bytes of its own.
type key struct {
	hash  uint64 // of its text and db
	text  []byte // its first maxText bytes
	cut   bool   // it is longer
	known bool   // there is one
	db    int
}

// become copies k over, into the room that is there.
func (of *key) become(k key) {
	text := of.text[:0]
	text = append(text, k.text...)
	*of = k
	of.text = text
}
