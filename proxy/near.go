package proxy

import (
	"errors"
	"strings"
	"time"

	"github.com/respgate/respgate/cache"
	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/loop"
	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/pool"
)

const (
	// nearTick is how often the link of a near cache is asked for a sign of life.
	nearTick = 250 * time.Millisecond
	// nearTrust is for how long what is kept is trusted after the last command was sent whose
	// reply has come over the link: the most that a reply from the cache can be out of date.
	nearTrust = time.Second
	// nearSilence is for how long a link may owe replies and say nothing until it is asked nothing
	// more: that is before what is kept is trusted no longer. nearGiveUp is when it is closed.
	nearSilence = 500 * time.Millisecond
	nearGiveUp  = 5 * time.Second
	// nearAge is how long a reply is kept although nothing is known to have changed: Redis does not
	// announce all changes (SWAPDB), and forgets which keys are in use when nobody reads them there.
	nearAge = time.Minute
	// nearIdle is when a cache that nobody uses ends.
	nearIdle = time.Minute
	// nearRetry is when a link is tried again that could not be had, nearRefused when the backend
	// has refused to track.
	nearRetry   = time.Second
	nearRefused = time.Minute
	// maxPush is the most bytes of an announcement that are looked at: beyond, all is dropped.
	maxPush = 1 << 20
)

// nearKey says whose replies a near cache keeps: one server's, in the database of its URL.
type nearKey struct {
	instance, label string
	backend         pool.Backend
}

// nearCache keeps replies of one server on one loop. All it keeps has come over its own link, on
// which the server also announces which keys have changed: an announcement cannot overtake the
// reply that it is about, and whoever has the reply to a later command knows of all before.
type nearCache struct {
	core   *Core
	key    nearKey
	meter  *meter
	kept   *cache.Cache
	link   *pool.Link // nil: there is none
	cancel func()     // ends the wish for one, or nil
	timer  Timer
	ready  bool // what is asked over the link is tracked
	hashes bool // fields of hashes do not expire by themselves there
	asking bool // a sign of life is awaited
	closed bool

	heard   uint64 // the number of the last command that was answered
	heardAt int64  // when that was sent, nanoseconds of the loop's clock
	out     int    // commands that are sent and not answered
	moved   int64  // since when nothing has been answered
	used    int64  // when a client last asked
	retryAt int64
	until   int // commands until one is sampled

	push     []byte // an announcement so far
	overlong bool

	request, joined, scratch []byte // see requestOf, join and what translates
	sight                    pool.Sight
}

// Replies implements pool.Owner.
func (c *nearCache) Replies([]byte, int, bool) {}

// Failed implements pool.Owner.
func (c *nearCache) Failed(command.ID, *pool.Error) {}

// nearCache returns the cache for what the session asks; nil: there is none.
func (s *Session) nearCache() *nearCache {
	if s.db != s.backend.DB || s.core.Cache.Closed() {
		return nil
	}
	if c := s.near.at; c != nil && !c.closed {
		return c
	}
	key := nearKey{s.principal.Route.InstanceID, s.principal.Route.Label, s.backend}
	c := s.core.near[key]
	if c == nil {
		c = s.openNear(key)
	}
	s.near.at = c
	return c
}

// openNear makes the session's instance a cache.
func (s *Session) openNear(key nearKey) *nearCache {
	c := &nearCache{core: s.core, key: key, meter: s.meter, used: s.core.Clock.Nanos()}
	c.sampleIn()
	c.kept = s.core.Cache.Add(s.principal.Route.CacheBytes, c)
	if s.core.near == nil {
		s.core.near = map[nearKey]*nearCache{}
	}
	s.core.near[key] = c
	c.connect()
	c.timer = s.core.After(nearTick, c.tick)
	return c
}

// connect gets the cache its link and has what is asked over it tracked.
func (c *nearCache) connect() {
	key := pool.Key{Instance: c.key.instance, Label: c.key.label, Backend: c.key.backend, DB: c.key.backend.DB, Proto: 3}
	c.retryAt = c.core.Clock.Nanos() + int64(pool.Jitter(nearRetry))
	over := false
	cancel := c.core.Links.Borrow(key, pool.Tracker, func(l *pool.Link, err *pool.Error) {
		over, c.cancel = true, nil
		if err != nil {
			c.notConnected(err)
			return
		}
		c.link = l
		l.Hold(c)
		l.Ask(func(reply []byte) { c.tracked(l, reply) }, "CLIENT", "TRACKING", "ON")
		// A server that knows HEXPIRE has hashes that change without a word.
		l.Ask(func(reply []byte) { c.hashes = string(reply) == "*1\r\n_\r\n" }, "COMMAND", "INFO", "HEXPIRE")
		c.ping(l)
	})
	if !over {
		c.cancel = cancel
	}
}

// notConnected has a link be tried again: later when the server knows no RESP3.
func (c *nearCache) notConnected(err *pool.Error) {
	wait := nearRetry
	if err.Reply.Code() == "NOPROTO" {
		wait = nearRefused
		c.refused(string(err.Reply))
	}
	c.retryAt = c.core.Clock.Nanos() + int64(pool.Jitter(wait))
}

