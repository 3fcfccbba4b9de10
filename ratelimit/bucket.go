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
// second, and each command takes one, or each byte. It may owe tokens, which it has to get before
// anybody is granted one again. It is safe for concurrent use.
type Bucket struct {
	registry *Registry
	key      string
	rate     atomic.Int64 // 0: unlimited

	mu      sync.Mutex
	limits  tenant.Limits
	limiter *rate.Limiter
	last    time.Time // the latest time seen
	kept    bool      // the registry holds on to it
	spent   int64     // tokens that were taken, without those that were given back
	share   share     // of what all proxies have together
}

func newBucket(r *Registry, key string, l tenant.Limits) *Bucket {
	b := &Bucket{registry: r, key: key, limits: l, limiter: rate.NewLimiter(0, 0)}
	b.adjust()
	b.put(b.limiter.Burst())
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
	at := b.use(now, n)
	if b.limiter.AllowN(at, n) {
		b.spend(n)
		return n, 0
	}
	tokens := b.limiter.TokensAt(at)
	granted = max(0, int(tokens))
	b.limiter.AllowN(at, granted)
	b.spend(granted)
	return granted, b.soonest(wait(1-(tokens-float64(granted)), b.limiter.Limit())) + at.Sub(now)
}

// Debit takes n tokens, whether or not they are there: the bucket owes those that are not.
// It is for what is known only when it has happened, such as the size of a reply.
func (b *Bucket) Debit(now time.Time, n int) {
	if n <= 0 || b.rate.Load() == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.debit(b.use(now, n), n)
}

// Wait returns the time from now until the bucket owes nothing; 0 is that it does not now.
func (b *Bucket) Wait(now time.Time) time.Duration {
	if b.rate.Load() == 0 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	at := b.advance(now)
	return b.hope(now, b.limiter.TokensAt(at), 0)
}

// Reserve takes n tokens that are there in at most the time most from now, and returns in how
// long that is: who waits so long may do what they are for, or gives them back with Give.
// Whoever asks later waits longer. Where it would take longer than most, it takes none and
// returns false, with the time that it would have been. Of a bucket that is shared the wait is
// what the proxy knows by itself: see Until.
func (b *Bucket) Reserve(now time.Time, n int, most time.Duration) (wait time.Duration, ok bool) {
	if n <= 0 || b.rate.Load() == 0 {
		return 0, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	at := b.use(now, n)
	tokens := b.limiter.TokensAt(at) - float64(n)
	if wait = b.hope(now, tokens, n); wait > most {
		return wait, false
	}
	b.debit(at, n)
	return b.until(now, tokens), true
}

// Give returns n tokens that were granted or reserved and are not used.
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

// give takes n tokens back that were taken. Those that a shared bucket owes are nobody's yet: they go back there.
func (b *Bucket) give(n int) {
	back := n
	if b.share.told.left < 0 && !b.share.alone {
		back = min(n, int(max(0, -b.share.ahead)))
	}
	b.spend(-n)
	b.put(back)
}

// spend counts n tokens that are taken.
func (b *Bucket) spend(n int) {
	b.spent += int64(n)
	b.share.ahead -= int64(n)
}

// put adds n tokens. A negative request is how to put tokens back: the limiter
// caps them at the burst when it is next asked. AllowN would refuse it where tokens are owed.
func (b *Bucket) put(n int) { b.limiter.ReserveN(b.last, -n) }

// debit takes n tokens at the time at, whether or not they are there.
func (b *Bucket) debit(at time.Time, n int) {
	b.spend(n)
	b.draw(at, n)
}

// draw is put's opposite, though the limiter grants no more than its burst.
func (b *Bucket) draw(at time.Time, n int) {
	burst := b.limiter.Burst()
	if n > burst {
		b.limiter.SetBurstAt(at, n)
		defer b.limiter.SetBurstAt(at, burst)
	}
	b.limiter.ReserveN(at, n)
}

// until returns the time from now until a bucket with so many tokens owes nothing.
func (b *Bucket) until(now time.Time, tokens float64) time.Duration {
	if tokens >= 0 {
		return 0
	}
	b.share.short = true
	return wait(-tokens, b.limiter.Limit()) + b.last.Sub(now)
}

// use is advance for who wants n tokens: the bucket must outlive its users until it is full.
func (b *Bucket) use(now time.Time, n int) time.Time {
	if b.registry.sharing != nil {
		b.want(n)
	}
	if !b.kept {
		b.kept = true
		b.registry.keep(b, true)
	}
	return b.advance(now)
}

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
		b.put(b.limiter.Burst() + owed(b.limiter.TokensAt(b.last)))
		b.share.short = true
	}
}

// adjust brings the limiter in line with the limits and the defaults.
func (b *Bucket) adjust() {
	perSecond, burst := resolve(b.limits, *b.registry.defaults.Load())
	pace := rate.Limit(perSecond)
	if b.registry.sharing != nil && perSecond > 0 {
		pace, burst = b.portion(perSecond, burst)
	}
	if perSecond > 0 && b.limiter.Limit() != pace {
		b.limiter.SetLimitAt(b.last, pace)
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
	full := b.rate.Load() == 0 || !b.share.joined && b.limiter.TokensAt(b.advance(now)) >= float64(b.limiter.Burst())
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

// owed returns how many tokens a bucket owes that has so many.
func owed(tokens float64) int { return max(0, int(math.Ceil(-tokens))) }

// century is longer than anybody waits; what would be more could be too much for a Duration.
const century = 100 * 365 * 24 * time.Hour

// wait returns how long it takes until there are so many tokens, at most a century. It is a
// nanosecond more than rounding up, so that they are there in floating point too.
func wait(tokens float64, limit rate.Limit) time.Duration {
	return time.Duration(min(float64(century), math.Ceil(tokens/float64(limit)*float64(time.Second)))) + 1
}
