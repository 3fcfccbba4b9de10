package ratelimit

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/respgate/respgate/tenant"
)

// near reports whether a wait is what it should be, but for rounding up.
func near(got, want time.Duration) bool { return got >= want && got <= want+10*time.Nanosecond }

// TestOwing follows a bucket of 100 tokens/s and a burst of 50.
func TestOwing(t *testing.T) {
	b := New(Defaults{}).Bucket("k", ownBurst(100, 50))
	for i, step := range []struct {
		name  string
		at    time.Duration
		debit int
		give  int
		wait  time.Duration
		take  int // granted of 1000
	}{
		{"none yet", 0, 0, 0, 0, 50},
		{"empty owes nothing", 0, 0, 0, 0, 0},
		{"owes", 0, 30, 0, 300 * time.Millisecond, 0},
		{"nothing is nothing", 0, -5, 0, 300 * time.Millisecond, 0},
		{"pays back", 100 * time.Millisecond, 0, 0, 200 * time.Millisecond, 0},
		{"is given some", 100 * time.Millisecond, 0, 10, 100 * time.Millisecond, 0},
		{"more than its burst", 100 * time.Millisecond, 500, 0, 5100 * time.Millisecond, 0},
		{"still owes a bit", 5199 * time.Millisecond, 0, 0, time.Millisecond, 0},
		{"owes nothing", 5200 * time.Millisecond, 0, 0, 0, 0},
		{"grants again", 5305 * time.Millisecond, 0, 0, 0, 10},
		{"no more than its burst", time.Hour, 0, 0, 0, 50},
		{"full, and all of it", 2 * time.Hour, 50, 0, 0, 0},
	} {
		now := start.Add(step.at)
		b.Debit(now, step.debit)
		b.Give(step.give)
		if got := b.Wait(now); !near(got, step.wait) {
			t.Errorf("step %d, %s: Wait = %v, want %v", i, step.name, got, step.wait)
		}
		if got, _ := b.Take(now, 1000); got != step.take {
			t.Errorf("step %d, %s: granted %d, want %d", i, step.name, got, step.take)
		}
	}
}

// TestOwingIsTold has a bucket that owes say when there is one token.
func TestOwingIsTold(t *testing.T) {
	b := New(Defaults{}).Bucket("k", own(100))
	b.Debit(start, 109)
	if retry := take(t, b, start, 1, 0); !near(retry, 100*time.Millisecond) {
		t.Errorf("retry = %v, want 100ms: nine are owed", retry)
	}
	b.Debit(start, math.MaxInt64/4)
	if got := b.Wait(start); got < century || got > century+time.Second {
		t.Errorf("Wait = %v, want a century", got)
	}
}

func TestWaitIsTheTrueWait(t *testing.T) {
	for _, perSecond := range []int{1, 3, 7, 100, 999, 12345, 10 << 20} {
		b := New(Defaults{}).Bucket("k", own(perSecond))
		now := start
		for range 1000 {
			now = now.Add(time.Duration(rand.IntN(1000)))
			b.Debit(now, 2*perSecond)
			wait := b.Wait(now)
			if early := now.Add(wait - 10); b.Wait(early) == 0 {
				t.Fatalf("%d/s: 10 ns before the end of %v it owes nothing", perSecond, wait)
			}
			if now = now.Add(wait); b.Wait(now) != 0 {
				t.Fatalf("%d/s: at the end of %v it owes for another %v", perSecond, wait, b.Wait(now))
			}
		}
	}
}

// TestReserve has several ask for tokens that are not there yet: first come, first served, and
// what is given back is for those who come then.
func TestReserve(t *testing.T) {
	const most = 100 * time.Millisecond
	b := New(Defaults{}).Bucket("k", ownBurst(100, 2))
	for i, step := range []struct {
		name string
		at   time.Duration
		give int
		n    int
		wait time.Duration
		ok   bool
	}{
		{"there", 0, 0, 2, 0, true},
		{"the first in the queue", 0, 0, 1, 10 * time.Millisecond, true},
		{"the second", 0, 0, 1, 20 * time.Millisecond, true},
		{"several, more than the burst", 5 * time.Millisecond, 0, 5, 65 * time.Millisecond, true},
		{"too long", 5 * time.Millisecond, 0, 4, 105 * time.Millisecond, false},
		{"which has taken nothing", 5 * time.Millisecond, 0, 3, 95 * time.Millisecond, true},
		{"after two have gone", 5 * time.Millisecond, 2, 1, 85 * time.Millisecond, true},
		{"none is nothing", 5 * time.Millisecond, 0, 0, 0, true},
		{"when all have been served", 200 * time.Millisecond, 0, 2, 0, true},
	} {
		b.Give(step.give)
		wait, ok := b.Reserve(start.Add(step.at), step.n, most)
		if !near(wait, step.wait) || ok != step.ok {
			t.Errorf("step %d, %s: got %v, %v, want %v, %v", i, step.name, wait, ok, step.wait, step.ok)
		}
	}
}

func TestOwingUnlimited(t *testing.T) {
	b := New(Defaults{}).Bucket("k", own(0))
	b.Debit(start, 1<<40)
	if wait, ok := b.Reserve(start, 1<<40, 0); wait != 0 || !ok || b.Wait(start) != 0 {
		t.Errorf("an unlimited bucket has one wait for %v (%v), owes for %v", wait, ok, b.Wait(start))
	}
}

// TestOwingOutlives has a bucket that owes be there still when its last user has gone, and a
// refill be full.
func TestOwingOutlives(t *testing.T) {
	r := New(Defaults{RPS: 100})
	r.Bucket("k", tenant.Limits{}).Debit(start, 300)
	r.Sweep(start)
	b := r.Bucket("k", tenant.Limits{})
	if got := b.Wait(start); !near(got, 2*time.Second) {
		t.Errorf("Wait = %v, want 2s", got)
	}
	take(t, r.Bucket("k", tenant.Limits{Reset: 1}), start, 1000, 100)
}

func TestOwingDoesNotAllocate(t *testing.T) {
	b := New(Defaults{RPS: 100}).Bucket("k", tenant.Limits{})
	now := start
	got := testing.AllocsPerRun(100, func() {
		now = now.Add(time.Millisecond)
		b.Debit(now, 1000)
		b.Wait(now)
		b.Reserve(now, 1, century)
	})
	if got != 0 {
		t.Errorf("Debit, Wait and Reserve allocate %v times, want 0", got)
	}
}
