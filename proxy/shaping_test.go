package proxy

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/ratelimit"
	"github.com/respgate/respgate/tenant"
)

// TestStricterDecides has limits of different modes be short, or not, for two commands.
func TestStricterDecides(t *testing.T) {
	const reject, delay, dry = tenant.LimitReject, tenant.LimitDelay, tenant.LimitDryRun
	now := time.Unix(1, 0)
	for _, c := range []struct {
		name               string
		key, org           tenant.LimitMode
		keyHas, orgHas     int // tokens
		keyBytes, orgBytes int // bytes owed
		granted            int
		then               string // happens to what is not granted
		dryRuns            int
	}{
		{"enough of all", reject, delay, 2, 2, 0, 0, 2, "", 0},
		{"the key rejects", reject, delay, 1, 2, 0, 0, 1, "key commands", 0},
		{"the key delays", delay, reject, 1, 2, 0, 0, 1, "waits 100ms", 0},
		{"the key delays for long", delay, reject, 0, 2, 0, 0, 0, "waits 100ms", 0},
		{"the organization delays", reject, delay, 2, 1, 0, 0, 1, "waits 100ms", 0},
		{"both short, one rejects", delay, reject, 1, 1, 0, 0, 1, "organization commands", 0},
		{"both short, the other rejects", reject, delay, 1, 1, 0, 0, 1, "key commands", 0},
		{"the key is in dry run", dry, reject, 1, 2, 0, 0, 2, "", 1},
		{"the organization is in dry run", reject, dry, 2, 0, 0, 0, 2, "", 2},
		{"both are", dry, dry, 1, 0, 0, 0, 2, "", 2},
		{"dry run, and short of another", dry, reject, 0, 1, 0, 0, 1, "organization commands", 1},
		{"dry run, and delayed by another", dry, delay, 0, 1, 0, 0, 1, "waits 100ms", 2},
		{"bytes are owed by one that rejects", reject, delay, 2, 2, 100, 0, 0, "key bytes", 0},
		{"bytes are owed by one that delays", reject, delay, 2, 2, 0, 100, 0, "waits 100ms", 0},
		{"bytes by one in dry run", reject, dry, 2, 2, 0, 100, 2, "", 2},
		{"bytes by both", delay, reject, 2, 2, 100, 200, 0, "organization bytes", 0},
		{"bytes by both, which delay", delay, delay, 2, 2, 100, 200, 0, "waits 200ms", 0},
		{"bytes by one that delays, and commands of one that rejects", reject, delay, 0, 2, 0, 100, 0, "key commands", 0},
		{"bytes for too long", delay, delay, 2, 2, 5000, 0, 0, "key bytes", 0},
	} {
		r := ratelimit.New(ratelimit.Defaults{MaxDelay: time.Second})
		ten, burst, bytes := 10, 2, int64(1000)
		p := &tenant.Principal{KeyID: "k", Limits: tenant.Limits{Rate: &ten, Burst: &burst, ByteRate: &bytes, Mode: c.key},
			Seats: tenant.Seats{OrgID: "o"}, Pace: tenant.Pace{Rate: 10, Burst: 2, ByteRate: 1000, Mode: c.org}}
		b := bucketsOf(r, p)
		x := b.more
		b.key.Take(now, 2-c.keyHas)
		b.org.Take(now, 2-c.orgHas)
		x.bytes[ofKey].Debit(now, 1000+c.keyBytes)
		x.bytes[ofOrg].Debit(now, 1000+c.orgBytes)
		granted, short := x.ask(now, 2, false)
		then := ""
		if granted < 2 && short.mode == delay {
			wait, failed := x.reserve(now, 1, 10)
			short = failed
			if failed.of == nil {
				then = "waits " + wait.Truncate(time.Microsecond).String()
			}
		}
		if granted < 2 && short.of != nil {
			whose, what := b.whose(short)
			then = whose + " " + what
		}
		dryRuns := x.settle(granted, granted, true)
		if granted != c.granted || then != c.then || dryRuns != c.dryRuns {
			t.Errorf("%s: %d granted, then %q, %d by dry run; want %d, %q, %d", c.name, granted, then, dryRuns, c.granted, c.then, c.dryRuns)
		}
	}
}

