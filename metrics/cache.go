package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Eviction is why a reply is in a near cache no longer although its key has not changed.
type Eviction uint8

// The reasons.
const (
	EvictedInstanceFull Eviction = iota // the instance has used its bytes
	EvictedProxyFull                    // all instances of the proxy have
	EvictedExpired                      // its time is over
	numEvictions
)

var evictionNames = [numEvictions]string{"instance_full", "proxy_full", "expired"}

var (
	descCacheHits          = desc("cache_hits_total", "Commands answered from the near cache.", "tenant")
	descCacheMisses        = desc("cache_misses_total", "Commands that a near cache could have answered, and that went to the backend.", "tenant")
	descCacheInvalidations = desc("cache_invalidations_total", "Replies dropped from the near cache since their key has changed.", "tenant")
	descCacheDrops         = desc("cache_drops_total", "Times that a loop's near cache of an instance was dropped whole: its connection was lost, or all data flushed.", "tenant")
	descCacheEvictions     = desc("cache_evictions_total", "Replies dropped from the near cache for other reasons: it is full, or their time is over.", "tenant", "reason")
	descCacheBytes         = desc("cache_bytes", "Bytes in the near cache, of all loops together.", "tenant")
	descCacheEntries       = desc("cache_entries", "Replies in the near cache, of all loops together.", "tenant")
	descCacheAge           = desc("cache_hit_age_seconds", "How old a reply from a near cache may have been at most: the time since a command was sent on its connection to the backend that has been answered since.")
)

// The counters of a near cache, in the row of sums.
const (
	cacheHits = iota
	cacheMisses
	cacheInvalidations
	cacheDrops
	cacheEvictions
	numCached = cacheEvictions + int(numEvictions)
)

// cached is what one loop counts of one tenant's near cache.
type cached struct {
	counters       [numCached]atomic.Uint64
	bytes, entries atomic.Int64
}

// cached returns the tenant's, which is there from then on.
func (t *Tenant) cached() *cached {
	c := t.cache.Load()
	if c == nil {
		c = new(cached)
		t.cache.Store(c)
	}
	return c
}

// CacheHit counts a command that was answered from the near cache of the loop l.
func (t *Tenant) CacheHit(l *Loop, age time.Duration) {
	t.cached().counters[cacheHits].Add(1)
	l.cacheAge.observe(age, 1)
}

// CacheMissed counts n commands that a near cache could have answered.
func (t *Tenant) CacheMissed(n int) { t.cached().counters[cacheMisses].Add(uint64(n)) } //nolint:gosec // n counts

// CacheInvalidated counts n replies whose key has changed.
func (t *Tenant) CacheInvalidated(n int) {
	t.cached().counters[cacheInvalidations].Add(uint64(n)) //nolint:gosec // n counts
}

// CacheDropped counts a near cache that was dropped whole.
func (t *Tenant) CacheDropped() { t.cached().counters[cacheDrops].Add(1) }

// CacheEvicted counts a reply that was dropped for that reason.
func (t *Tenant) CacheEvicted(why Eviction) {
	t.cached().counters[cacheEvictions+int(why)].Add(1)
}

// CacheHolds counts bytes and replies in the near cache more, or less.
func (t *Tenant) CacheHolds(bytes, entries int) {
	c := t.cached()
	c.bytes.Add(int64(bytes))
	c.entries.Add(int64(entries))
}

// countCache adds what is counted of a tenant's near cache, if it has had one.
func (s *sums) countCache(c *cached) {
	if c == nil {
		return
	}
	s.hasCache = true
	for i := range c.counters {
		s.counters[atCache+i] += c.counters[i].Load()
	}
	s.cacheBytes += c.bytes.Load()
	s.cacheEntries += c.entries.Load()
}

// collectCache sends the series of a tenant's near cache, if it has had one.
func (s *sums) collectCache(ch chan<- prometheus.Metric, label string) {
	if !s.hasCache {
		return
	}
	for i, d := range []*prometheus.Desc{cacheHits: descCacheHits, cacheMisses: descCacheMisses, cacheInvalidations: descCacheInvalidations, cacheDrops: descCacheDrops} {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(s.counters[atCache+i]), label)
	}
	for why, name := range evictionNames {
		n := s.counters[atCache+cacheEvictions+why]
		ch <- prometheus.MustNewConstMetric(descCacheEvictions, prometheus.CounterValue, float64(n), label, name)
	}
	ch <- prometheus.MustNewConstMetric(descCacheBytes, prometheus.GaugeValue, float64(s.cacheBytes), label)
	ch <- prometheus.MustNewConstMetric(descCacheEntries, prometheus.GaugeValue, float64(s.cacheEntries), label)
}

// collectCacheAge sends the histogram of all near caches.
func (m *Metrics) collectCacheAge(ch chan<- prometheus.Metric) {
	var sum [numDuration]uint64
	for _, l := range m.loops {
		l.cacheAge.addTo(sum[:])
	}
	ch <- newDuration(descCacheAge, sum[:], nil)
}
