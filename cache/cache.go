// Package cache keeps replies of a Redis, to be given again. It does no I/O and knows no clock:
// who uses it says what has come, what has become invalid and what time it is. What it keeps is
// one event loop's and is used on its goroutine only.
package cache

import (
	"encoding/binary"

	"github.com/respgate/respgate/command"
)

// Reason is why a reply is kept no longer although nothing is known to have changed.
type Reason uint8

// The reasons.
const (
	InstanceFull Reason = iota // the instance has used its bytes
	ProxyFull                  // all instances together have used theirs
	Expired                    // its time is over
	NumReasons
)

// Meter is told what becomes of an instance's cache.
type Meter interface {
	// CacheHolds counts bytes and entries more, or less.
	CacheHolds(bytes, entries int)
	// CacheEvicted counts an entry that is dropped for that reason.
	CacheEvicted(Reason)
}

// Limits bound what a proxy keeps.
type Limits struct {
	Bytes      int64 // of all instances, over all loops
	EntryBytes int64 // of one reply
}

// Space is what one loop may keep, of all instances together.
type Space struct {
	loops  int
	limits Limits
	used   int
	caches []*Cache
}

// NewSpace returns one of as many spaces as there are loops, which share the limits evenly.
func NewSpace(limits Limits, loops int) *Space { return &Space{loops: loops, limits: limits} }

// SetLimits changes the limits of all loops together. What is kept beyond them is dropped.
func (s *Space) SetLimits(limits Limits) {
	s.limits = limits
	s.shrink(0)
}

// Closed reports whether nothing may be kept.
func (s *Space) Closed() bool { return s.limits.Bytes == 0 }

// Used returns how many bytes are kept.
func (s *Space) Used() int { return s.used }

// EntryBytes returns how many bytes a reply may have that is kept.
func (s *Space) EntryBytes() int { return int(s.limits.EntryBytes) }

// share is this loop's part of so many bytes.
func (s *Space) share(bytes int64) int { return int(bytes / int64(s.loops)) }

// shrink drops entries until there is room for so many bytes more: of whichever cache has most.
func (s *Space) shrink(more int) {
	for most := s.share(s.limits.Bytes); s.used+more > most; {
		biggest := &Cache{}
		for _, c := range s.caches {
			if c.used > biggest.used {
				biggest = c
			}
		}
		if biggest.used == 0 {
			return
		}
		biggest.evict(ProxyFull)
	}
}

// Cache is what is kept of one instance. Its replies are those of one server in one database,
// in RESP3.
type Cache struct {
	space   *Space
	meter   Meter
	bytes   int64 // what all loops may keep of the instance
	used    int
	entries map[string]*Entry // by request, see Request; pending ones too
	keys    map[string]*Entry // the first of the entries that have come from a key
	sieve   sieve
}

// overhead is what an entry takes besides the bytes of its request, its key and its reply, about:
// itself, its places in both maps and what allocations are rounded up by.
const overhead = 320

// Entry is a reply that is kept, or that is under way: pending.
type Entry struct {
	cache             *Cache // nil: it was dropped
	request, key      string
	reply             []byte // nil while it is pending, empty when it is one that is not kept
	until             int64  // when its time is over, as in Cache.Get
	sameKey, samePrev *Entry // others from its key
	newer, older      *Entry // in the sieve
	visited           bool   // it was given since the hand has come by
}

// Add returns a cache of at most so many bytes over all loops.
func (s *Space) Add(bytes int64, meter Meter) *Cache {
	c := &Cache{space: s, meter: meter, bytes: bytes, entries: map[string]*Entry{}, keys: map[string]*Entry{}}
	s.caches = append(s.caches, c)
	return c
}

// SetBytes changes how many bytes all loops may keep.
func (c *Cache) SetBytes(bytes int64) {
	c.bytes = bytes
	c.shrink(0)
}

// Close drops all that the cache keeps and ends it.
func (c *Cache) Close() {
	c.Clear()
	for i, other := range c.space.caches {
		if other == c {
			c.space.caches = append(c.space.caches[:i], c.space.caches[i+1:]...)
			break
		}
	}
}

// AppendRequest appends to dst what a request is known by: the command, and its arguments as
// they are encoded in RESP.
func AppendRequest(dst []byte, id command.ID, args []byte) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(id)), args...)
}