// TestNothingToShape: who is refused what is over the limit, and has no limit of bytes, has
// nothing that costs more than before.
func TestNothingToShape(t *testing.T) {
	none, some := int64(0), int64(1)
	for _, c := range []struct {
		name string
		d    ratelimit.Defaults
		l    tenant.Limits
		p    tenant.Pace
		want bool
	}{
		{"no more than a rate", ratelimit.Defaults{RPS: 100}, tenant.Limits{}, tenant.Pace{Rate: 5}, false},
		{"a key that delays", ratelimit.Defaults{}, tenant.Limits{Mode: tenant.LimitDelay}, tenant.Pace{}, true},
		{"by default", ratelimit.Defaults{Mode: tenant.LimitDryRun}, tenant.Limits{}, tenant.Pace{}, true},
		{"not this one", ratelimit.Defaults{Mode: tenant.LimitDryRun}, tenant.Limits{Mode: tenant.LimitReject}, tenant.Pace{}, false},
		{"an organization that delays", ratelimit.Defaults{}, tenant.Limits{}, tenant.Pace{Rate: 5, Mode: tenant.LimitDelay}, true},
		{"without a limit", ratelimit.Defaults{}, tenant.Limits{}, tenant.Pace{Mode: tenant.LimitDelay}, false},
		{"bytes", ratelimit.Defaults{}, tenant.Limits{ByteRate: &some}, tenant.Pace{}, true},
		{"bytes by default", ratelimit.Defaults{ByteRate: 5}, tenant.Limits{}, tenant.Pace{}, true},
		{"no bytes", ratelimit.Defaults{ByteRate: 5}, tenant.Limits{ByteRate: &none}, tenant.Pace{}, false},
		{"bytes of the organization", ratelimit.Defaults{}, tenant.Limits{}, tenant.Pace{ByteRate: 5}, true},
	} {
		p := &tenant.Principal{KeyID: "k", Limits: c.l, Pace: c.p, Seats: tenant.Seats{OrgID: "o"}}
		if got := bucketsOf(ratelimit.New(c.d), p).more != nil; got != c.want {
			t.Errorf("%s: shaped %v, want %v", c.name, got, c.want)
		}
	}
}

// bytesOf are limits of a key's bytes.
func bytesOf(perSecond int64, mode tenant.LimitMode) tenant.Limits {
	return tenant.Limits{Rate: new(int), ByteRate: &perSecond, Mode: mode}
}

// TestBytesAreLimited has a client of a key with 1000 bytes/s ask for values of 500 bytes. Its
// first commands may be on trust: what they took is to come back before it is served again.
func TestBytesAreLimited(t *testing.T) {
	value := "$494\r\n" + strings.Repeat("v", 494) + "\r\n"
	answer := func(d *desk) (n int) {
		for l, w := range d.wires {
			for range strings.Count(string(w.got), "*") {
				l.Data([]byte(value))
				n++
			}
			w.got = nil
		}
		return n
	}
	for _, c := range []struct {
		name string
		l    tenant.Limits
		q    tenant.Quota
		over string        // said at once to a command that is over the limit; "" is that it waits
		wait time.Duration // until it is served, or would be
	}{
		{"reject", bytesOf(1000, tenant.LimitReject), tenant.Quota{}, "-RATELIMIT 1000 bytes/s exceeded for this key, retry after 566 ms|", 566 * time.Millisecond},
		{"organization", tenant.Limits{}, tenant.Quota{ByteRate: 1000}, "-RATELIMIT 1000 bytes/s exceeded for this organization, retry after 566 ms|", 566 * time.Millisecond},
		{"delay", bytesOf(1000, tenant.LimitDelay), tenant.Quota{}, "", 566 * time.Millisecond},
		{"dry run", bytesOf(1000, tenant.LimitDryRun), tenant.Quota{}, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := fixed{}
			d := delayDesk(t, st, st.limited("acme", c.l, c.q), time.Second)
			d.send(strings.Repeat(getFrame, 3)) // of 20 bytes each
			if n := answer(d); n != 3 {
				t.Fatalf("%d commands are served, want the whole pipeline", n)
			}
			d.out = nil
			d.send(getFrame)
			d.expect("when bytes are owed", c.over)
			if got := d.session.delayed(); got != (c.over == "" && c.wait > 0) {
				t.Errorf("it waits: %v", got)
			}
			d.pass(c.wait - 2*time.Millisecond)
			if c.wait > 0 && answer(d) != 0 {
				t.Error("a command is served before its time")
			}
			d.pass(c.wait + time.Microsecond)
			if c.over != "" {
				d.out = nil
				d.send(getFrame)
			}
			if n := answer(d) + strings.Count(d.said(), served(1)); n != 1 {
				t.Errorf("%d commands are served when nothing is owed any more, want 1", n)
			}
		})
	}
}

