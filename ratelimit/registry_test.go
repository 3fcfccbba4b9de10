package ratelimit

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/respgate/respgate/tenant"
)

func TestBucketSurvivesReconnecting(t *testing.T) {
	r := New(Defaults{RPS: 100})
	take(t, r.Bucket("k", tenant.Limits{}), start, 1000, 100)
	runtime.GC()
	r.Sweep(start.Add(500 * time.Millisecond))
	runtime.GC()
	take(t, r.Bucket("k", tenant.Limits{}), start.Add(500*time.Millisecond), 1000, 50)
	take(t, r.Bucket("other", tenant.Limits{}), start, 1000, 100)
}

func TestLimitsChangeLive(t *testing.T) {
	tests := []struct {
		name     string
		to       tenant.Limits
		wantRate int
		now      int // tokens at once
		later    int // and a second after that
	}{
		{"faster keeps the tokens", own(1000), 1000, 60, 1000},
		{"slower caps the tokens", own(10), 10, 10, 10},
		{"burst grows", ownBurst(100, 500), 100, 60, 100},
		{"burst shrinks", ownBurst(100, 5), 100, 5, 5},
		{"unlimited", own(0), 0, 1 << 20, 1 << 20},
		{"the default", tenant.Limits{}, 20, 20, 20},
		{"a refill", tenant.Limits{Rate: own(100).Rate, Reset: 1}, 100, 100, 100},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := New(Defaults{RPS: 20})
			b := r.Bucket("k", own(100))
			take(t, b, start, 40, 40)
			if got := r.Bucket("k", tt.to); got != b {
				t.Fatal("a changed limit made a second bucket")
			}
			if got := b.Rate(); got != tt.wantRate {
				t.Errorf("Rate() = %d, want %d", got, tt.wantRate)
			}
			take(t, b, start, 1<<20, tt.now)
			take(t, b, start.Add(time.Second), 1<<20, tt.later)
		})
	}
}

func TestUnlimitedToLimited(t *testing.T) {
	r := New(Defaults{})
	b := r.Bucket("k", own(0))
	take(t, b, start, 1000, 1000)
	r.Bucket("k", own(100))
	take(t, b, start, 1000, 100)
	r.Bucket("k", own(0))
	take(t, b, start, 1000, 1000)
	r.Bucket("k", own(100))
	take(t, b, start, 1000, 0)
}

func TestResetRefillsOnce(t *testing.T) {
	r := New(Defaults{RPS: 100})
	fresh, stale := tenant.Limits{Reset: 7}, tenant.Limits{Reset: 6}
	b := r.Bucket("k", stale)
	take(t, b, start, 1000, 100)
	for i, l := range []tenant.Limits{fresh, stale, fresh, stale, fresh} {
		r.Bucket("k", l)
		want := 0
		if i == 0 {
			want = 100
		}
		take(t, b, start, 1000, want)
	}
}

func TestSetDefaults(t *testing.T) {
	r := New(Defaults{RPS: 100})
	follows, has, burst := r.Bucket("follows", tenant.Limits{}), r.Bucket("has", own(100)), r.Bucket("burst", burstOnly(7))
	r.SetDefaults(Defaults{RPS: 50, Burst: 60})
	for b, want := range map[*Bucket]int{follows: 50, has: 100, burst: 50} {
		if got := b.Rate(); got != want {
			t.Errorf("%s: Rate() = %d, want %d", b.key, got, want)
		}
	}
	take(t, follows, start, 1000, 60)
	take(t, has, start, 1000, 100)
	take(t, burst, start, 1000, 7)
	r.SetDefaults(Defaults{})
	take(t, follows, start, 1000, 1000)
	take(t, has, start, 1000, 0)
}

func TestSweep(t *testing.T) {
	r := New(Defaults{RPS: 100})
	held := r.Bucket("held", tenant.Limits{})
	for _, id := range []string{"idle", "busy", "unlimited"} {
		l := tenant.Limits{}
		if id == "unlimited" {
			l = own(0)
		}
		b := r.Bucket(id, l)
		take(t, b, start, 10, 10)
		if id == "busy" {
			take(t, b, start.Add(time.Second), 100, 100)
		}
	}
	sweep := func(now time.Time, want int) {
		t.Helper()
		r.Sweep(now)
		runtime.GC()
		r.Sweep(now)
		if got := r.Len(); got != want {
			t.Errorf("%d buckets after %v, want %d", got, now.Sub(start), want)
		}
	}
	sweep(start.Add(time.Second), 2) // held and busy
	take(t, r.Bucket("busy", tenant.Limits{}), start.Add(time.Second), 1, 0)

	take(t, held, start.Add(time.Second), 100, 100)
	if r.Bucket("held", tenant.Limits{}) != held {
		t.Error("a bucket in use was replaced")
	}
	runtime.KeepAlive(held)
	sweep(start.Add(time.Second), 2) // nobody has them, but neither is full
	sweep(start.Add(time.Hour), 0)
}

