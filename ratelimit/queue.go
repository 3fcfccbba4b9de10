package ratelimit

import (
	"time"

	"golang.org/x/time/rate"
)

// told is what a shared bucket had when the others last heard what was spent here.
type told struct {
	at    time.Time // zero: never
	spent int64     // see Bucket.spent
	left  float64   // of the shared bucket, after that
}

// Place returns the place in the queue of whoever has reserved tokens last, or, of what is owed, until which it is to be paid.
// See Until.
func (b *Bucket) Place() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.spent
}

// Until returns the time from now until those up to that place have their tokens. Where that is not certain yet it is what the
// proxy knows by itself, and to be asked again in a Recheck; where it is, it counts from then on.
func (b *Bucket) Until(now time.Time, place int64) (_ time.Duration, certain bool) {
	perSecond := b.rate.Load()
	if perSecond == 0 {
		return 0, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	at, t := b.advance(now), &b.share.told
	place = min(place, b.spent)             // some before it may have gone
	if !t.at.IsZero() && place <= t.spent { // nobody gets in front of what is owed there
		owed := -t.left - float64(t.spent-place)
		return max(0, wait(owed, rate.Limit(perSecond))+t.at.Sub(now)), true
	}
	tokens := b.limiter.TokensAt(at) + float64(b.spent-place)
	return b.until(now, tokens), tokens >= 0 || b.share.alone
}

// Recheck is how often Until is to be asked; 0: never, since no bucket is shared.
func (r *Registry) Recheck() time.Duration {
	if r.sharing == nil {
		return 0
	}
	return Tick(r.sharing.lease)
}

// hope is until for when the other proxies want nothing: what is used here, and n tokens more, and they have not heard of yet, is
// then owed by the shared bucket as a whole. They hear of it within a Tick.
func (b *Bucket) hope(now time.Time, tokens float64, n int) time.Duration {
	known := b.until(now, tokens)
	if b.registry.sharing == nil || b.share.alone || known == 0 {
		return known
	}
	perSecond, untold := float64(b.rate.Load()), float64(max(0, int64(n)-b.share.ahead))
	level := (tokens + untold) * float64(b.registry.sharing.proxies.Load())
	if t := b.share.told; !t.at.IsZero() {
		level = t.left + perSecond*b.last.Sub(t.at).Seconds()
	}
	return min(known, max(wait(untold-level, rate.Limit(perSecond)), Tick(b.registry.sharing.lease)))
}
