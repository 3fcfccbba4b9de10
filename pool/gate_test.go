package pool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
)

func TestBlame(t *testing.T) {
	good, bad := succeeded, failed
	for name, c := range map[string]struct {
		cause         error
		server, login outcome
	}{
		"success":                {nil, good, good},
		"connection refused":     {&net.OpError{Err: syscall.ECONNREFUSED}, bad, unclear},
		"connection closed":      {io.EOF, bad, unclear},
		"timed out":              {context.DeadlineExceeded, bad, unclear},
		"given up":               {context.Canceled, unclear, unclear},
		"wrong password":         {ReplyError("WRONGPASS invalid username-password pair or user is disabled."), good, bad},
		"no password":            {ReplyError("NOAUTH HELLO must be called with the client already authenticated"), good, bad},
		"may not PING":           {ReplyError("NOPERM this user has no permissions to run the 'ping' command"), good, bad},
		"no such database":       {&databaseError{"ERR DB index is out of range"}, good, good},
		"may not SELECT":         {&databaseError{"NOPERM this user has no permissions to run the 'select' command"}, good, good},
		"protocol not known":     {ReplyError("NOPROTO unsupported protocol version"), good, unclear},
		"loading":                {ReplyError("LOADING Redis is loading the dataset in memory"), bad, unclear},
		"protected mode":         {ReplyError("DENIED Redis is running in protected mode"), bad, unclear},
		"too many clients there": {ReplyError("ERR max number of clients reached"), bad, unclear},
	} {
		if got, want := blame(c.cause), [2]outcome{c.server, c.login}; got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

// clock is a time that stands still until it is told to go on.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time          { c.mu.Lock(); defer c.mu.Unlock(); return c.now }
func (c *clock) forward(d time.Duration) { c.mu.Lock(); c.now = c.now.Add(d); c.mu.Unlock() }

// newTestGates returns gates with a clock of their own and what they log.
func newTestGates(cfg DialConfig) (*gates, *clock, *links, *strings.Builder) {
	log, obs, at := &strings.Builder{}, &links{}, &clock{now: time.Unix(1e9, 0)}
	g := newGates(cfg, slog.New(slog.NewTextHandler(log, nil)), obs)
	g.now = at.Now
	return g, at, obs, log
}

// pass goes through the gates to b and ends with cause.
func goThrough(t *testing.T, g *gates, label string, b Backend, cause error) {
	t.Helper()
	p, err := g.enter(t.Context(), label, b, ordinary)
	if err != nil {
		t.Fatalf("%s: %v", label, err)
	}
	p.leave(cause)
}

var errAway = &net.OpError{Err: syscall.ECONNREFUSED}

// TestGatesAreSeen follows a server with two tenants through an outage.
func TestGatesAreSeen(t *testing.T) {
	g, at, obs, log := newTestGates(DialConfig{Attempts: 2, RetryDelay: time.Second})
	var back []string
	g.onRecovery(func(tenants map[string]time.Time) {
		for label := range tenants {
			back = append(back, label)
		}
	})
	b := Backend{Network: "tcp", Addr: "10.0.0.5:6379"}
	goThrough(t, g, "acme/cache", b, nil)
	goThrough(t, g, "acme/cache", b, errAway)
	at.forward(1200 * time.Millisecond)
	goThrough(t, g, "acme/cache", b, errAway)
	if _, err := g.enter(t.Context(), "other/cache", b, interactive); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("while it is open a dial ends in %v, want the last cause", err)
	}
	for range 3 {
		at.forward(time.Second)
		goThrough(t, g, "acme/cache", b, errAway)
	}
	at.forward(time.Second)
	goThrough(t, g, "acme/cache", b, nil)
	goThrough(t, g, "acme/cache", b, nil)

	want := "map[acme/cache:[2 1 2 1 2 1 2 1 0] other/cache:[2 1 2 1 2 1 2 1 0]]"
	if got := fmt.Sprint(obs.breakers); got != want {
		t.Errorf("the gauges were %s, want %s", got, want)
	}
	if len(g.unwell) != 0 {
		t.Errorf("still counted: %v", g.unwell)
	}
	if len(back) != 2 {
		t.Errorf("told of a recovery: %q, want both tenants once", back)
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `level=WARN msg="backend given up: it is probed until it answers" tenant=acme/cache tenants=1 reason="connection refused"`) ||
		!strings.Contains(lines[1], `level=INFO msg="backend reachable again" tenant=acme/cache tenants=2 after=4s`) {
		t.Errorf("logged:\n%swant one line for each change, with tenant, reason and duration", log)
	}
}

func TestGatesAreApart(t *testing.T) {
	b := Backend{Network: "tcp", Addr: "10.0.0.5:6379", Username: "acme", Password: "s3cret"}
	change := func(fn func(*Backend)) Backend { other := b; fn(&other); return other }
	user := change(func(b *Backend) { b.Username = "other" })
	wrongPass := ReplyError("WRONGPASS invalid")
	for _, c := range []struct {
		name   string
		cause  error
		other  Backend
		refuse bool
	}{
		{"a dead server is dead for every user", errAway, user, true},
		{"and for every database", errAway, change(func(b *Backend) { b.DB = 3 }), true},
		{"not for another server", errAway, change(func(b *Backend) { b.Addr = "10.0.0.6:6379" }), false},
		{"nor for another way to it", errAway, change(func(b *Backend) { b.TLS.ServerName = "redis" }), false},
		{"a wrong password is wrong in every database", wrongPass, change(func(b *Backend) { b.DB = 3 }), true},
		{"another user's is not", wrongPass, user, false},
		{"nor is another password", wrongPass, change(func(b *Backend) { b.Password = "new" }), false},
		{"nor is none", wrongPass, change(func(b *Backend) { b.Username, b.Password = "", "" }), false},
		{"a refused database says nothing of others", &databaseError{"ERR DB index is out of range"}, b, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, _, _, _ := newTestGates(DialConfig{Attempts: 1, RetryDelay: time.Second})
			goThrough(t, g, testTenant, b, c.cause)
			p, err := g.enter(t.Context(), "other/cache", c.other, ordinary)
			if refused := err != nil; refused != c.refuse {
				t.Errorf("it is refused: %v, want %v", refused, c.refuse)
			}
			if p != nil {
				p.leave(nil)
			}
		})
	}
}