func (c *nearCache) refused(reason string) {
	c.core.Log.Warn("near cache is off: the backend refuses CLIENT TRACKING", "tenant", c.key.label, "reason", reason)
}

// tracked takes the server's word on whether it announces changes.
func (c *nearCache) tracked(l *pool.Link, reply []byte) {
	if c.link != l || len(reply) == 0 {
		return
	}
	if reply[0] == '+' {
		c.ready = true
		return
	}
	c.refused(strings.TrimSpace(string(reply[1:])))
	c.leave(nearRefused)
}

// ping asks for a sign of life.
func (c *nearCache) ping(l *pool.Link) {
	n, at := c.sent()
	c.asking = true
	l.Ask(func(reply []byte) {
		if c.link == l && len(reply) > 0 {
			c.asking = false
			c.answered(n, at)
		}
	}, "PING")
}

// sent counts a command that goes over the link.
func (c *nearCache) sent() (n uint64, at int64) {
	c.core.asked++
	at = c.core.Clock.Nanos()
	if c.out == 0 {
		c.moved = at
	}
	c.out++
	return c.core.asked, at
}

// answered takes note that command n, sent at that time, has been answered: all changes that
// the server had made when it was sent have been announced.
func (c *nearCache) answered(n uint64, at int64) {
	c.out--
	c.heard, c.heardAt, c.moved = n, at, c.core.Clock.Nanos()
}

// sure reports whether what is kept may be given.
func (c *nearCache) sure(now int64) bool {
	return c.ready && now-c.heardAt <= int64(nearTrust)
}

// takes reports whether more can be asked over the link: it answers.
func (c *nearCache) takes(now int64) bool {
	return c.ready && (c.out == 0 || now-c.moved <= int64(nearSilence)) && !c.link.Full()
}

// tick looks after the cache.
func (c *nearCache) tick() {
	now := c.core.Clock.Nanos()
	if now-c.used > int64(nearIdle) {
		c.close()
		return
	}
	switch {
	case c.link == nil && c.cancel == nil && now >= c.retryAt:
		c.connect()
	case c.link == nil:
	case c.out > 0 && now-c.moved > int64(nearGiveUp):
		c.link.Abort(errSilent)
	case c.link.Worn():
		if c.ready {
			c.ready = false // what is asked already is waited for
			c.clear()
		}
		if c.out == 0 {
			c.leave(0)
		}
	case c.ready && !c.asking:
		c.ping(c.link)
	}
	c.timer = c.core.After(nearTick, c.tick)
}

var errSilent = errors.New("the backend has not answered for too long")

// leave gives the link up, and with it all that is kept; another is had after that time.
func (c *nearCache) leave(wait time.Duration) {
	l := c.link
	c.lost(wait)
	l.GiveBack(pool.Spoilt)
}

// lost forgets a link.
func (c *nearCache) lost(wait time.Duration) {
	c.link, c.ready, c.asking, c.out = nil, false, false, 0
	c.push, c.overlong = nil, false
	c.retryAt = c.core.Clock.Nanos() + int64(wait)
	c.clear()
}

// clear drops all that is kept.
func (c *nearCache) clear() {
	if c.kept.Clear() > 0 {
		c.meter.tenant.CacheDropped()
	}
}

// close ends the cache.
func (c *nearCache) close() {
	c.closed = true
	stop(&c.timer)
	delete(c.core.near, c.key)
	if c.cancel != nil {
		c.cancel()
	}
	if c.link != nil {
		c.leave(0)
	}
	c.kept.Close()
}

// Pushed implements pool.Holder: the server announces what has changed.
func (c *nearCache) Pushed(b []byte, partial bool) {
	switch {
	case c.overlong || len(c.push)+len(b) > maxPush:
		c.overlong, c.push = true, nil
	case partial || len(c.push) > 0:
		c.push = append(c.push, b...)
		b = c.push
	}
	if partial {
		return
	}
	keys, all := [][]byte(nil), true
	if !c.overlong {
		keys, all = cache.Invalidated(b)
	}
	c.push, c.overlong = nil, false
	if all {
		c.clear()
		return
	}
	for _, key := range keys {
		if n := c.kept.Invalidate(key); n > 0 {
			c.meter.tenant.CacheInvalidated(n)
		}
	}
}

// Lost implements pool.Holder.
func (c *nearCache) Lost(err error) {
	reason := pool.Reason(err)
	if errors.Is(err, errSilent) {
		reason = err.Error()
	}
	if !errors.Is(err, loop.ErrStopped) {
		c.core.Log.Info("near cache dropped: its connection was lost", "tenant", c.key.label, "reason", reason)
	}
	c.lost(pool.Jitter(nearRetry))
}

// CacheHolds implements cache.Meter.
func (c *nearCache) CacheHolds(bytes, entries int) { c.meter.tenant.CacheHolds(bytes, entries) }

// CacheEvicted implements cache.Meter.
func (c *nearCache) CacheEvicted(why cache.Reason) {
	c.meter.tenant.CacheEvicted([...]metrics.Eviction{
		cache.InstanceFull: metrics.EvictedInstanceFull, cache.ProxyFull: metrics.EvictedProxyFull, cache.Expired: metrics.EvictedExpired,
	}[why])
}
