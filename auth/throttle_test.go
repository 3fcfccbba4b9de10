package auth

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/respgate/respgate/tenant"
)

var home = netip.MustParseAddr("192.0.2.1")

// guessed is the delay of one more guess.
func (t *throttle) guessed(addr netip.Addr, id string, now time.Time) time.Duration {
	delay, _ := t.guess(addr, id, now)
	return delay
}

func TestThrottleGrows(t *testing.T) {
	for _, id := range []string{"some key", ""} {
		tr, now := newThrottle(10), time.Unix(1000, 0)
		want := []time.Duration{0, 0, 0, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000}
		for i, w := range want {
			if got, by := tr.guess(home, id, now); got != w*time.Millisecond || (by == ThrottledByKey) != (got > 0) {
				t.Errorf("%q: guess %d waits %v by %q, want %v by key", id, i+1, got, by, w*time.Millisecond)
			}
		}
		if got := tr.guessed(netip.MustParseAddr("192.0.2.2"), id, now); got != 0 {
			t.Errorf("%q: another address waits %v, want 0", id, got)
		}
		if got := tr.guessed(home, id, now.Add(35*time.Second)); got >= maxDelay || got == 0 {
			t.Errorf("%q: after 35 s a guess waits %v, want less than %v but not 0", id, got, maxDelay)
		}
		for range 1000 {
			tr.guess(home, id, now)
		}
		if got := tr.guessed(home, id, now.Add(100*time.Second)); got != 0 {
			t.Errorf("%q: when all is forgiven a guess waits %v, want 0", id, got)
		}
	}
}

// TestThrottleApart has many clients behind one address: one that goes on with a bad key
// slows no other's guesses, whatever it gives.
func TestThrottleApart(t *testing.T) {
	tr, now := newThrottle(100), time.Unix(1000, 0)
	for i := range 100_000 {
		tr.guess(home, []string{"broken", ""}[i%2], now.Add(time.Duration(i)*time.Millisecond))
	}
	now = now.Add(100 * time.Second)
	if got := tr.guessed(home, "another", now); got != 0 {
		t.Errorf("another client's first guess waits %v, want 0", got)
	}
	if got := tr.guessed(home, "broken", now); got != maxDelay {
		t.Errorf("the broken client's guess waits %v, want %v", got, maxDelay)
	}
}

// TestThrottleSweep has one address try key after key: it is slowed down, others are not,
// and what is remembered of it is bounded.
func TestThrottleSweep(t *testing.T) {
	tr, now := newThrottle(100_000), time.Unix(1000, 0)
	for i := range 50_000 {
		got, by := tr.guess(home, fmt.Sprint(i), now)
		if i < 30 && (got != 0 || by != "") || i >= 37 && (got != maxDelay || by != ThrottledByAddress) {
			t.Fatalf("guess %d waits %v by %s, want 0 for the first 30, and %v by address in the end", i+1, got, by, maxDelay)
		}
	}
	if got := len(tr.claims.of); got > 30 {
		t.Errorf("%d claims of one address are remembered, want at most 30", got)
	}
	if got := tr.guessed(netip.MustParseAddr("192.0.2.2"), "1", now); got != 0 {
		t.Errorf("another address waits %v, want 0", got)
	}
	if got := tr.guessed(home, "new", now.Add(10*time.Second)); got != 0 {
		t.Errorf("after 10 s a guess waits %v, want 0", got)
	}
}

func TestThrottleAddresses(t *testing.T) {
	tests := []struct {
		name, a, b string
		same       bool
	}{
		{"one address", "192.0.2.1", "192.0.2.1", true},
		{"two addresses", "192.0.2.1", "192.0.2.2", false},
		{"mapped into IPv6", "192.0.2.1", "::ffff:192.0.2.1", true},
		{"two mapped into IPv6", "::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
		{"one /64", "2001:db8::1", "2001:db8::ffff:0:0:1", true},
		{"two /64", "2001:db8::1", "2001:db8:0:1::1", false},
		{"zones", "fe80::1%eth0", "fe80::2%eth1", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := subscriber(netip.MustParseAddr(tt.a)), subscriber(netip.MustParseAddr(tt.b))
			if (a == b) != tt.same {
				t.Errorf("%s counts as %v, %s as %v, want same = %v", tt.a, a, tt.b, b, tt.same)
			}
		})
	}
	if got := newThrottle(1).guessed(netip.Addr{}, "", time.Unix(1000, 0)); got != 0 {
		t.Errorf("no address: the first guess waits %v, want 0", got)
	}
}

