package proxy

import (
	"math/rand/v2"

	"github.com/tidwall/redcon"

	"github.com/respgate/respgate/cache"
	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/tenant"
)

// near is what a session has to do with near caches.
type near struct {
	at      *nearCache // the last one
	fence   uint64     // what is kept may be given when a command with this number has been answered
	moves   uint64     // when so many relayed commands are answered, the fence is to move
	asked   uint64     // the number of the last command of the session that went over a cache's link
	on      bool       // its instance has a cache
	fencing bool       // the fence is to move
}

// bypassed says that the session's relayed command with that number may change data, or shows
// what is newer than what is kept: the fence moves when it has been answered.
func (n *near) bypassed(number uint64) { n.fencing, n.moves = true, number }

const (
	// maxNearCommand is the longest command whose reply is kept, maxNearKeys how many keys MGET
	// may have at most for it.
	maxNearCommand = 4 << 10
	maxNearKeys    = 64
	maxNearBuffer  = 256 << 10
)

var getID, mgetID = command.Lookup([]byte("get")), command.Lookup([]byte("mget"))

// followCache has the session use its instance's cache, or not.
func (s *Session) followCache() {
	r := s.principal.Route
	wanted := r.CacheBytes > 0 && s.core.Cache != nil
	on := wanted && s.backend.Group == pool.Single
	if wanted && !on && !s.meter.uncached {
		s.meter.uncached = true
		s.core.Log.Warn("near cache is off: it is for instances of one server", "tenant", r.Label)
	}
	if on && !s.near.on {
		s.near.bypassed(s.sent) // what it has sent has not been noted
		s.near.fencing = s.sent > 0
	}
	s.near.on, s.near.at = on, nil
	if len(s.core.near) == 0 {
		return
	}
	if c := s.core.near[s.nearKey()]; c != nil && on {
		c.kept.SetBytes(r.CacheBytes)
	} else if c != nil {
		c.close()
	}
}

// leaveNear ends the cache of the session's instance when that is at another backend from now on.
func (s *Session) leaveNear(p *tenant.Principal) {
	if s.principal == nil || s.principal.Route.InstanceID != p.Route.InstanceID {
		return
	}
	if c := s.core.near[s.nearKey()]; c != nil {
		c.close()
	}
}

// SetCache changes the bounds of what near caches keep. Where they may keep nothing they end.
func (c *Core) SetCache(limits cache.Limits) {
	c.Cache.SetLimits(limits)
	if c.Cache.Closed() {
		for _, near := range c.near {
			near.close()
		}
	}
}

// forgetNear ends the caches of the instance called label.
func (c *Core) forgetNear(label string) {
	for key, near := range c.near {
		if key.label == label {
			near.close()
		}
	}
}

func (s *Session) nearKey() nearKey {
	return nearKey{s.principal.Route.InstanceID, s.principal.Route.Label, s.backend}
}

// keepable returns the rule by which a command's reply is kept.
func keepable(it *item) cache.Rule {
	rule := cache.RuleOf(it.id)
	switch {
	case rule == cache.Never || it.verdict != relayed || len(it.frame.Raw) > maxNearCommand || it.frame.Args < 2:
		return cache.Never
	case rule == cache.Single && it.frame.Args != 2, rule == cache.Many && it.frame.Args > 1+maxNearKeys:
		return cache.Never
	}
	return rule
}

// relayNear serves the commands that items begin with from the instance's cache, or over its
// link, and returns how many; there may be no more than most. The others are for relayRun.
//
// A reply from the cache must not be older than anything that the session knows. It knows of
// what it has sent itself: until that has been answered, and then the server has answered
// something sent later over the cache's link, nothing is given from the cache (the fence). And
// it will know of what it has asked there before, and waits for.
func (s *Session) relayNear(items []item, most int) (n int) {
	if most == 0 || keepable(&items[0]) == cache.Never || !s.unencumbered() {
		return 0
	}
	c := s.nearCache()
	if c == nil {
		return 0
	}
	now := s.core.Clock.Nanos()
	c.used = now
	if s.near.fencing {
		if s.near.moves > s.done {
			return 0
		}
		s.near.fencing, s.near.fence = false, s.core.asked+1
	}
	sure := c.sure(now) && c.heard >= s.near.fence && s.near.asked <= s.done
	run := 0
	for run < len(items) && keepable(&items[run]) != cache.Never {
		run++
	}
	asks := run == len(items) // else what follows would have to wait for the replies
	for n < min(run, most) && s.wait == nothing && !s.closing && (n == 0 || !s.isAhead()) {
		it := &items[n]
		rule := keepable(it)
		s.muteNow = false
		switch {
		case rule == cache.Hash && !c.hashes:
			return n
		case sure && s.serveKept(c, it, rule, now):
		case asks && c.takes(now) && s.owed() < maxOwed && (s.owed() == 0 || s.link == c.link) && s.askNear(c, it, rule):
			c.meter.tenant.CacheMissed(1)
			sure = false
		default:
			return n
		}
		s.current = it.id
		s.count(it)
		n++
	}
	return n
}

