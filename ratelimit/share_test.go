package ratelimit

import (
	"runtime"
	"testing"
	"time"

	"github.com/respgate/respgate/tenant"
)

const testLease = 100 * time.Millisecond

// sharedBucket is a bucket of one of so many proxies.
func sharedBucket(proxies int, l tenant.Limits) (*Registry, *Bucket) {
	r := New(Defaults{})
	r.Share(testLease)
	r.Settle(start, proxies, nil)
	return r, r.Bucket("k", l)
}

// lease returns the one request that there is at the time now.
func lease(t *testing.T, r *Registry, now time.Time) tenant.LeaseRequest {
	t.Helper()
	requests, _ := r.Lease(now, nil, 10)
	if len(requests) != 1 {
		t.Fatalf("%d requests at %v, want 1: %+v", len(requests), now.Sub(start), requests)
	}
	return requests[0]
}

func wantRequest(t *testing.T, got, want tenant.LeaseRequest) {
	t.Helper()
	if got != want {
		t.Errorf("got request %+v,\n        want %+v", got, want)
	}
}

func after(d time.Duration) time.Time { return start.Add(d) }

func TestNothingIsAskedForWhatIsNotUsed(t *testing.T) {
	r, b := sharedBucket(4, own(100))
	if requests, soon := r.Lease(start, nil, 10); len(requests) > 0 || soon {
		t.Errorf("got requests %+v, soon %v, want none", requests, soon)
	}
	r.Bucket("unlimited", own(0)).Take(start, 1)
	b.Give(0)
	if requests, soon := r.Lease(start, nil, 10); len(requests) > 0 || soon {
		t.Errorf("got requests %+v, soon %v, want none", requests, soon)
	}
}

func TestFirstCommandsAreOnCredit(t *testing.T) {
	r, b := sharedBucket(4, own(100))
	take(t, b, start, 100, 25)
	select {
	case <-r.sharing.wake:
	default:
		t.Error("nobody was woken by a bucket that is used for the first time")
	}
	wantRequest(t, lease(t, r, start), tenant.LeaseRequest{Name: "k:k", Rate: 100, Burst: 100, Used: 25, Want: 10})
	r.Settle(after(time.Millisecond), 4, []tenant.Lease{{Granted: 10, Left: 65}})
	take(t, b, after(time.Millisecond), 100, 26) // 10, and a quarter of 65
	wantRequest(t, lease(t, r, after(20*time.Millisecond)), tenant.LeaseRequest{Name: "k:k", Rate: 100, Burst: 100, Used: 16, Want: 10})
}

func TestOneProxyIsAsByItself(t *testing.T) {
	r, b := sharedBucket(1, own(100))
	take(t, b, start, 1000, 100)
	wantRequest(t, lease(t, r, start), tenant.LeaseRequest{Name: "k:k", Rate: 100, Burst: 100, Used: 100, Want: 10})
	r.Settle(start, 1, []tenant.Lease{{}})
	take(t, b, after(50*time.Millisecond), 1000, 5)
}

func TestWhatIsNotWantedGoesBack(t *testing.T) {
	r, b := sharedBucket(4, own(1000))
	b.Take(start, 300)
	lease(t, r, start)
	r.Settle(start, 4, []tenant.Lease{{Granted: 100, Left: 400}})
	now, ahead := start, int64(100)
	for range 100 {
		now = now.Add(Tick(testLease))
		requests, soon := r.Lease(now, nil, 10)
		for _, q := range requests {
			if q.Used != 0 || q.Want >= 0 {
				t.Fatalf("got request %+v, want one that gives back", q)
			}
			ahead += q.Want
			r.Settle(now, 4, []tenant.Lease{{Granted: q.Want, Left: 500}})
		}
		if !soon {
			break
		}
	}
	if ahead != 0 {
		t.Errorf("%d tokens have not gone back", ahead)
	}
	if took := now.Sub(start); took > 2*time.Second {
		t.Errorf("an idle bucket was asked for during %v, want at most 2s", took)
	}
	take(t, b, now, 1000, 250)
}

func TestOwingTellsAll(t *testing.T) {
	r, b := sharedBucket(4, own(1000))
	b.Debit(start, 5000)
	wantRequest(t, lease(t, r, start), tenant.LeaseRequest{Name: "k:k", Rate: 1000, Burst: 1000, Used: 5000, Want: 100})
	r.Settle(start, 4, []tenant.Lease{{Left: -4000}})
	if got, want := b.Wait(start).Round(time.Millisecond), 4*time.Second; got != want {
		t.Errorf("who owes 4000 of 1000 tokens/s waits %v, want %v", got, want)
	}
	other, c := sharedBucket(4, own(1000))
	c.Take(start, 1)
	lease(t, other, start)
	other.Settle(start, 4, []tenant.Lease{{Left: -4000}})
	if got, want := c.Wait(start).Round(time.Millisecond), 4*time.Second; got != want {
		t.Errorf("at another proxy it is %v, want %v", got, want)
	}
}