// TestThrottleIsBounded has more addresses than are remembered: the others count together,
// and so do, with their address, more claims.
func TestThrottleIsBounded(t *testing.T) {
	const size = 100
	tr, now := newThrottle(size), time.Unix(1000, 0)
	address := func(i int) netip.Addr {
		return netip.MustParseAddr(fmt.Sprintf("2001:db8:%x:%x::1", i>>16, i&0xffff))
	}
	last := time.Duration(0)
	for i := range 10 * size {
		last = tr.guessed(address(i), fmt.Sprint(i), now)
	}
	if a, c := len(tr.addresses.of), len(tr.claims.of); a != size || c != size {
		t.Errorf("%d addresses and %d claims are remembered, want %d", a, c, size)
	}
	if last != maxDelay {
		t.Errorf("an address that is not remembered waits %v, want %v with the others like it", last, maxDelay)
	}
	for range 40 {
		last = tr.guessed(address(0), "one more", now)
	}
	if last != maxDelay {
		t.Errorf("a claim that is not remembered waits %v, want %v with its address", last, maxDelay)
	}
	later := now.Add(100 * time.Second)
	tr.guess(address(1_000_000), "", later)
	if a, c := len(tr.addresses.of), len(tr.claims.of); a != 1 || c != 1 {
		t.Errorf("%d addresses and %d claims are remembered after they were forgiven, want 1", a, c)
	}
}

func TestThrottleHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		if err := wait(t.Context(), maxDelay); err != nil || time.Since(begin) != maxDelay {
			t.Errorf("wait returned %v after %v, want nil after %v", err, time.Since(begin), maxDelay)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin = time.Now()
		if err := wait(ctx, maxDelay); err == nil || time.Since(begin) != time.Second {
			t.Errorf("wait returned %v after %v, want the context's error after 1s", err, time.Since(begin))
		}
	})
}

// TestCrowdIsThrottled has more clients guess than anybody should hold back: the last one
// waits like the first.
func TestCrowdIsThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{}, newFakeStore())
		for range 10_000 {
			go func() { _, _ = w.Authenticate(t.Context(), home, "", "no key") }()
		}
		synctest.Wait()
		begin := time.Now()
		_, _ = w.Authenticate(t.Context(), home, "", "no key")
		if took := time.Since(begin); took != maxDelay {
			t.Errorf("one more guess was answered after %v, want %v", took, maxDelay)
		}
	})
}

// TestThrottledIsSeen has guesses slowed down: each is counted, and the log says so now
// and then, without the key.
func TestThrottledIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := makeKey()
		k.grant.Key.AllowFrom = networks(t, "10.0.0.0/8")
		w := newWorld(t, Config{}, newFakeStore(k.grant))
		for range 20 {
			go func() { _, _ = w.Authenticate(t.Context(), home, "", k.text()) }()
		}
		synctest.Wait()
		if got := w.counts.throttled[ThrottledByKey]; got != 20-3 {
			t.Errorf("%d guesses were counted as throttled, want 17", got)
		}
		log := w.log()
		for words, want := range map[string]int{"guesses of keys are slowed down": 1, "not on its list": 1, "key=" + k.ID: 2, "client=" + home.String(): 2, k.text(): 0} {
			if got := strings.Count(log, words); got != want {
				t.Errorf("%q stands %d times in the log, want %d:\n%s", words, got, want, log)
			}
		}
		time.Sleep(throttledInterval)
		_, _ = w.Authenticate(t.Context(), home, "", k.text())
		if got := strings.Count(w.log(), "slowed down"); got != 2 {
			t.Errorf("%d lines after another %v, want 2", got, throttledInterval)
		}
	})
}

func networks(t *testing.T, text string) tenant.Networks {
	t.Helper()
	n, err := tenant.ParseNetworks(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRecentSet(t *testing.T) {
	now := time.Unix(1000, 0)
	r := newRecentSet(3, 5*time.Second)
	check := func(id string, want bool) {
		t.Helper()
		if got := r.has(id, now); got != want {
			t.Errorf("has(%q) = %v, want %v", id, got, want)
		}
	}
	check("a", false)
	r.add("a", now)
	check("a", true)
	now = now.Add(4 * time.Second)
	check("a", true)
	r.remove("a")
	check("a", false)
	r.add("b", now)
	now = now.Add(5 * time.Second)
	check("b", true)
	now = now.Add(5 * time.Second)
	check("b", false)
	for i := range 100 {
		r.add(fmt.Sprint(i), now)
		if n := len(r.cur) + len(r.old); n > 6 {
			t.Fatalf("%d ids are remembered, want 6 at most", n)
		}
	}
	check("99", true)
	check("1", false)
	r.clear()
	check("99", false)
}