func TestGatesForget(t *testing.T) {
	g, at, obs, _ := newTestGates(DialConfig{Attempts: 1, RetryDelay: time.Second})
	busy, gone := Backend{Network: "tcp", Addr: "10.0.0.5:6379"}, Backend{Network: "tcp", Addr: "10.0.0.6:6379"}
	goThrough(t, g, "gone/cache", gone, errAway)
	goThrough(t, g, "gone/cache", busy, nil)
	p, err := g.enter(t.Context(), testTenant, busy, ordinary) // and stays
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		at.forward(forgetAfter / 2)
		goThrough(t, g, testTenant, busy, nil)
	}
	if len(g.all) != 2 || len(g.unwell) != 0 {
		t.Errorf("%d gates and %v are kept, want those of one server and its login", len(g.all), g.unwell)
	}
	if got := obs.breakers["gone/cache"]; fmt.Sprint(got) != "[2 0]" {
		t.Errorf("the gauge of the tenant that is gone was %v, want [2 0]", got)
	}
	p.leave(nil)
	at.forward(forgetAfter)
	goThrough(t, g, testTenant, busy, nil)
	for key, gt := range g.all {
		if len(gt.tenants) != 1 || gt.users != 0 {
			t.Errorf("the gate of %s has %d tenants and %d users, want 1 and 0", key.addr, len(gt.tenants), gt.users)
		}
	}
}

// TestDialsArePaced has no time pass: when a burst has gone through, others wait for it.
func TestDialsArePaced(t *testing.T) {
	g, at, obs, _ := newTestGates(DialConfig{Attempts: 3, RetryDelay: time.Second})
	b := Backend{Network: "tcp", Addr: "10.0.0.5:6379"}
	for range dialBurst {
		goThrough(t, g, testTenant, b, nil)
	}
	through := make(chan error)
	go func() {
		p, err := g.enter(t.Context(), testTenant, b, ordinary)
		if err == nil {
			p.leave(nil)
		}
		through <- err
	}()
	p, err := g.enter(t.Context(), testTenant, b, interactive) // has a turn of its own
	if err != nil {
		t.Fatal(err)
	}
	p.leave(nil)
	testbed.Eventually(t, "one waits", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.all[gateKey{network: "tcp", addr: b.Addr}].users == 1
	})
	select {
	case err := <-through:
		t.Fatalf("one more than the burst went through: %v", err)
	default:
	}
	at.forward(time.Second / dialRate)
	if err := <-through; err != nil {
		t.Error(err)
	}
	if obs.delayed != 1 {
		t.Errorf("%d counted as delayed, want 1", obs.delayed)
	}
}

// TestDialsAtOnce dials a host that accepts and says nothing.
func TestDialsAtOnce(t *testing.T) {
	f := newFront(t, "")
	obs := &links{}
	d := NewDialer(DialConfig{Attempts: 3, RetryDelay: time.Hour, Timeout: time.Hour}, slog.New(slog.DiscardHandler), obs)
	b := mustParse(t, "redis://"+f.addr)
	ctx, cancel := context.WithCancel(t.Context())
	const n = 100
	told := make(chan error, n+1)
	dial := func(u urgency) {
		_, _, err := d.dial(ctx, testTenant, b, 0, 2, 3, u)
		told <- err
	}
	for range n {
		go dial(ordinary)
	}
	testbed.Eventually(t, "the queue is full and all others wait", func() bool {
		d.gates.mu.Lock()
		defer d.gates.mu.Unlock()
		gt := d.gates.all[gateKey{network: "tcp", addr: b.Addr}]
		return gt != nil && gt.users == n && f.present.Load() == dialsAtOnce
	})
	go dial(interactive)
	testbed.Eventually(t, "a shared link's dial does not wait for them", func() bool { return f.present.Load() == dialsAtOnce+1 })
	cancel()
	for range n + 1 {
		if err := <-told; !errors.Is(err, context.Canceled) {
			t.Errorf("a dial ends in %v, want that it was cancelled", err)
		}
	}
	if got := f.accepted.Load(); got != dialsAtOnce+1 {
		t.Errorf("%d connections, want %d", got, dialsAtOnce+1)
	}
	d.gates.mu.Lock()
	defer d.gates.mu.Unlock()
	for _, gt := range d.gates.all {
		if gt.users != 0 || gt.failures != 0 {
			t.Errorf("%d users and %d failures are left, want none", gt.users, gt.failures)
		}
	}
}