func TestReservedTokensAreTakenThere(t *testing.T) {
	r, b := sharedBucket(2, own(100))
	wait, ok := b.Reserve(start, 60, time.Second)
	if want := 200 * time.Millisecond; !ok || wait.Round(time.Millisecond) != want {
		t.Errorf("60 tokens of 50 at 50/s: got a wait of %v, %v, want %v", wait, ok, want)
	}
	b.Give(5)
	if got := lease(t, r, start).Used; got != 55 {
		t.Errorf("55 tokens were reserved: %d are taken there", got)
	}
}

func TestRetryByLease(t *testing.T) {
	for _, c := range []struct {
		name            string
		rate, burst     int
		owed            int
		wantAtMost, min time.Duration
	}{
		{"a lease may be sooner than the own pace", 20, 4, 0, 100 * time.Millisecond, 0},
		{"no lease is sooner than the rate", 2, 4, 0, 500 * time.Millisecond, 499 * time.Millisecond},
		{"the own pace is soon", 1000, 100, 0, 5 * time.Millisecond, 0},
		{"what is owed has to come", 20, 4, 99, 21 * time.Second, 19 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, b := sharedBucket(4, ownBurst(c.rate, c.burst))
			b.Take(start, 100)
			b.Debit(start, c.owed)
			_, retry := b.Take(start, 1)
			if retry > c.wantAtMost || retry < c.min {
				t.Errorf("retry after %v, want %v to %v", retry, c.min, c.wantAtMost)
			}
		})
	}
}

func TestChangedLimitsAreAskedWith(t *testing.T) {
	r, b := sharedBucket(2, own(100))
	b.Take(start, 50)
	lease(t, r, start)
	r.Settle(start, 2, []tenant.Lease{{}})
	limits := own(1000)
	limits.Reset = 7
	r.Bucket("k", limits)
	b.Take(start, 1)
	got := lease(t, r, after(Tick(testLease)))
	if got.Rate != 1000 || got.Burst != 1000 || got.Refills != 7 {
		t.Errorf("got request %+v, want rate and burst 1000, and refills 7", got)
	}
	r.Settle(start, 2, []tenant.Lease{{}})
	r.Bucket("k", own(0))
	b.Take(start, 1)
	if requests, soon := r.Lease(after(time.Minute), nil, 10); len(requests) > 0 || soon {
		t.Errorf("an unlimited bucket has the requests %+v", requests)
	}
}

func TestAloneWithoutAnswers(t *testing.T) {
	for _, c := range []struct {
		name    string
		granted int64 // of each request before
		perTick int   // that clients want
		want    int   // in a second alone, about
	}{
		{"its part of the rate", 0, 0, 250},
		{"what it was used for", 20, 100, 1000},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, b := sharedBucket(4, own(1000))
			now := start
			for range 500 {
				now = now.Add(Tick(testLease))
				b.Take(now, c.perTick)
				if requests, _ := r.Lease(now, nil, 10); len(requests) > 0 {
					r.Settle(now, 4, []tenant.Lease{{Granted: min(c.granted, requests[0].Want)}})
				}
			}
			for r.Alone() == 0 {
				now = now.Add(Tick(testLease))
				b.Take(now, max(1, c.perTick))
				if requests, _ := r.Lease(now, nil, 10); len(requests) > 0 {
					r.Settle(now, 4, []tenant.Lease{{Failed: true}})
				}
			}
			if got := r.Alone(); got != 1 {
				t.Errorf("%d buckets are alone, want 1", got)
			}
			b.Take(now, 1<<20)
			got := 0
			for range 1000 {
				now = now.Add(time.Millisecond)
				n, _ := b.Take(now, 1000)
				got += n
			}
			if got < c.want*95/100 || got > c.want*105/100 {
				t.Errorf("%d commands were admitted in a second alone, want about %d", got, c.want)
			}
			now = now.Add(time.Second)
			if q := lease(t, r, now); q.Used > int64(c.want) {
				t.Errorf("%d tokens are taken from the Redis that is back, want at most its part of the burst, %d", q.Used, c.want)
			}
			r.Settle(now, 4, []tenant.Lease{{}})
			if got := r.Alone(); got != 0 {
				t.Errorf("%d buckets are alone, want none", got)
			}
		})
	}
}

