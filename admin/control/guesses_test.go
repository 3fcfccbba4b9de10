package control

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// tries counts how many of n are not refused.
func tries(g *guesses, n int, address, account func(i int) string, now time.Time) (allowed int) {
	for i := range n {
		if _, err := g.try(address(i), account(i), now); err == nil {
			allowed++
		}
	}
	return allowed
}

func same(text string) func(int) string { return func(int) string { return text } }
func numbered(format string) func(int) string {
	return func(i int) string { return fmt.Sprintf(format, i) }
}

func TestGuesses(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, tt := range []struct {
		name             string
		address, account func(int) string
		want             int // of 100
	}{
		{"one account from one address", same("192.0.2.1"), same("ann@example.com"), freePerAccount},
		{"one account in letters of any case", same("192.0.2.1"), func(i int) string { return []string{"ann@example.com", "ANN@example.com"}[i%2] }, freePerAccount},
		{"one account from many addresses", numbered("192.0.2.%d"), same("ann@example.com"), freePerAccount},
		{"many accounts from one address", same("192.0.2.1"), numbered("user%d@example.com"), freePerAddress},
		{"many accounts from one address's ports", numbered("192.0.2.1:%d"), numbered("user%d@example.com"), freePerAddress},
		{"many accounts from one /64", numbered("2001:db8::%d"), numbered("user%d@example.com"), freePerAddress},
		{"many accounts from nowhere", same(""), numbered("user%d@example.com"), freePerAddress},
		{"no account from one address", same("192.0.2.1"), same(""), freePerAddress},
		{"no account from many addresses", numbered("192.0.2.%d"), same(""), 100},
		{"many accounts from many addresses", numbered("192.0.2.%d"), numbered("user%d@example.com"), 100},
	} {
		if got := tries(newGuesses(), 100, tt.address, tt.account, now); got != tt.want {
			t.Errorf("%s: %d of 100 are tried, want %d", tt.name, got, tt.want)
		}
	}
}

func TestGuessesAreForgiven(t *testing.T) {
	g, now := newGuesses(), time.Unix(1000, 0)
	tries(g, freePerAccount, same("192.0.2.1"), same("ann"), now)
	var throttled *ThrottledError
	if _, err := g.try("192.0.2.1", "ann", now); !errors.As(err, &throttled) || throttled.After != accountForgiven {
		t.Errorf("one too many: %v, want to try again after %v", err, accountForgiven)
	}
	if got := tries(g, 5, same("192.0.2.1"), same("ann"), now.Add(accountForgiven)); got != 1 {
		t.Errorf("after %v %d are tried, want 1", accountForgiven, got)
	}
}

// TestSuccessesAreNoGuesses: they are as many as a person or a program needs, from however
// many addresses; who signs in again and again would keep the cores from others.
func TestSuccessesAreNoGuesses(t *testing.T) {
	g, now := newGuesses(), time.Unix(1000, 0)
	succeed := func(now time.Time) (times int) {
		for i := range 1000 {
			succeeded, err := g.try(fmt.Sprintf("192.0.2.%d", i%250), "ann", now)
			if err != nil {
				break
			}
			succeeded()
			times++
		}
		return times
	}
	if got := succeed(now); got != freeLooks {
		t.Errorf("%d of 1000 at once are let succeed, want %d", got, freeLooks)
	}
	if got := succeed(now.Add(10 * lookForgiven)); got != 10 {
		t.Errorf("%d are after %v, want 10", got, 10*lookForgiven)
	}
	if _, err := g.try("192.0.2.1", "bob", now); err != nil {
		t.Errorf("another account: %v", err)
	}
}

func TestGuessesAreBounded(t *testing.T) {
	now := time.Unix(1000, 0)
	tl := tally[netip.Addr]{free: 2, each: time.Second, max: 10, until: map[netip.Addr]time.Time{}}
	address := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }
	for i := range 1000 {
		tl.add(address(i), now, 1)
	}
	if len(tl.until) != 10 {
		t.Errorf("%d are remembered, want 10", len(tl.until))
	}
	if tl.wait(address(5), now) != 0 || tl.wait(address(999), now) == 0 {
		t.Errorf("one with room waits %v, want 0; one without %v, want to wait with all others", tl.wait(address(5), now), tl.wait(address(999), now))
	}
	tl.add(address(1000), now.Add(time.Hour), 1)
	if len(tl.until) != 1 {
		t.Errorf("%d are remembered when all is forgiven, want 1", len(tl.until))
	}
}