// TestPushesCount has a subscriber be sent messages: they count, its commands wait, and to end
// the subscription does not.
func TestPushesCount(t *testing.T) {
	st := fixed{}
	d := delayDesk(t, st, st.limited("acme", bytesOf(1000, tenant.LimitDelay), tenant.Quota{}), time.Second)
	d.session.Pushed([]byte("*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1465\r\n"+strings.Repeat("v", 1465)+"\r\n"), false)
	d.out = nil
	d.send("UNSUBSCRIBE\r\n" + getFrame)
	d.expect("after 1504 bytes", "*3|$11|unsubscribe|$-1|:0|")
	d.pass(503 * time.Millisecond)
	d.pass(505 * time.Millisecond)
	d.expect("when they are paid for", served(1))
}

// TestTrustIsBounded has a client of a key with a limit of bytes send without reading: no more
// than two batches are under way.
func TestTrustIsBounded(t *testing.T) {
	for _, c := range []struct {
		name string
		mode tenant.LimitMode
		most uint64
	}{{"enforced", tenant.LimitReject, 2 * batchSize}, {"dry run", tenant.LimitDryRun, 1000}} {
		st := fixed{}
		d := delayDesk(t, st, st.limited("acme", bytesOf(1<<30, c.mode), tenant.Quota{}), time.Second)
		for range 1000 {
			d.send(getFrame)
		}
		if owed := d.session.owed(); owed > c.most || owed < c.most/2 {
			t.Errorf("%s: %d replies are owed, want %d at most", c.name, owed, c.most)
		}
		for range 20 {
			d.reply()
		}
		d.expect(c.name, served(1000))
	}
}

// TestReservedBytesGoBack has a command wait for bytes, and take fewer than were reserved.
func TestReservedBytesGoBack(t *testing.T) {
	st := fixed{}
	key := st.limited("acme", bytesOf(1000, tenant.LimitDelay), tenant.Quota{})
	d := delayDesk(t, st, key, time.Second)
	x := d.session.buckets.more
	x.debit(d.Now(), 1100)
	d.session.usage.BytesOut, d.session.usage.Commands = 300, 1 // what is usual
	d.send(getFrame)
	if got := x.bytes[ofKey].Wait(d.Now()).Truncate(time.Millisecond); got != 400*time.Millisecond {
		t.Errorf("the next one waits for %v, want 400ms", got)
	}
	d.pass(101 * time.Millisecond)
	d.expect("then", served(1))
	d.send(getFrame) // 30 bytes were used by the first
	if got := time.Duration(x.due - d.Nanos()).Truncate(time.Millisecond); got != 29*time.Millisecond {
		t.Errorf("then it waits for %v, want 29ms", got)
	}
}