// Get returns the entry of a request, perhaps a pending one; nil: there is none. now is in
// nanoseconds, of any clock that never goes back.
func (c *Cache) Get(request []byte, now int64) *Entry {
	e := c.entries[string(request)] // does not allocate
	if e == nil || e.reply == nil {
		return e
	}
	if now >= e.until {
		c.drop(e)
		c.meter.CacheEvicted(Expired)
		return nil
	}
	e.visited = true
	return e
}

// Begin makes a pending entry for a request, for which there is none. It may be dropped before
// its reply comes: then that is not to be kept.
func (c *Cache) Begin(request, key []byte) *Entry {
	e := &Entry{cache: c, request: string(request), key: string(key)}
	c.entries[e.request] = e
	if first := c.keys[e.key]; first != nil {
		e.sameKey, first.samePrev = first, e
	}
	c.keys[e.key] = e
	return e
}

// Reply returns what is kept, which must not be changed; nothing while that is under way, or
// when it is known not to be kept.
func (e *Entry) Reply() []byte { return e.reply }

// Key returns the key that the entry has come from.
func (e *Entry) Key() string { return e.key }

// Pending reports whether the entry waits for its reply still.
func (e *Entry) Pending() bool { return e.cache != nil && e.reply == nil }

// Keep has a pending entry keep a copy of reply until that time; one that has been dropped does
// not. Of a reply that is too long, or empty, it keeps only that it is not to be kept, so that it
// is not asked for again with that aim.
func (e *Entry) Keep(reply []byte, until int64) {
	if !e.Pending() {
		return
	}
	c := e.cache
	most := min(c.space.share(c.bytes), c.space.share(c.space.limits.Bytes))
	if len(reply) > c.space.EntryBytes() || e.size()+len(reply) > most {
		reply = nil
	}
	size := e.size() + len(reply)
	if size > most {
		c.drop(e)
		return
	}
	c.shrink(size)
	c.space.shrink(size)
	e.reply, e.until = append(make([]byte, 0, len(reply)), reply...), until
	c.sieve.add(e)
	c.hold(size, 1)
}

// Drop drops the entry, if it has not been.
func (e *Entry) Drop() {
	if e.cache != nil {
		e.cache.drop(e)
	}
}

func (e *Entry) size() int { return overhead + len(e.request) + len(e.key) + len(e.reply) }

// Invalidate drops all that has come from a key and returns how many replies that were.
func (c *Cache) Invalidate(key []byte) (n int) {
	for e := c.keys[string(key)]; e != nil; n++ {
		next := e.sameKey
		c.drop(e)
		e = next
	}
	return n
}

// Clear drops everything, and returns how many entries that were.
func (c *Cache) Clear() (n int) {
	n = len(c.entries)
	for _, e := range c.entries {
		e.cache, e.reply = nil, nil
		e.sameKey, e.samePrev, e.newer, e.older = nil, nil, nil, nil
	}
	c.hold(-c.used, -c.sieve.n)
	c.sieve = sieve{}
	c.entries, c.keys = map[string]*Entry{}, map[string]*Entry{}
	return n
}

// Bytes returns how many bytes are kept, Len how many replies.
func (c *Cache) Bytes() int { return c.used }

// Len returns how many replies are kept.
func (c *Cache) Len() int { return c.sieve.n }

func (c *Cache) hold(bytes, entries int) {
	c.used += bytes
	c.space.used += bytes
	c.meter.CacheHolds(bytes, entries)
}

// shrink drops entries until the instance has room for so many bytes more.
func (c *Cache) shrink(more int) {
	for most := c.space.share(c.bytes); c.used+more > most && c.used > 0; {
		c.evict(InstanceFull)
	}
}

func (c *Cache) evict(why Reason) {
	c.drop(c.sieve.victim())
	c.meter.CacheEvicted(why)
}

func (c *Cache) drop(e *Entry) {
	delete(c.entries, e.request)
	switch {
	case e.samePrev != nil:
		e.samePrev.sameKey = e.sameKey
	case e.sameKey != nil:
		c.keys[e.key] = e.sameKey
	default:
		delete(c.keys, e.key)
	}
	if e.sameKey != nil {
		e.sameKey.samePrev = e.samePrev
	}
	if e.reply != nil {
		c.sieve.remove(e)
		c.hold(-e.size(), -1)
	}
	e.cache, e.reply, e.sameKey, e.samePrev = nil, nil, nil, nil
}
