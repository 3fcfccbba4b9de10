package proxy

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/loop"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/tenant"
)

// underWay waits until n of the clients' commands are.
func (p *nearProxy) underWay(n int) {
	p.t.Helper()
	testbed.Eventually(p.t, "the clients' commands are under way", func() bool {
		return p.onLoop(func() int { return p.core.UnderWay("acme") }) == n
	})
}

// heldCache is a cache of a server behind a relay, which holds from now on, and a client whose
// GET of the key other is under way.
func heldCache(t *testing.T) (*relay, *nearProxy, *caller) {
	t.Helper()
	r := newRelay(t, testbed.Redis(t).Addr)
	p := startNear(t, r.addr, 1<<20)
	c := p.call("2")
	p.hot(c, "GET", "k")
	r.hold(true)
	c.send("GET", "other")
	p.underWay(1)
	return r, p, c
}

// TestCacheIsNotUnderWay: what a cache asks its server itself keeps neither an operator's pause
// nor a move waiting.
func TestCacheIsNotUnderWay(t *testing.T) {
	server := testbed.Redis(t)
	r := newRelay(t, server.Addr)
	p := startNear(t, r.addr, 1<<20)
	c := p.call("2")
	p.hot(c, "GET", "k")
	r.hold(true)
	testbed.Eventually(t, "the server is asked for a sign of life", func() (asked bool) {
		p.on(func(near *nearCache) { asked = near.out > 0 })
		return asked
	})
	p.on(func(*nearCache) {
		if n := p.core.UnderWay("acme"); n != 0 {
			t.Errorf("%d commands are under way, want none", n)
		}
	})
	c.send("GET", "other")
	p.underWay(1)
	r.cut()
	if got := c.next(); got != "$-1|" {
		t.Errorf("got %q", got)
	}
}

// TestWhatTheCacheAsksIsCounted: reads that wait for the cache's link are in the process's memory,
// until they are answered or the link is lost.
func TestWhatTheCacheAsksIsCounted(t *testing.T) {
	server := testbed.Redis(t)
	r := newRelay(t, server.Addr)
	p := startNear(t, r.addr, 1<<20)
	held := &purse{room: math.MaxInt64}
	c := p.call("2")
	p.hot(c, "GET", "k")
	p.on(func(*nearCache) { p.core.Memory = held })
	for _, end := range []struct {
		name string
		do   func()
	}{
		{"answered", func() { r.hold(false) }},
		{"lost", func() { r.cut() }},
	} {
		t.Run(end.name, func(t *testing.T) {
			r.hold(true)
			const size = 3000
			c.send("GET", end.name+strings.Repeat("x", size))
			testbed.Eventually(t, "the read is counted", func() (counted bool) {
				p.on(func(*nearCache) { counted = held.held >= size })
				return counted
			})
			end.do()
			if got := c.next(); got != "$-1|" {
				t.Errorf("got %q", got)
			}
			p.on(func(*nearCache) {
				if held.held != 0 {
					t.Errorf("%d bytes are held, want none", held.held)
				}
			})
		})
	}
}

// TestCacheOfAHeldInstance: a read that is lost with the cache's link is not sent again while the
// instance's commands wait: it may be at another backend by now.
func TestCacheOfAHeldInstance(t *testing.T) {
	r, p, c := heldCache(t)
	p.on(func(*nearCache) {
		now := p.core.Clock.Now()
		p.core.Standstill("acme", MoveStill, NewLease(now)) // which is over
	})
	r.cut()
	if got, want := c.next(), "-ERR backend connection lost: the command may have been executed|"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestCacheOfAMovedInstance: when the instance is at another backend the cache of the old one ends,
// and reads that were under way there are answered by the new one.
func TestCacheOfAMovedInstance(t *testing.T) {
	next := testbed.Redis(t)
	if err := next.Client().Set(t.Context(), "other", "there", 0).Err(); err != nil {
		t.Fatal(err)
	}
	_, p, c := heldCache(t)
	p.on(func(*nearCache) {
		for s := range p.core.sessions {
			changed := *s.principal
			changed.Route.URL = tenant.Secret("redis://" + next.Addr)
			if err := s.adopt(s.handle, &changed); err != nil {
				t.Error(err)
			}
		}
		if left := len(p.core.near); left > 0 || p.core.Cache.Used() > 0 {
			t.Errorf("%d caches are left, with %d bytes", left, p.core.Cache.Used())
		}
	})
	if got := c.next(); got != "$5|there|" {
		t.Errorf("what was under way is answered %q", got)
	}
}

// TestCacheLosesMoreThanCanWait: reads that are lost with all links go again as far as there is room
// for them to wait; the others are not answered in their place.
func TestCacheLosesMoreThanCanWait(t *testing.T) {
	r := newRelay(t, testbed.Redis(t).Addr)
	p := startNear(t, r.addr, 1<<20)
	c := p.call("2")
	p.hot(c, "GET", "k")
	r.hold(true)
	const n = 20
	for i := range n {
		c.send("GET", fmt.Sprint(i, strings.Repeat("x", maxNearCommand-100)))
	}
	p.underWay(n)
	p.on(func(near *nearCache) {
		loop.NewAccount(1).Add(p.loop) // there is no room
		for s := range p.core.sessions {
			s.links[pool.Plain].Abort(errSilent)
		}
		near.link.Abort(errSilent)
	})
	if got := c.next(); got != "$-1|" && got != "end" {
		t.Errorf("the first is answered %q", got)
	}
}

// TestCacheIsReplacedInSilence: an operator may have the connections replaced just since the old
// ones are dead: reads that wait for the cache's are answered all the same.
func TestCacheIsReplacedInSilence(t *testing.T) {
	_, p, c := heldCache(t)
	p.on(func(near *nearCache) {
		p.core.Upkeep.Reconnect("acme")
		near.moved -= int64(nearGiveUp) // it has been silent for so long
	})
	if got := c.next(); got != "$-1|" {
		t.Errorf("it is answered %q", got)
	}
}
