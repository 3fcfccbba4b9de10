package auth

import (
	"context"
	"math"
	"net/netip"
	"sync"
	"time"
)

// The delays of failures from one address: none for the first few, which are
// typing errors and clients not yet told a new key, then doubling to a maximum. A guess
// is forgiven after a while; the count is capped so that it does not take long
// after any number of them. A secret has 154 bits: the delay is there to keep
// noise off the store and the logs, not to make guessing hard.
const (
	freeGuesses   = 3
	firstDelay    = 100 * time.Millisecond
	maxDelay      = 5 * time.Second
	maxGuesses    = 10
	forgivenAfter = 10 * time.Second
	maxGuessers   = 65536 // addresses remembered, about 100 bytes each
	purgeInterval = time.Second
	maxHeld       = 4096 // answers held back at once, each on its caller's goroutine
)

// throttle counts the failures per address; of IPv6, per /64, since that is what
// one subscriber has (RFC 6177).
type throttle struct {
	held slots

	mu     sync.Mutex
	max    int
	from   map[netip.Addr]*guesser
	others guesser // all addresses beyond max together
	purged time.Time
}

type guesser struct {
	count float64
	at    time.Time
}

func newThrottle(size int) *throttle {
	return &throttle{held: make(slots, maxHeld), max: size, from: map[netip.Addr]*guesser{}}
}

// hold returns when the answer to a failure from addr may be given, or with
// ctx's error. Beyond maxHeld it returns at once: whoever connects, guesses and goes
// must not fill the memory with answers to nobody.
func (t *throttle) hold(ctx context.Context, addr netip.Addr) error {
	delay := t.guess(addr, time.Now())
	if delay == 0 {
		return nil
	}
	select {
	case t.held <- struct{}{}:
		defer func() { <-t.held }()
	default:
		return nil
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// guess counts a failure from addr and returns how long to withhold the answer.
func (t *throttle) guess(addr netip.Addr, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.guesser(subscriber(addr), now)
	g.count = min(g.left(now)+1, maxGuesses)
	g.at = now
	if g.count <= freeGuesses {
		return 0
	}
	delay := float64(firstDelay) * math.Exp2(g.count-freeGuesses-1)
	return min(time.Duration(delay), maxDelay)
}

func (t *throttle) guesser(addr netip.Addr, now time.Time) *guesser {
	if g := t.from[addr]; g != nil {
		return g
	}
	if len(t.from) >= t.max && now.Sub(t.purged) >= purgeInterval {
		t.purge(now)
	}
	if len(t.from) >= t.max {
		return &t.others
	}
	g := &guesser{}
	t.from[addr] = g
	return g
}

func (t *throttle) purge(now time.Time) {
	t.purged = now
	for addr, g := range t.from {
		if g.left(now) == 0 {
			delete(t.from, addr)
		}
	}
}

// left returns the guesses that are not forgiven yet.
func (g *guesser) left(now time.Time) float64 {
	return max(0, g.count-max(0, now.Sub(g.at).Seconds())/forgivenAfter.Seconds())
}

func subscriber(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if !addr.Is6() {
		return addr
	}
	p, _ := addr.Prefix(64) // cannot fail: it has 128 bits
	return p.Addr()
}
