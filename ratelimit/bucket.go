package ratelimit

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/respgate/respgate/tenant"
)

// Bucket limits one key, or one organization: it holds up to burst tokens, gets rate of them per
// second, and each command takes one. It is safe for concurrent use.
type Bucket struct {
	registry *Registry
	key      string
	rate     atomic.Int64 // 0: unlimited

	mu      sync.Mutex
	limits  tenant.Limits
	limiter *rate.Limiter
	last    time.Time // the latest time seen
	kept    bool      // the registry holds on to it
}

func newBucket(r *Registry, key string, l tenant.Limits) *Bucket {
	b := &Bucket{registry: r, key: key, limits: l, limiter: rate.NewLimiter(0, 0)}
	b.adjust()
	b.give(b.limiter.Burst())
	return b
}

// Take asks for n tokens at the time now and grants as many of them as there
// are, 0 to n. When that is less than n, retry is the time from now until there
// is one. The time of a bucket never goes back: callers' clocks may differ by
// the length of a loop's turn, and x/time/rate refills twice for a time that
// it has passed before. An unlimited bucket grants n without a lock.
func (b *Bucket) Take(now time.Time, n int) (granted int, retry time.Duration) {
	if n <= 0 {
		return 0, 0
	}
	if b.rate.Load() == 0 {
		return n, 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	at := b.advance(now)
	if !b.kept {
		b.kept = true
		b.registry.keep(b, true)
	}
	if b.limiter.AllowN(at, n) {
		return n, 0
	}
	tokens := b.limiter.TokensAt(at)
	granted = int(tokens)
	b.limiter.AllowN(at, granted)
	return granted, wait(1-(tokens-float64(granted)), b.limiter.Limit()) + at.Sub(now)
}

// Give returns n tokens that were granted in the same turn and not used.
func (b *Bucket) Give(n int) {
	if n <= 0 || b.rate.Load() == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.give(n)
}

// Rate returns how many commands per second may be sent; 0 is unlimited.
func (b *Bucket) Rate() int { return int(b.rate.Load()) }

// give adds n tokens. A negative request is how to put tokens back: the limiter
// caps them at the burst when it is next asked.
func (b *Bucket) give(n int) { b.limiter.AllowN(b.last, -n) }

func (b *Bucket) advance(now time.Time) time.Time {
	if now.After(b.last) {
		b.last = now
	}
	return b.last
}

// follow takes over limits that may be older than those it has, when they come
// from a session that has not seen a change yet. That session calls again when
// it has, so only a refill must not be repeated.
func (b *Bucket) follow(l tenant.Limits) {
	b.mu.Lock()
	defer b.mu.Unlock()
	reset := max(l.Reset, b.limits.Reset)
	refill := reset > b.limits.Reset
	b.limits = l
	b.limits.Reset = reset
	b.adjust()
	if refill {
		b.give(b.limiter.Burst())
	}
}

// adjust brings the limiter in line with the limits and the defaults.
func (b *Bucket) adjust() {
	perSecond, burst := resolve(b.limits, *b.registry.defaults.Load())
	if perSecond > 0 && b.limiter.Limit() != rate.Limit(perSecond) {
		b.limiter.SetLimitAt(b.last, rate.Limit(perSecond))
	}
	if perSecond > 0 && b.limiter.Burst() != burst {
		b.limiter.SetBurstAt(b.last, burst)
	}
	b.rate.Store(int64(perSecond))
}

// release lets the garbage collector have the bucket, when it is full, as soon
// as nobody else has it.
func (b *Bucket) release(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	full := b.rate.Load() == 0 || b.limiter.TokensAt(b.advance(now)) >= float64(b.limiter.Burst())
	if b.kept && full {
		b.kept = false
		b.registry.keep(b, false)
	}
}

// resolve returns a rate of 0 or less as 0, unlimited, and a burst of at least 1
// otherwise.
func resolve(l tenant.Limits, d Defaults) (perSecond, burst int) {
	perSecond, burst = d.RPS, d.Burst
	if l.Rate != nil {
		perSecond, burst = *l.Rate, 0
	}
	if l.Burst != nil {
		burst = *l.Burst
	}
	if perSecond <= 0 {
		return 0, 0
	}
	if burst <= 0 {
		burst = perSecond
	}
	return perSecond, burst
}

// wait returns how long it takes until there are so many tokens. It is a
// nanosecond more than rounding up, so that they are there in floating point too.
func wait(tokens float64, limit rate.Limit) time.Duration {
	return time.Duration(math.Ceil(tokens/float64(limit)*float64(time.Second))) + 1
}
