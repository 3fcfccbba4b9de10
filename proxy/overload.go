package proxy

import (
	"errors"
	"time"

	"github.com/respgate/respgate/loop"
	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/pool"
)

// Memory is what the process has for what is in flight.
type Memory interface {
	// Hold counts n bytes more, or less, that sessions keep besides what lies in their
	// connections' buffers. It is called on the loop's goroutine.
	Hold(n int)
	// Room returns how many bytes more the process may hold.
	Room() int64
}

// strangersTold is of how many clients that have not authenticated the log tells, before it
// tells of one a second.
const strangersTold = 10

var errMemory = errors.New("too much is in flight, and this client holds the most")

// drops are the reasons for which a client is dropped, with their labels in the metrics.
var drops = []struct {
	err   error
	label string
}{
	{errAuthTimeout, metrics.DroppedAuth},
	{errOutput, metrics.DroppedOutput},
	{errTorn, metrics.DroppedTorn},
	{errMemory, metrics.DroppedMemory},
	{loop.ErrStalled, metrics.DroppedStalled},
}

// noteDrop tells the operator of a client that was dropped; one that ends for another
// reason is none.
func (s *Session) noteDrop(err error) {
	for _, d := range drops {
		if !errors.Is(err, d.err) {
			continue
		}
		s.core.Metrics.Dropped(d.label)
		say := func() {
			s.core.Log.Info("client dropped", s.about("reason", err, "bytes", s.out.Held()+s.kept)...)
		}
		if s.principal != nil {
			say()
			continue
		}
		// It has not authenticated, and others may come as fast as they like: the metrics have all.
		s.core.strangers.First, s.core.strangers.Interval = strangersTold, time.Second
		s.core.strangers.Do(say)
	}
}

// keep counts n bytes more, or less, that the session keeps.
func (s *Session) keep(n int) {
	s.kept += n
	if s.core.Memory != nil {
		s.core.Memory.Hold(n)
	}
}

// rename sets one of the texts that clients may choose.
func (s *Session) rename(field *string, value string) {
	s.keep(len(value) - len(*field))
	*field = value
}

// Holding is a client and how many bytes the process has back when it goes: those in its
// connection's buffers, its replies that wait for others, its commands that wait for a
// backend to be connected, or are unsent on a link of its own. What has been given to a
// shared link's connection goes on without it.
type Holding struct {
	Session *Session
	Bytes   int
}

// Holdings returns what the loop's clients hold, of those who hold least bytes or more.
func (c *Core) Holdings(least int) (all []Holding) {
	waiting := map[*Session]int{}
	seen := map[*pool.Link]bool{}
	for s := range c.sessions {
		s.eachShared(func(l *pool.Link) {
			if l.Backlog() > 0 && !seen[l] {
				seen[l] = true
				l.EachWaiting(func(o pool.Owner, bytes int) { waiting[sessionOf(o)] += bytes })
			}
		})
	}
	for s := range c.sessions {
		n := s.out.Held() + s.kept + waiting[s]
		if s.pin.link != nil {
			n += s.pin.link.Unsent()
		}
		if n >= least {
			all = append(all, Holding{s, n})
		}
	}
	return all
}

// DropForMemory ends a client that holds too much, at once. Of its commands those that
// certainly have not been sent are forgotten; what was sent is answered to nobody.
func (s *Session) DropForMemory() {
	if s.closed {
		return
	}
	s.drop(errMemory)
	s.eachShared(func(l *pool.Link) {
		l.Disown(func(o pool.Owner) bool { return sessionOf(o) == s })
	})
}

// eachShared calls fn with the shared links that may owe the session something; it may be
// with the same several times.
func (s *Session) eachShared(fn func(*pool.Link)) {
	for _, l := range s.links {
		if l != nil {
			fn(l)
		}
	}
	for c := s.group.calls.head; c != nil; c = c.next {
		if c.link != nil {
			fn(c.link)
		}
		if c.join == nil {
			continue
		}
		for _, p := range c.join.parts {
			if p.link != nil {
				fn(p.link)
			}
		}
	}
}

// sessionOf returns the session that an owner of commands is, or acts for; nil where
// there is none.
func sessionOf(o pool.Owner) *Session {
	if r, ok := o.(pool.Rider); ok {
		s, _ := r.Client().(*Session)
		return s
	}
	return nil
}

const (
	// readAhead is how many unread bytes no client is ever paused for.
	readAhead = 1 << 20
	// roomShare says which part of what the process may still hold one client may leave
	// unread before it is paused.
	roomShare = 8
	// readPatience is how long a paused client may read nothing: as long as a client may
	// be above Redis's soft limit (client-output-buffer-limit pubsub 32mb 8mb 60).
	readPatience = time.Minute
)

// isAhead reports whether so much has been written since the output was last drained that it is
// time to see whether the client falls behind.
func (s *Session) isAhead() bool { return s.outBytes > min(readAhead, s.core.Limits.MaxOutput/2) }

// fallsBehind pauses a client that has left too much unread: what it asks for more would
// have to be kept. How much that is depends on what is free, so that few clients may have
// a lot and many have a little.
func (s *Session) fallsBehind() bool {
	limit := s.core.Limits.MaxOutput / 2
	if s.core.Memory != nil {
		limit = min(limit, max(readAhead, int(s.core.Memory.Room()/roomShare)))
	}
	if s.out.Unsent() <= limit {
		return false
	}
	s.pause(reading)
	s.watchReading(s.outBytes - s.out.Unsent())
	return true
}

// watchReading drops a paused client that goes on reading nothing; read is how much it has
// read.
func (s *Session) watchReading(read int) {
	s.patience = s.core.After(readPatience, func() {
		switch now := s.outBytes - s.out.Unsent(); {
		case s.closed:
		case now <= read:
			s.drop(errOutput)
		default:
			s.watchReading(now)
		}
	})
}

// What a turn of the loop may take of one client's commands, so that the others' come
// between them. It is counted in commands that are relayed.
const (
	// maxTurn is what a client may take of a turn, and
	maxTurn = 1024
	// busyTurn what all may take: of those that come later in the turn only so many
	// commands each are looked at as
	busyBatch = 16
	busyTurn  = 8 * maxTurn
	// answering is how many more a command counts that is refused or answered here, which
	// takes some microseconds and has no backend's pace to hold it up.
	answering = 7
)

// allowance returns up to how many commands of all clients the next client's may be looked
// at in this turn.
func (c *Core) allowance() int {
	if now := c.Clock.Nanos(); now != c.turn {
		c.turn, c.looked = now, 0
	}
	if c.looked >= busyTurn {
		return c.looked + busyBatch
	}
	return c.looked + maxTurn
}
