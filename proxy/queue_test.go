package proxy

import (
	"testing"
	"time"

	"github.com/respgate/respgate/ratelimit"
	"github.com/respgate/respgate/tenant"
)

// sharing has the desk's limits be shared with four proxies.
func sharing(d *desk) *ratelimit.Registry {
	r := ratelimit.New(ratelimit.Defaults{MaxDelay: time.Second})
	r.Share(100 * time.Millisecond)
	r.Settle(d.Now(), 4, nil)
	d.core.Limiters = r
	return r
}

// TestDelayAcrossProxies has a client of one of four proxies, which share a limit, send two commands, the second of which
// has to wait: its turn is when all proxies together have a token for it, though this one by itself had one later.
func TestDelayAcrossProxies(t *testing.T) {
	for _, c := range []struct {
		name   string
		limits tenant.Limits
		owed   int           // bytes
		left   float64       // of the shared bucket, when it has heard of both, but for bytes of the second
		not    time.Duration // when it is not served yet; 0: it does not wait
		at     time.Duration // when it is
		want   string
	}{
		{"sooner than by itself", delaying(10, 1), 0, -1, 100 * time.Millisecond, 102 * time.Millisecond, served(1)},
		{"which by itself would be too late", delaying(1, 1), 0, -0.5, 500 * time.Millisecond, 502 * time.Millisecond, served(1)},
		{"at once", delaying(10, 1), 0, 5, 0, 21 * time.Millisecond, served(1)},
		{"too late, as others are before it", delaying(10, 1), 0, -30, 0, 21 * time.Millisecond, "-RATELIMIT 10 commands/s exceeded for this key, retry after 2981 ms|"},
		{"bytes are owed", bytesOf(1000, tenant.LimitDelay), 1400, -400, 400 * time.Millisecond, 402 * time.Millisecond, served(1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := fixed{}
			d := newDesk(t, st)
			r := sharing(d)
			d.open(st.limited("acme", c.limits, tenant.Quota{}))
			d.send(getFrame)
			d.reply()
			d.expect("the first", served(1))
			d.session.buckets.more.debit(d.Now(), c.owed)
			d.send(getFrame)
			d.expect("the second", "")
			if !d.session.delayed() {
				t.Fatal("it does not wait")
			}
			d.passed = time.Millisecond
			requests, _ := r.Lease(d.Now(), nil, 10)
			if len(requests) != 1 {
				t.Fatalf("%d requests to the shared Redis, want 1", len(requests))
			}
			r.Settle(d.Now(), 4, []tenant.Lease{{Left: c.left - float64(d.session.buckets.more.ahead[ofKey])}})
			d.pass(c.not)
			d.expect("before its turn", "")
			d.pass(c.at)
			d.expect("in its turn", c.want)
		})
	}
}

// TestDelayWithoutTheSharedRedis has a command wait for as long as the proxy by itself says, since nobody has heard of it.
func TestDelayWithoutTheSharedRedis(t *testing.T) {
	st := fixed{}
	d := newDesk(t, st)
	r := sharing(d)
	d.open(st.limited("acme", delaying(10, 1), tenant.Quota{}))
	d.send(getFrame + getFrame)
	d.reply()
	d.expect("the first", served(1))
	r.Lease(d.Now(), nil, 10)
	r.Settle(d.Now(), 4, []tenant.Lease{{Failed: true}})
	d.pass(399 * time.Millisecond)
	d.expect("before its turn", "")
	d.pass(401 * time.Millisecond)
	d.expect("in its turn", served(1))
}
