package proxy

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/ratelimit"
	"github.com/respgate/respgate/tenant"
)

// limited adds a key with limits and its organization's quota to the store.
func (f fixed) limited(org string, l tenant.Limits, q tenant.Quota) string {
	return f.limitedAt(org, "redis://127.0.0.1:1", l, q)
}

// limitedAt is limited for a backend's URL.
func (f fixed) limitedAt(org string, url tenant.Secret, l tenant.Limits, q tenant.Quota) string {
	key := f.grantAt(org, url, 0, "+@all")
	g := f[key[3:15]]
	g.Key.Limits, g.Quota, g.Seats.OrgID = l, q, org+"-id"
	f[key[3:15]] = g
	return key
}

// delaying are limits of a key whose commands wait.
func delaying(perSecond, burst int) tenant.Limits {
	return tenant.Limits{Rate: &perSecond, Burst: &burst, Mode: tenant.LimitDelay}
}

// delayDesk is a desk where commands may wait for so long, with a session of the key.
func delayDesk(t testing.TB, st fixed, key string, most time.Duration) *desk {
	t.Helper()
	d := newDesk(t, st)
	d.core.Limiters = ratelimit.New(ratelimit.Defaults{RPS: 100, MaxDelay: most})
	d.open(key)
	return d
}

// open begins another conversation, whose client has authenticated.
func (d *desk) open(key string) {
	d.session = d.core.Open(d, Peer{})
	d.in, d.paused, d.drained, d.ended = nil, false, false, nil
	d.send("AUTH " + key + "\r\n")
	d.out = nil
}

// pass lets time pass until then, with waits ending when they do, and backends that answer at
// once. The others are clients of the same loop.
func (d *desk) pass(then time.Duration, others ...*desk) {
	d.t.Helper()
	for {
		a, _ := d.core.delays.timer.(*alarm)
		if a == nil || a.stopped || a.at > then {
			break
		}
		d.passed, a.stopped = max(d.passed, a.at), true
		a.fn()
		d.serveEverybody(others...)
	}
	d.passed = then
}

// serveEverybody takes what clients have said, as far as they are looked at, and answers.
func (d *desk) serveEverybody(others ...*desk) {
	d.send("")
	for _, o := range others {
		o.send("")
	}
	d.reply()
	for _, o := range others {
		o.send("")
	}
}

// join has another client of the same loop, which has authenticated.
func (d *desk) join(key string) *desk {
	o := d.beside()
	o.send("AUTH " + key + "\r\n")
	o.out = nil
	return o
}

// expect compares what the client has been told since it was last asked.
func (d *desk) expect(when, want string) {
	d.t.Helper()
	if got := d.said(); got != want {
		d.t.Errorf("%s: the client is told %q, want %q", when, got, want)
	}
	d.out = nil
}

func served(n int) string { return strings.Repeat("+backend|", n) }

const getA = "GET a\r\n"

// TestDelayedPipeline has a client with more commands in the pipe than tokens: they are served
// as tokens come, in order, and none is refused.
func TestDelayedPipeline(t *testing.T) {
	st := fixed{}
	d := delayDesk(t, st, st.limited("acme", delaying(10, 10), tenant.Quota{}), time.Second)
	d.send(strings.Repeat(getA, 64))
	d.reply()
	d.expect("at once", served(10))
	for i := range 50 {
		at := time.Duration(i+1) * 100 * time.Millisecond
		d.pass(at - time.Millisecond)
		d.expect("just before "+at.String(), "")
		if got := d.session.state(); len(got) != 1 || got[0] != "delayed" {
			t.Fatalf("its state is %v, want delayed", got)
		}
		d.pass(at + time.Microsecond)
		d.expect("at "+at.String(), served(1))
	}
	d.pass(time.Minute)
	d.expect("in the end", served(4))
	if d.session.delayed() || len(d.in) > 0 {
		t.Errorf("%d bytes are left, and it waits: %v", len(d.in), d.session.delayed())
	}
	var usage tenant.Usage
	if counted, _ := d.core.TakeUsage(); len(counted) == 1 {
		usage = counted[0]
	}
	if usage.Commands != 64 || usage.Limited != 0 || usage.Errors != 0 {
		t.Errorf("usage is %+v, want 64 commands", usage)
	}
}

