package ratelimit

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/respgate/respgate/tenant"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func own(perSecond int) tenant.Limits { return tenant.Limits{Rate: &perSecond} }

func ownBurst(perSecond, burst int) tenant.Limits {
	return tenant.Limits{Rate: &perSecond, Burst: &burst}
}

func burstOnly(burst int) tenant.Limits { return tenant.Limits{Burst: &burst} }

func take(t *testing.T, b *Bucket, now time.Time, n, want int) time.Duration {
	t.Helper()
	got, retry := b.Take(now, n)
	if got != want {
		t.Fatalf("Take(%d) at %v granted %d, want %d", n, now.Sub(start), got, want)
	}
	return retry
}

func TestResolve(t *testing.T) {
	tests := []struct {
		name            string
		limits          tenant.Limits
		defaults        Defaults
		wantRate, wantB int
	}{
		{"defaults", tenant.Limits{}, Defaults{RPS: 100, Burst: 250}, 100, 250},
		{"default burst is the rate", tenant.Limits{}, Defaults{RPS: 100, Burst: 0}, 100, 100},
		{"default unlimited", tenant.Limits{}, Defaults{RPS: 0, Burst: 50}, 0, 0},
		{"own rate does not take the default burst", own(10), Defaults{RPS: 100, Burst: 250}, 10, 10},
		{"own rate and burst", ownBurst(10, 20), Defaults{RPS: 100, Burst: 250}, 10, 20},
		{"own burst only", burstOnly(20), Defaults{RPS: 100, Burst: 250}, 100, 20},
		{"own unlimited", own(0), Defaults{RPS: 100, Burst: 250}, 0, 0},
		{"burst of 0 is the rate", ownBurst(10, 0), Defaults{RPS: 100, Burst: 250}, 10, 10},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			gotRate, gotB := resolve(tt.limits, tt.defaults)
			if gotRate != tt.wantRate || gotB != tt.wantB {
				t.Errorf("got rate %d, burst %d, want %d, %d", gotRate, gotB, tt.wantRate, tt.wantB)
			}
		})
	}
}

func TestTakePipeline(t *testing.T) {
	b := New(Defaults{RPS: 100}).Bucket("k", tenant.Limits{})
	if got := b.Rate(); got != 100 {
		t.Errorf("Rate() = %d, want 100", got)
	}
	take(t, b, start, 0, 0)
	take(t, b, start, 30, 30)
	retry := take(t, b, start, 1000, 70)
	if want := 10 * time.Millisecond; retry < want || retry > want+time.Microsecond {
		t.Errorf("retry = %v, want %v", retry, want)
	}
	take(t, b, start.Add(50*time.Millisecond), 1000, 5)
	take(t, b, start.Add(time.Hour), 1000, 100)
}

func TestRetryIsTheTrueWait(t *testing.T) {
	for _, perSecond := range []int{1, 3, 7, 100, 999, 12345, 1_000_000} {
		b := New(Defaults{}).Bucket("k", ownBurst(perSecond, 5))
		now := start
		for range 1000 {
			now = now.Add(time.Duration(rand.IntN(1000)))
			_, retry := b.Take(now, 1<<30)
			if early := retry - 10; early > 0 {
				take(t, b, now.Add(early), 1, 0)
			}
			now = now.Add(retry)
			take(t, b, now, 1, 1)
		}
	}
}

func TestUnlimited(t *testing.T) {
	b := New(Defaults{RPS: 100}).Bucket("k", own(0))
	if retry := take(t, b, start, 1<<40, 1<<40); retry != 0 {
		t.Errorf("retry = %v, want 0", retry)
	}
	if got := b.Rate(); got != 0 {
		t.Errorf("Rate() = %d, want 0", got)
	}
	b.Give(5)
}

func TestGive(t *testing.T) {
	b := New(Defaults{RPS: 100}).Bucket("k", tenant.Limits{})
	take(t, b, start, 100, 100)
	b.Give(40)
	b.Give(0)
	take(t, b, start, 100, 40)
	b.Give(1000)
	take(t, b, start, 1000, 100)
}

func TestTimeGoesBack(t *testing.T) {
	b := New(Defaults{RPS: 100}).Bucket("k", tenant.Limits{})
	ahead := start.Add(100 * time.Millisecond)
	take(t, b, ahead, 100, 100)
	retry := take(t, b, start, 1, 0)
	if want := 110 * time.Millisecond; retry < want || retry > want+time.Microsecond {
		t.Errorf("retry for the slow clock = %v, want %v", retry, want)
	}
	take(t, b, ahead, 1, 0)
	take(t, b, start.Add(-time.Hour), 1, 0)
	take(t, b, ahead.Add(10*time.Millisecond), 5, 1)
}

func TestSkewedLoops(t *testing.T) {
	const loops, rps, burst = 4, 1000, 500
	r := New(Defaults{RPS: rps, Burst: burst})
	var mu sync.Mutex
	now, admitted := start, 0
	end := start.Add(5 * time.Second)
	var wg sync.WaitGroup
	for i := range loops {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for {
				mu.Lock()
				now = now.Add(time.Duration(random.IntN(200)) * time.Microsecond)
				at := now
				mu.Unlock()
				if at.After(end) {
					break
				}
				// A loop reads its clock once a turn: it is late by up to the length of a turn.
				late := time.Duration(random.IntN(20*(i+1))) * time.Millisecond
				b := r.Bucket("k", tenant.Limits{}) // as a client that reconnects each time
				n := 1 + random.IntN(16)
				got, _ := b.Take(at.Add(-late), n)
				if got > 3 {
					b.Give(1)
					got--
				}
				mu.Lock()
				admitted += got
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	const want = rps*5 + burst
	if admitted < want*98/100 || admitted > want*102/100 {
		t.Errorf("admitted %d commands in 5 s, want %d within 2%%", admitted, want)
	}
}

func TestTakeDoesNotAllocate(t *testing.T) {
	_, shared := sharedBucket(4, own(100))
	shared.Take(start, 1)
	for name, b := range map[string]*Bucket{"its own": New(Defaults{RPS: 100}).Bucket("k", tenant.Limits{}), "shared": shared} {
		now := start
		got := testing.AllocsPerRun(100, func() {
			now = now.Add(time.Millisecond)
			b.Take(now, 16)
		})
		if got != 0 {
			t.Errorf("%s: Take allocates %v times, want 0", name, got)
		}
	}
}

func BenchmarkTake(b *testing.B) {
	for name, limits := range map[string]tenant.Limits{"limited": own(1 << 30), "unlimited": own(0)} {
		b.Run(name, func(b *testing.B) {
			bucket := New(Defaults{}).Bucket("k", limits)
			now := start
			for b.Loop() {
				now = now.Add(time.Microsecond)
				bucket.Take(now, 1)
			}
		})
	}
}
