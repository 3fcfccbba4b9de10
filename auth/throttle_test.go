package auth

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

var home = netip.MustParseAddr("192.0.2.1")

func TestThrottleGrows(t *testing.T) {
	tr, now := newThrottle(10), time.Unix(1000, 0)
	want := []time.Duration{0, 0, 0, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000}
	for i, w := range want {
		if got := tr.guess(home, now); got != w*time.Millisecond {
			t.Errorf("guess %d waits %v, want %v", i+1, got, w*time.Millisecond)
		}
	}
	if got := tr.guess(netip.MustParseAddr("192.0.2.2"), now); got != 0 {
		t.Errorf("another address waits %v, want 0", got)
	}
	if got := tr.guess(home, now.Add(35*time.Second)); got >= maxDelay || got == 0 {
		t.Errorf("after 35 s a guess waits %v, want less than %v but not 0", got, maxDelay)
	}
	for range 1000 {
		tr.guess(home, now)
	}
	if got := tr.guess(home, now.Add(maxGuesses*forgivenAfter)); got != 0 {
		t.Errorf("when all is forgiven a guess waits %v, want 0", got)
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
	if got := newThrottle(1).guess(netip.Addr{}, time.Unix(1000, 0)); got != 0 {
		t.Errorf("no address: the first guess waits %v, want 0", got)
	}
}

func TestThrottleIsBounded(t *testing.T) {
	const size = 100
	tr, now := newThrottle(size), time.Unix(1000, 0)
	address := func(i int) netip.Addr {
		return netip.MustParseAddr(fmt.Sprintf("2001:db8:%x:%x::1", i>>16, i&0xffff))
	}
	last := time.Duration(0)
	for i := range 10 * size {
		last = tr.guess(address(i), now)
	}
	if got := len(tr.from); got != size {
		t.Errorf("%d addresses are remembered, want %d", got, size)
	}
	if last != maxDelay {
		t.Errorf("an address that is not remembered waits %v, want %v with the others like it", last, maxDelay)
	}
	later := now.Add(2 * forgivenAfter)
	tr.guess(address(1_000_000), later)
	if got := len(tr.from); got != 1 {
		t.Errorf("%d addresses are remembered after they were forgiven, want 1", got)
	}
}

func TestThrottleHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newThrottle(10)
		for range maxGuesses {
			tr.guess(home, time.Now())
		}
		begin := time.Now()
		if err := tr.hold(t.Context(), home); err != nil || time.Since(begin) != maxDelay {
			t.Errorf("hold returned %v after %v, want nil after %v", err, time.Since(begin), maxDelay)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin = time.Now()
		if err := tr.hold(ctx, home); err == nil || time.Since(begin) != time.Second {
			t.Errorf("hold returned %v after %v, want the context's error after 1s", err, time.Since(begin))
		}
		for range maxHeld {
			tr.held <- struct{}{}
		}
		begin = time.Now()
		if err := tr.hold(t.Context(), home); err != nil || time.Since(begin) != 0 {
			t.Errorf("with too many held: %v after %v, want nil at once", err, time.Since(begin))
		}
	})
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