// serveKept answers a command from the cache, if that has its reply.
func (s *Session) serveKept(c *nearCache, it *item, rule cache.Rule, now int64) bool {
	var reply []byte
	if rule == cache.Many {
		reply = c.join(s, it, now)
	} else if e := c.kept.Get(c.requestOf(it), now); e != nil {
		reply = e.Reply()
	}
	if len(reply) == 0 {
		return false
	}
	if s.proto == 2 && !cache.SameInRESP2(reply) {
		var to2 cache.ToRESP2
		reply = to2.Append(c.scratch[:0], reply)
		c.scratch = reused(reply)
	}
	c.meter.tenant.CacheHit(s.core.Metrics, since(s.core.Clock, c.heardAt))
	c.meter.Answered(it.id, 0, 1)
	c.meter.tenant.Phase(metrics.PhasePool, 0, 1)
	c.look(s, it, reply)
	if s.buckets.more != nil {
		s.debit(len(reply))
	}
	s.say(reply)
	s.core.looked += len(reply) >> 10 // no backend's pace holds it up
	return true
}

// join makes MGET's reply of what is kept of its keys; nil: not of all.
func (c *nearCache) join(s *Session, it *item, now int64) []byte {
	s.core.args = it.frame.AppendArgs(s.core.args[:0])
	keys := s.core.args[1:]
	b := redcon.AppendArray(c.joined[:0], len(keys))
	for _, key := range keys {
		e := c.kept.Get(c.requestFor(key), now)
		if e == nil || len(e.Reply()) == 0 {
			return nil
		}
		b = append(b, e.Reply()...)
	}
	c.joined = reused(b)
	return b
}

// reused returns b as a buffer for the next, unless it is too large to be kept.
func reused(b []byte) []byte {
	if cap(b) > maxNearBuffer {
		return nil
	}
	return b[:0]
}

// requestOf returns what a command is known by in the cache, valid until the next call.
func (c *nearCache) requestOf(it *item) []byte {
	c.request = cache.AppendRequest(c.request[:0], it.id, cache.ArgsOf(it.frame.Raw))
	return c.request
}

// requestFor is requestOf for GET of a key.
func (c *nearCache) requestFor(key []byte) []byte {
	c.request = redcon.AppendBulk(cache.AppendRequest(c.request[:0], getID, nil), key)
	return c.request
}

// look has the observers see a command that was answered from the cache, if they want to.
func (c *nearCache) look(s *Session, it *item, reply []byte) {
	w, raw := &c.meter.watch, it.frame.Raw
	var why tenant.Why
	if c.until--; c.until < 0 {
		c.sampleIn()
		if w.Every > 0 {
			why = tenant.WhySampled
		}
	}
	if w.Slow == 0 {
		why |= tenant.WhySlow
	}
	if w.Big > 0 && max(len(raw), len(reply)) >= w.Big {
		why |= tenant.WhyBig
	}
	if why != 0 {
		c.sight = pool.Sight{Owner: s, ID: it.id, Why: why, Command: raw[:min(len(raw), 256)], Size: len(raw), Reply: reply, ReplySize: len(reply)}
		c.meter.Saw(&c.sight)
		c.sight = pool.Sight{}
	}
}

// sampleIn draws when the next command is sampled.
func (c *nearCache) sampleIn() {
	c.until = 1023 // to look whether that has changed
	if every := c.meter.watch.Every; every > 0 {
		c.until = rand.IntN(2*every - 1) //nolint:gosec // no secret
	}
}

// noteSent notes what relayed commands mean for what the session may be given from the cache.
func (s *Session) noteSent(items []item) {
	for i := range items {
		it := &items[i]
		if keepable(it) != cache.Never && s.db == s.backend.DB {
			s.meter.tenant.CacheMissed(1)
		}
		if cache.RuleOf(it.id) != cache.Never || cache.Changes(it.id) { // too long for the cache, it shows the same
			s.near.bypassed(s.sent)
		}
	}
}

// beforeKept returns the items that are relayed together: up to one that may be answered from
// the cache although those before it are under way.
func beforeKept(items []item) []item {
	for i := range items {
		switch {
		case keepable(&items[i]) != cache.Never:
			if i == 0 {
				return items
			}
			return items[:i]
		case cache.Changes(items[i].id):
			return items
		}
	}
	return items
}
