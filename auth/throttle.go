package auth

import (
	"context"
	"math"
	"net/netip"
	"sync"
	"time"
)

// The delays of failures: none for the first few, which are typing errors and clients
// not yet told a new key, then doubling to a maximum. A guess is forgiven after a while; the
// count is capped so that it does not take long after any number of them. A secret has
// 154 bits: the delay is there to keep noise off the store and the logs, not to make
// guessing hard.
const (
	firstDelay    = 100 * time.Millisecond
	maxDelay      = 5 * time.Second
	steps         = 7     // of doubling, to the maximum
	maxGuessers   = 65536 // addresses remembered, and as many claims; about 150 bytes each
	purgeInterval = time.Second
)

// allowance is how many failures in a row are answered at once, and after what time one
// is forgiven.
type allowance struct {
	free          float64
	forgivenAfter time.Duration
}

var (
	// perKey is for one key claimed from one address: a client with an old key, behind
	// the address of many others, slows nobody but itself.
	perKey = allowance{free: 3, forgivenAfter: 10 * time.Second}
	// perAddress is for those together that perKey lets pass: ten such clients that try
	// again each ten seconds stay below, who tries one id after the other does not.
	perAddress = allowance{free: 30, forgivenAfter: time.Second}
)

// What an answer was held back by, as told to the Observer.
const (
	ThrottledByKey     = "key"     // too many guesses of one key from one address
	ThrottledByAddress = "address" // too many from one address
)

// throttle counts the failures per address, and per address and key id; of IPv6, per
// /64, since that is what one subscriber has (RFC 6177).
type throttle struct {
	mu        sync.Mutex
	claims    tally[claim]
	addresses tally[netip.Addr]
	others    guesser // all addresses beyond the bound together
}

// claim is a key's id as a client gave it; "" when it gave nothing in the form of a key.
type claim struct {
	addr netip.Addr
	id   string
}

// tally is how often each has failed, of a bounded number.
type tally[K comparable] struct {
	allowance
	max    int
	of     map[K]*guesser
	purged time.Time
}

type guesser struct {
	count float64
	at    time.Time
}

func newThrottle(size int) *throttle {
	return &throttle{
		claims:    tally[claim]{allowance: perKey, max: size, of: map[claim]*guesser{}},
		addresses: tally[netip.Addr]{allowance: perAddress, max: size, of: map[netip.Addr]*guesser{}},
	}
}

// wait returns after delay, or with ctx's error. How many wait is bounded by how many
// clients there may be: none of them may escape because others wait.
func wait(ctx context.Context, delay time.Duration) error {
	if delay == 0 {
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

// guess counts a failure from addr with the key id, and returns how long to withhold the
// answer and what for, "" when it need not be. What its claim is slowed for does not count
// for the address. An address beyond its allowance makes no new claims: it cannot fill
// the memory.
func (t *throttle) guess(addr netip.Addr, id string, now time.Time) (delay time.Duration, by string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	addr = subscriber(addr)
	from := t.addresses.find(addr, now)
	if from == nil {
		if from = t.addresses.add(addr, now); from == nil {
			from = &t.others
		}
	}
	c := claim{addr, id}
	claimed := t.claims.find(c, now)
	if claimed == nil && t.addresses.left(from, now) < t.addresses.free {
		claimed = t.claims.add(c, now)
	}
	if claimed != nil {
		if delay = t.claims.count(claimed, now); delay > 0 {
			return delay, ThrottledByKey
		}
	}
	if delay = t.addresses.count(from, now); delay > 0 {
		return delay, ThrottledByAddress
	}
	return 0, ""
}

func (t *tally[K]) find(k K, now time.Time) *guesser {
	g := t.of[k]
	if g == nil && len(t.of) >= t.max && now.Sub(t.purged) >= purgeInterval {
		t.purge(now)
	}
	return g
}

// add returns nil when there is no room.
func (t *tally[K]) add(k K, now time.Time) *guesser {
	if len(t.of) >= t.max {
		return nil
	}
	g := &guesser{at: now}
	t.of[k] = g
	return g
}

func (t *tally[K]) purge(now time.Time) {
	t.purged = now
	for k, g := range t.of {
		if t.left(g, now) == 0 {
			delete(t.of, k)
		}
	}
}

// count counts one more failure and returns how long to withhold the answer.
func (a allowance) count(g *guesser, now time.Time) time.Duration {
	g.count, g.at = min(a.left(g, now)+1, a.free+steps), now
	if g.count <= a.free {
		return 0
	}
	return min(time.Duration(float64(firstDelay)*math.Exp2(g.count-a.free-1)), maxDelay)
}

// left returns the guesses that are not forgiven yet.
func (a allowance) left(g *guesser, now time.Time) float64 {
	return max(0, g.count-max(0, now.Sub(g.at).Seconds())/a.forgivenAfter.Seconds())
}

func subscriber(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if !addr.Is6() {
		return addr
	}
	p, _ := addr.Prefix(64) // cannot fail: it has 128 bits
	return p.Addr()
}
