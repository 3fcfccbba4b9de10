package control

import (
	"net/netip"
	"strings"
	"sync"
	"time"
)

// What may be tried in a row, and after what time one try is forgiven. Unlike a key's secret
// a password can be guessed: who tries too often is refused before the password is looked
// at, from one address and for one account, whether there is such a user or not. What
// succeeds is no guess, but the account's look at a password all the same: each takes a core,
// and others wait for theirs.
const (
	freePerAddress  = 30
	addressForgiven = 2 * time.Second
	freePerAccount  = 10
	accountForgiven = 10 * time.Second // 8,640 guesses a day, from however many addresses
	freeLooks       = 60
	lookForgiven    = time.Second
	maxGuessers     = 65536 // addresses remembered, and as many accounts and instances
	purgeInterval   = time.Second
)

// guesses counts what is tried per address, of IPv6 per /64, which is what one subscriber
// has (RFC 6177), per account, and per instance what its URL may be.
type guesses struct {
	mu        sync.Mutex
	addresses tally[netip.Addr]
	accounts  tally[string]
	looks     tally[string] // by account
	urls      tally[string]
}

func newGuesses() *guesses {
	return &guesses{
		addresses: tally[netip.Addr]{free: freePerAddress, each: addressForgiven, max: maxGuessers, until: map[netip.Addr]time.Time{}},
		accounts:  tally[string]{free: freePerAccount, each: accountForgiven, max: maxGuessers, until: map[string]time.Time{}},
		looks:     tally[string]{free: freeLooks, each: lookForgiven, max: maxGuessers, until: map[string]time.Time{}},
		urls:      tally[string]{free: freePerAccount, each: accountForgiven, max: maxGuessers, until: map[string]time.Time{}},
	}
}

// tryURL is try for the URL of an instance, by its id.
func (g *guesses) tryURL(instanceID string, now time.Time) (succeeded func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if wait := g.urls.wait(instanceID, now); wait > 0 {
		return nil, &ThrottledError{After: wait}
	}
	g.urls.add(instanceID, now, 1)
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.urls.add(instanceID, now, -1)
	}, nil
}

// try counts one more, for no account with "", and returns how to take the guess back. It is
// refused, and does not count, with a *ThrottledError.
func (g *guesses) try(address, account string, now time.Time) (succeeded func(), err error) {
	from, account := subscriber(address), clip(strings.ToLower(account))
	g.mu.Lock()
	defer g.mu.Unlock()
	if wait := max(g.addresses.wait(from, now), g.accounts.wait(account, now), g.looks.wait(account, now)); wait > 0 {
		return nil, &ThrottledError{After: wait}
	}
	count := func(n int) {
		g.addresses.add(from, now, n)
		if account != "" {
			g.accounts.add(account, now, n)
		}
	}
	count(1)
	if account != "" {
		g.looks.add(account, now, 1)
	}
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		count(-1)
	}, nil
}

// tally is until when each has something to be forgiven, of a bounded number; all others
// share one.
type tally[K comparable] struct {
	free   int
	each   time.Duration
	max    int
	until  map[K]time.Time
	others time.Time
	purged time.Time
}

// at is where k's time is kept, not before now; there is one for all for which there is no
// room.
func (t *tally[K]) at(k K, now time.Time) (until time.Time, own bool) {
	if until, own = t.until[k]; own {
		return later(until, now), true
	}
	if len(t.until) >= t.max && now.Sub(t.purged) >= purgeInterval {
		t.purged = now
		for k, until := range t.until {
			if !until.After(now) {
				delete(t.until, k)
			}
		}
	}
	if len(t.until) < t.max {
		return now, true
	}
	return later(t.others, now), false
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// wait returns when k may try again, 0 for now.
func (t *tally[K]) wait(k K, now time.Time) time.Duration {
	until, _ := t.at(k, now)
	return max(0, until.Sub(now)-time.Duration(t.free-1)*t.each)
}

// add counts n tries.
func (t *tally[K]) add(k K, now time.Time, n int) {
	until, own := t.at(k, now)
	until = until.Add(time.Duration(n) * t.each)
	if own {
		t.until[k] = until
		return
	}
	t.others = until
}

// subscriber is who has an address, with or without a port. What is none is one together.
func subscriber(address string) netip.Addr {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		with, _ := netip.ParseAddrPort(address)
		addr = with.Addr()
	}
	addr = addr.Unmap().WithZone("")
	if !addr.Is6() {
		return addr
	}
	p, _ := addr.Prefix(64) // cannot fail: it has 128 bits
	return p.Addr()
}