// TestDelayIsFirstComeFirstServed has several clients of a key ask for a token each: they wait
// in the order in which they came, and who would wait too long is refused.
func TestDelayIsFirstComeFirstServed(t *testing.T) {
	st := fixed{}
	key := st.limited("acme", delaying(10, 1), tenant.Quota{})
	d := delayDesk(t, st, key, 300*time.Millisecond)
	var all []*desk
	for range 6 {
		o := d.join(key)
		o.send(getA)
		all = append(all, o)
	}
	const late = "-RATELIMIT 10 commands/s exceeded for this key, retry after 400 ms|"
	wants := []string{served(1), "", "", "", late, late}
	for step := range 5 {
		d.pass(time.Duration(step)*100*time.Millisecond+time.Microsecond, all...)
		d.serveEverybody(all...)
		for i, o := range all {
			want := wants[i]
			if step == i && i < 4 {
				want = served(1)
			}
			o.expect(time.Duration(step).String(), want)
		}
		wants = make([]string, 6)
	}
	if n := len(d.core.delays.waiting); n != 0 {
		t.Errorf("%d clients still wait", n)
	}
}

// TestDelayedClientGoes has a client that waits go in several ways: what was reserved for it is
// the next one's.
func TestDelayedClientGoes(t *testing.T) {
	for name, leave := range map[string]func(*desk){
		"closed":              func(o *desk) { o.session.Closed(errors.New("reset")) },
		"hung up":             func(o *desk) { o.session.HungUp() },
		"ended":               func(o *desk) { o.session.finish() },
		"limits changed":      func(o *desk) { o.session.unshape() },
		"its key has changed": func(o *desk) { o.session.leave() },
	} {
		t.Run(name, func(t *testing.T) {
			st := fixed{}
			key := st.limited("acme", delaying(10, 1), tenant.Quota{})
			d := delayDesk(t, st, key, 250*time.Millisecond)
			d.send(getA)
			one, two, three := d.join(key), d.join(key), d.join(key)
			one.send(getA)
			two.send(getA)
			three.send(getA)
			three.expect("two wait before it", "-RATELIMIT 10 commands/s exceeded for this key, retry after 300 ms|")
			leave(one)
			three.send(getA)
			three.expect("one of them has left", "")
			d.pass(201*time.Millisecond, two, three)
			two.expect("in the end", served(1))
			three.expect("in the end", served(1))
			if n := len(d.core.delays.waiting); n != 0 || one.session.delayed() {
				t.Errorf("%d clients wait, and the one that left: %v", n, one.session.delayed())
			}
		})
	}
}

// TestDelayedAndOwed has a client that waits hang up: it gets what it is owed, and no more.
func TestDelayedAndOwed(t *testing.T) {
	st := fixed{}
	d := delayDesk(t, st, st.limited("acme", delaying(10, 2), tenant.Quota{}), time.Second)
	d.send(strings.Repeat(getA, 5))
	d.session.HungUp()
	if d.drained || d.ended != nil {
		t.Fatal("it is closed before it has what it is owed")
	}
	d.reply()
	d.expect("what is owed", served(2))
	d.pass(time.Minute)
	d.expect("later", "")
	if !d.drained {
		t.Error("it is not closed")
	}
}

// TestWhatEndsIsNotDelayed: what ends something that has begun waits for no limit.
func TestWhatEndsIsNotDelayed(t *testing.T) {
	st := fixed{}
	d := delayDesk(t, st, st.limited("acme", delaying(1, 1), tenant.Quota{}), time.Second)
	d.send(getA)
	d.reply()
	d.out = nil
	d.send("CLIENT GETNAME\r\n")
	d.expect("what costs nothing", "$-1|")
	d.send("UNWATCH\r\nEXEC\r\nDISCARD\r\nUNSUBSCRIBE a\r\nCLIENT GETNAME\r\n" + getA)
	d.expect("without a token", "+OK|-ERR EXEC without MULTI|-ERR DISCARD without MULTI|*3|$11|unsubscribe|$1|a|:0|$-1|")
	d.send("UNWATCH\r\n")
	d.expect("behind a command that waits", "")
	d.pass(1001 * time.Millisecond)
	d.expect("behind it", served(1)+"+OK|")
}

// TestDelayedThenHeld has a command that has waited for its token be held up by a pause: it does not wait for
// another token then.
func TestDelayedThenHeld(t *testing.T) {
	st := fixed{}
	key := st.limited("acme", delaying(10, 1), tenant.Quota{})
	d := delayDesk(t, st, key, time.Second)
	d.send(getA)
	d.reply()
	d.out = nil
	d.send(getA)
	d.core.holdUp(holdKey{"acme", byClient}, time.Hour, letsNothing)
	d.pass(101 * time.Millisecond)
	d.expect("while there is a pause", "")
	if d.session.delayed() || !d.session.heldUp {
		t.Fatal("it is not held up")
	}
	o := d.join(key)
	o.send(getA) // whoever comes is behind it
	d.core.release(holdKey{"acme", byClient})
	d.serveEverybody(o)
	d.expect("when it is over", served(1))
	o.expect("when it is over", "")
	d.pass(202*time.Millisecond, o)
	o.expect("in its turn", served(1))
}