func TestConcurrentUse(t *testing.T) {
	r := New(Defaults{RPS: 1000})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 500 {
				now := start.Add(time.Duration(n) * time.Millisecond)
				l := tenant.Limits{Reset: int64(n / 100)}
				if n%3 == 0 {
					l = own(n)
				}
				b := r.Bucket("k", l)
				granted, _ := b.Take(now, 3)
				b.Give(granted / 2)
				b.Rate()
				switch n % 50 {
				case i:
					r.SetDefaults(Defaults{RPS: 1000 + n})
				case 10 + i:
					r.Sweep(now)
				}
			}
		})
	}
	wg.Wait()
}

// TestOrganization has an organization's bucket beside a key's of the same id: one for all,
// with the pace that was told last.
func TestOrganization(t *testing.T) {
	r := New(Defaults{RPS: 100})
	if b := r.Organization("x", tenant.Pace{Burst: 5}); b != nil {
		t.Error("an unlimited organization has a bucket")
	}
	key, org := r.Bucket("x", tenant.Limits{}), r.Organization("x", tenant.Pace{Rate: 10})
	take(t, org, start, 100, 10)
	take(t, key, start, 100, 100)
	if again := r.Organization("x", tenant.Pace{Rate: 20, Burst: 40}); again != org || again.Rate() != 20 {
		t.Errorf("asked again it is another, or has %d commands/s, want 20", again.Rate())
	}
	take(t, org, start.Add(time.Second), 100, 20)
}

// TestBytes has the buckets of a key's and an organization's bytes: apart from those of their
// commands, and gone where nothing limits them.
func TestBytes(t *testing.T) {
	none, some := int64(0), int64(5000)
	r := New(Defaults{RPS: 100, ByteRate: 1000})
	r.Bucket("k", tenant.Limits{})
	for _, c := range []struct {
		name   string
		bucket *Bucket
		want   int
	}{
		{"a key's own", r.Bytes("own", tenant.Limits{ByteRate: &some}), 5000},
		{"a key's by default", r.Bytes("k", tenant.Limits{}), 1000},
		{"a key's without limit", r.Bytes("none", tenant.Limits{ByteRate: &none}), 0},
		{"an organization's", r.OrganizationBytes("k", tenant.Pace{ByteRate: 7000}), 7000},
		{"an organization's without limit", r.OrganizationBytes("o", tenant.Pace{Rate: 5}), 0},
	} {
		switch {
		case c.bucket == nil && c.want == 0:
		case c.bucket == nil || c.bucket.Rate() != c.want:
			t.Errorf("%s: got %+v, want %d bytes/s", c.name, c.bucket, c.want)
		default:
			take(t, c.bucket, start, 1<<30, c.want)
		}
	}
	take(t, r.Bucket("k", tenant.Limits{}), start, 1000, 100)
	r.SetDefaults(Defaults{RPS: 100})
	if b := r.Bytes("k", tenant.Limits{}); b != nil {
		t.Errorf("without a default %d bytes/s", b.Rate())
	}
	r.SetDefaults(Defaults{RPS: 100, ByteRate: 300})
	take(t, r.Bytes("k", tenant.Limits{}), start.Add(time.Hour), 1000, 300)
	take(t, r.Bytes("k", tenant.Limits{Reset: 1}), start.Add(time.Hour), 1000, 300)
}

func TestModeOf(t *testing.T) {
	for _, c := range []struct{ fallback, own, want tenant.LimitMode }{
		{tenant.LimitDefault, tenant.LimitDefault, tenant.LimitReject},
		{tenant.LimitDelay, tenant.LimitDefault, tenant.LimitDelay},
		{tenant.LimitDelay, tenant.LimitDryRun, tenant.LimitDryRun},
	} {
		if got := (Defaults{Mode: c.fallback}).ModeOf(c.own); got != c.want {
			t.Errorf("%v with the default %v is %v, want %v", c.own, c.fallback, got, c.want)
		}
	}
}
