package proxy

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/auth"
	"github.com/respgate/respgate/ratelimit"
	"github.com/respgate/respgate/tenant"
)

// TestLimitsChangeWhileDelayed has the limits of a client that waits change.
func TestLimitsChangeWhileDelayed(t *testing.T) {
	fast, none := 1000, 0
	for _, c := range []struct {
		name   string
		change func(p *tenant.Principal)
		at     time.Duration // is looked
		want   string
	}{
		{"raised", func(p *tenant.Principal) { p.Limits.Rate = &fast }, 3 * time.Millisecond, served(2)},
		{"lifted", func(p *tenant.Principal) { p.Limits.Rate = &none }, time.Microsecond, served(2)},
		{"to refuse", func(p *tenant.Principal) { p.Limits.Mode = tenant.LimitReject }, time.Microsecond,
			strings.Repeat("-RATELIMIT 10 commands/s exceeded for this key, retry after 100 ms|", 2)},
		{"to dry run", func(p *tenant.Principal) { p.Limits.Mode = tenant.LimitDryRun }, time.Microsecond, served(2)},
		{"something else", func(p *tenant.Principal) { p.KeyName = "other" }, 101 * time.Millisecond, served(1)},
		{"refilled", func(p *tenant.Principal) { p.Limits.Reset++ }, time.Microsecond, served(1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := fixed{}
			d := delayDesk(t, st, st.limited("acme", delaying(10, 1), tenant.Quota{}), time.Second)
			d.send(getA)
			d.reply()
			d.out = nil
			d.send(getA + getA)
			if !d.session.delayed() {
				t.Fatal("it does not wait")
			}
			p := *d.session.principal
			c.change(&p)
			if err := d.session.adopt(d.session.handle, &p); err != nil {
				t.Fatal(err)
			}
			for len(d.in) > 0 && !d.paused { // as Data, which would look at the key
				n, _ := d.session.runBatch(d.in)
				d.in = d.in[n:]
			}
			d.reply()
			for a := d.core.delays.timer.(*alarm); !a.stopped && a.at <= c.at; {
				d.passed, a.stopped = max(d.passed, a.at), true
				a.fn()
				if n, _ := d.session.runBatch(d.in); !d.paused || n > 0 {
					d.in = d.in[n:]
				}
				d.reply()
			}
			d.expect("then", c.want)
		})
	}
}

// TestDefaultsChangeWhileDelayed has the proxy's own limits change.
func TestDefaultsChangeWhileDelayed(t *testing.T) {
	st := fixed{}
	key := st.limited("acme", tenant.Limits{}, tenant.Quota{})
	d := newDesk(t, st)
	d.core.Limiters = ratelimit.New(ratelimit.Defaults{RPS: 1, Mode: tenant.LimitDelay, MaxDelay: time.Minute})
	d.open(key)
	d.send(strings.Repeat(getA, 4))
	d.reply()
	d.expect("at once", served(1))
	d.core.Limiters.SetDefaults(ratelimit.Defaults{RPS: 10, Mode: tenant.LimitDelay, MaxDelay: time.Minute})
	d.core.Relimit()
	d.serveEverybody()
	d.pass(101 * time.Millisecond)
	d.expect("at the new rate", served(1))
	d.core.Limiters.SetDefaults(ratelimit.Defaults{RPS: 10})
	d.core.Relimit()
	d.serveEverybody()
	d.expect("where nothing waits", strings.Repeat("-RATELIMIT 10 commands/s exceeded for this key, retry after 99 ms|", 2))
	d.core.Limiters.SetDefaults(ratelimit.Defaults{RPS: 10, ByteRate: 5})
	d.core.Relimit()
	d.pass(time.Second)
	d.send(getA)
	d.send(getA)
	d.reply()
	d.expect("where bytes are limited", served(1)+"-RATELIMIT 5 bytes/s exceeded for this key, retry after 3000 ms|")
}

// TestDrainWhileDelayed: what had arrived is served as tokens come, and the session ends then.
func TestDrainWhileDelayed(t *testing.T) {
	st := fixed{}
	d := delayDesk(t, st, st.limited("acme", delaying(10, 1), tenant.Quota{}), time.Second)
	d.passed = 2 * time.Second
	d.send(strings.Repeat(getA, 4))
	d.reply()
	d.core.Drain()
	d.in = append(d.in, getA...)
	for range 10 {
		d.pass(d.passed + 101*time.Millisecond)
		for _, a := range d.timers {
			if a.after == 0 && !a.stopped && a != d.core.delays.timer {
				a.stopped = true
				a.fn()
			}
		}
		d.serveEverybody()
	}
	d.expect("in the end", served(4))
	if !d.drained {
		t.Error("it has not ended")
	}
}

// TestKeyRevokedWhileDelayed ends a client that waits.
func TestKeyRevokedWhileDelayed(t *testing.T) {
	st := fixed{}
	d := delayDesk(t, st, st.limited("acme", delaying(10, 1), tenant.Quota{}), time.Second)
	d.send(getA + getA)
	d.session.handle = &auth.Handle{}
	d.session.refresh()
	if !errors.Is(d.ended, errEnded) {
		t.Errorf("it ended with %v, want %v", d.ended, errEnded)
	}
}