// TestDelayedThenPinned has a command that has waited for its token wait for a link: it keeps the token.
func TestDelayedThenPinned(t *testing.T) {
	st := fixed{}
	key := st.limited("acme", delaying(10, 1), tenant.Quota{})
	d := delayDesk(t, st, key, time.Second)
	links := &lending{desked: d.core.Links.(*desked)}
	d.core.Links = links
	d.send(getA)
	d.reply()
	d.out = nil
	d.send("BLPOP a 0\r\n")
	d.pass(101 * time.Millisecond)
	if len(links.wishes) != 1 || d.session.buckets.more.paid != 1 {
		t.Fatalf("%d links are wished for, with %d tokens; want 1, 1", len(links.wishes), d.session.buckets.more.paid)
	}
	if d.join(key).session.buckets.key.Wait(d.Now()) != 0 {
		t.Error("the bucket owes")
	}
	links.wishes[0](nil, pool.ErrBusy)
	d.send("")
	d.expect("there is none", "-ERR backend unavailable: all connections for transactions and blocking commands are in use|")
	if paid := d.session.buckets.more.paid; paid != 0 {
		t.Errorf("%d tokens are left, want none", paid)
	}
}

// TestDelayIsTold has the wait of commands in the metrics, and told to observers.
func TestDelayIsTold(t *testing.T) {
	st := fixed{}
	key := st.limited("acme", delaying(10, 1), tenant.Quota{})
	d := newDesk(t, st)
	d.core.Limiters = ratelimit.New(ratelimit.Defaults{MaxDelay: time.Second})
	registry := prometheus.NewPedanticRegistry()
	m, err := metrics.New(registry, 1, "", "")
	if err != nil {
		t.Fatal(err)
	}
	d.core.Metrics = m.Loop(0)
	n := &limitNotes{}
	d.core.Observers = []Observer{n}
	d.open(key)
	d.send(strings.Repeat(getA, 3))
	d.reply()
	d.pass(time.Minute)
	if got := strings.ReplaceAll(fmt.Sprint(n.limited), "00.001ms", "00ms"); got != "[0s 100ms 100ms]" {
		t.Errorf("observers are told %s, want 0s, 100ms, 100ms", got)
	}
	series := gathered(t, registry)
	for name, want := range map[string]float64{
		`rate_limit_delayed_commands_total{tenant="acme/cache"}`:                 2,
		`rate_limited_commands_total{tenant="acme/cache"}`:                       0,
		`redis_tenant_duration_seconds_count{phase="limit",tenant="acme/cache"}`: 3,
		`redis_tenant_duration_seconds_sum{phase="limit",tenant="acme/cache"}`:   0.2,
	} {
		if got := series[name]; math.Abs(got-want) > 0.001 {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

// gathered is what a scrape has: counters, and of histograms the count and the sum.
func gathered(t *testing.T, from prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			in := "{" + strings.Join(labels, ",") + "}"
			if h := m.GetHistogram(); h != nil {
				series[f.GetName()+"_count"+in], series[f.GetName()+"_sum"+in] = float64(h.GetSampleCount()), h.GetSampleSum()
				continue
			}
			series[f.GetName()+in] = m.GetCounter().GetValue()
		}
	}
	return series
}

// limitNotes notes for how long commands waited for their limits.
type limitNotes struct{ limited []time.Duration }

func (*limitNotes) Watch(*tenant.Route) tenant.Watch { return tenant.Watch{Every: 1, Slow: -1} }

func (n *limitNotes) Saw(o *tenant.Observed) func(time.Time) {
	n.limited = append(n.limited, o.Limited)
	return nil
}

// TestDelayDoesNotAllocate: a command that waits takes no memory.
func TestDelayDoesNotAllocate(t *testing.T) {
	st := fixed{}
	d := delayDesk(t, st, st.limited("acme", delaying(1000, 1), tenant.Quota{}), time.Hour)
	d.core.Observers = nil
	get, value := []byte(getFrame), []byte("+a\r\n")
	link := func() *pool.Link { return d.session.link }
	step := func() {
		d.out, d.core.looked = d.out[:0], 0
		if n := d.session.Data(get); n != 0 || !d.paused {
			t.Fatalf("%d bytes are consumed, want none: it waits", n)
		}
		d.passed += time.Millisecond + 10
		d.core.endDelays()
		if n := d.session.Data(get); n != len(get) {
			t.Fatalf("%d bytes are consumed, want all", n)
		}
		d.wires[link()].got = d.wires[link()].got[:0]
		link().Data(value)
		d.session.Drained()
	}
	d.send(getFrame)
	link().Data(value)
	if n := testing.AllocsPerRun(200, step); n != 0 {
		t.Errorf("a command that waits takes %v allocations, want 0", n)
	}
}

const getFrame = "*2\r\n$3\r\nGET\r\n$1\r\na\r\n"