func TestAloneIsNotForEver(t *testing.T) {
	r, b := sharedBucket(4, own(1000))
	b.Take(start, 1)
	lease(t, r, start)
	r.Settle(start, 4, []tenant.Lease{{Failed: true}})
	r.Bucket("k", own(0))
	r.Lease(after(time.Second), nil, 10)
	if got := r.Alone(); got != 0 {
		t.Errorf("%d buckets are alone, want none: it is unlimited now", got)
	}
}

func TestManyBucketsTakeTurns(t *testing.T) {
	r, _ := sharedBucket(2, own(1))
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		r.Bucket(id, own(1000)).Take(start, 1000)
	}
	asked := map[string]bool{}
	now := start
	for range 3 {
		requests, soon := r.Lease(now, nil, 2)
		if len(requests) > 2 || !soon {
			t.Errorf("got %d requests, soon %v, want at most 2", len(requests), soon)
		}
		for _, q := range requests {
			asked[q.Name] = true
		}
		r.Settle(now, 2, make([]tenant.Lease, len(requests)))
		now = now.Add(Tick(testLease))
	}
	if len(asked) != 5 {
		t.Errorf("only %v had their turn, want all 5", asked)
	}
}

func TestNamesAmongProxies(t *testing.T) {
	r, _ := sharedBucket(2, own(1))
	perSecond := int64(1000)
	for want, b := range map[string]*Bucket{
		"k:acme":  r.Bucket("acme", own(10)),
		"o:acme":  r.Organization("acme", tenant.Pace{Rate: 10}),
		"kb:acme": r.Bytes("acme", tenant.Limits{ByteRate: &perSecond}),
		"ob:acme": r.OrganizationBytes("acme", tenant.Pace{ByteRate: perSecond}),
	} {
		b.Take(start, 1)
		if got := lease(t, r, start).Name; got != want {
			t.Errorf("the bucket is called %q, want %q", got, want)
		}
		r.Settle(start, 2, []tenant.Lease{{}})
	}
}

func TestSharedBucketsAreSwept(t *testing.T) {
	r, b := sharedBucket(2, own(1000))
	b.Take(start, 1)
	b = nil
	runtime.GC()
	r.Sweep(after(time.Hour))
	runtime.GC()
	if got := r.Len(); got != 2-1 {
		t.Fatalf("%d buckets, want the one whose token has not been told yet", got)
	}
	now := after(time.Hour)
	for range 20 {
		requests, _ := r.Lease(now, nil, 10)
		leases := make([]tenant.Lease, len(requests))
		for i, q := range requests {
			leases[i] = tenant.Lease{Granted: q.Want, Left: 1000}
		}
		r.Settle(now, 2, leases)
		now = now.Add(time.Second)
	}
	r.Sweep(now)
	runtime.GC()
	r.Sweep(now)
	if got := r.Len(); got != 0 {
		t.Errorf("%d buckets are left, want none", got)
	}
}

// TestGivenBackIsNobodysWhileOwed has tokens be given back that were reserved where all proxies owe: nobody may use them at once.
func TestGivenBackIsNobodysWhileOwed(t *testing.T) {
	r, b := sharedBucket(4, own(1000))
	if _, ok := b.Reserve(start, 1500, 10*time.Second); !ok {
		t.Fatal("they are not reserved")
	}
	lease(t, r, start)
	r.Settle(start, 4, []tenant.Lease{{Left: -2000}}) // other proxies have used some
	b.Give(1500)
	take(t, b, start, 1000, 0)
	if got := lease(t, r, after(Tick(testLease))); got.Used != 0 || got.Want != 100-1500 {
		t.Errorf("got request %+v, want all to go back but for 100 that are wanted", got)
	}
}

// TestGivenBackMovesNobodyBack has somebody give tokens back, and another one behind wait for no more than for what is owed still.
func TestGivenBackMovesNobodyBack(t *testing.T) {
	r, b := sharedBucket(4, ownBurst(10, 1))
	b.Take(start, 1)
	b.Reserve(start, 5, time.Minute)
	b.Reserve(start, 1, time.Minute)
	place := b.Place()
	b.Give(5)
	lease(t, r, start)
	r.Settle(start, 4, []tenant.Lease{{Left: -1}})
	if wait, certain := b.Until(start, place); !near(wait, 100*time.Millisecond) || !certain {
		t.Errorf("who owes the last of 10 tokens/s waits %v (certain: %v), want 100ms", wait, certain)
	}
}