// TestDryRun has commands over a limit that is in dry run be served, and counted.
func TestDryRun(t *testing.T) {
	st := fixed{}
	l := delaying(10, 3)
	l.Mode = tenant.LimitDryRun
	key := st.limited("acme", l, tenant.Quota{})
	d := newDesk(t, st)
	registry := prometheus.NewPedanticRegistry()
	m, err := metrics.New(registry, 1, "", "")
	if err != nil {
		t.Fatal(err)
	}
	d.core.Metrics = m.Loop(0)
	d.open(key)
	d.send(strings.Repeat(getFrame, 10) + "UNWATCH\r\n")
	d.reply()
	d.expect("all", served(10)+"+OK|")
	series := gathered(t, registry)
	for name, want := range map[string]float64{"rate_limit_dry_run_commands_total": 7, "rate_limited_commands_total": 0, "rate_limit_delayed_commands_total": 0} {
		if got := series[name+`{tenant="acme/cache"}`]; got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if counted, _ := d.core.TakeUsage(); len(counted) != 1 || counted[0].Limited != 0 || counted[0].Errors != 0 || counted[0].Commands != 11 {
		t.Errorf("usage is %+v, want 11 commands", counted)
	}
}

// TestDelayIsFair has clients of one key, with pipelines of any length, share its rate: as many
// commands are served as it says, each is answered with its own reply, in order, and each
// client gets on.
func TestDelayIsFair(t *testing.T) {
	for _, c := range []struct{ rate, burst, clients int }{{100, 1, 5}, {1000, 50, 20}, {20_000, 1, 7}, {7, 3, 4}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			seed := rand.Uint64()
			random := rand.New(rand.NewPCG(seed, 1))
			st := fixed{}
			key := st.limited("acme", delaying(c.rate, c.burst), tenant.Quota{})
			d := delayDesk(t, st, key, time.Hour)
			var all []*desk
			asked := make([]int, c.clients)
			for range c.clients {
				all = append(all, d.join(key))
			}
			const length = 2 * time.Second
			for d.passed < length {
				for i, o := range all {
					if len(o.in) == 0 {
						for range 1 + random.IntN(1<<random.IntN(8)) {
							o.in = fmt.Appendf(o.in, "*2\r\n$3\r\nGET\r\n$9\r\n%09d\r\n", asked[i])
							asked[i]++
						}
						o.send("")
					}
				}
				d.answerKeys()
				// A loop is late by up to a few milliseconds.
				next := d.passed + time.Duration(1+random.IntN(3_000_000))
				if a, _ := d.core.delays.timer.(*alarm); a != nil && !a.stopped && a.at <= next {
					d.passed, a.stopped = next, true
					a.fn()
				}
				d.passed = next
				for _, o := range all {
					o.core.looked = 0
					o.send("")
				}
				d.answerKeys()
			}
			total, least, most := 0, 1<<30, 0
			for i, o := range all {
				got := strings.Split(strings.TrimSuffix(o.said(), "|"), "|")
				for n, line := range got {
					if line != fmt.Sprintf("+%09d", n) {
						t.Fatalf("seed %d: client %d's reply %d is %q", seed, i, n, line)
					}
				}
				total, least, most = total+len(got), min(least, len(got)), max(most, len(got))
			}
			want := c.burst + int(int64(c.rate)*int64(d.passed)/int64(time.Second))
			// Never more; fewer where a loop is late and a small burst does not hold what came meanwhile.
			if slack := max(2, want*5/100); total > want+1 || total < want-slack-c.clients {
				t.Errorf("seed %d: %d commands are served, want %d", seed, total, want)
			}
			if total > 20*c.clients && least < total/c.clients/4 {
				t.Errorf("seed %d: one client has %d of %d commands, another %d", seed, least, total, most)
			}
		})
	}
}

// answerKeys has every backend answer each GET with its key.
func (d *desk) answerKeys() {
	for l, w := range d.wires {
		for rest := string(w.got); rest != ""; {
			_, key, _ := strings.Cut(rest, "$9\r\n")
			n, err := strconv.Atoi(key[:9])
			if err != nil {
				d.t.Fatal(err)
			}
			rest = key[11:]
			l.Data(fmt.Appendf(nil, "+%09d\r\n", n))
		}
		w.got = nil
	}
}
