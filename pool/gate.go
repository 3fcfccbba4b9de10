package pool

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/respgate/respgate/tenant"
)

const (
	// dialsAtOnce bounds the tries of either urgency that are under way to one server: a host
	// that answers nothing holds that many sockets, and one that has just restarted is met by
	// no more handshakes at a time.
	dialsAtOnce = 16
	// dialRate bounds them per second. A Redis takes some 10,000 connections a second, with
	// TLS some 1,000: reconnecting leaves it time for commands.
	dialRate = 500
	// dialBurst is how many of them may follow each other at once.
	dialBurst = 50
	// forgetAfter is how long a server that nobody dials is remembered, or two retry delays.
	forgetAfter = time.Minute
)

// urgency keeps dials apart that must not wait for each other.
type urgency uint8

const (
	ordinary    urgency = iota // for one client, or to look how the backend is
	interactive                // for a shared link: many clients wait
	urgencies
)

// gateKey names what a breaker guards: a server, or what lets respgate in there. A password
// that is wrong for one tenant says nothing about another's.
type gateKey struct {
	network, addr string
	tls           TLS
	login         bool // the rest is a login's
	username      string
	password      tenant.Secret
}

// gate is what dials to one server, or with one login there, have in common. Its fields
// are guarded by the lock of its gates.
type gate struct {
	breaker
	key     gateKey
	shown   breakerState
	changed chan struct{}        // closed, and made anew, when a try has ended
	tenants map[string]time.Time // by label: when they last dialled
	used    time.Time
	users   int              // dials that wait or are under way
	queues  [urgencies]queue // a server's
}

// queue bounds and spreads dials.
type queue struct {
	turns chan struct{} // one element for each dial that has its turn
	pace  *rate.Limiter
}

// gates are the gates of a process. They are safe for concurrent use.
type gates struct {
	cfg atomic.Pointer[DialConfig]
	log *slog.Logger
	obs DialObserver
	now func() time.Time

	mu     sync.Mutex
	all    map[gateKey]*gate
	unwell map[string][breakerOpen + 1]int // by tenant: how many of its gates are in which state, but for closed
	swept  time.Time
	told   []func(tenants map[string]time.Time) // when a breaker has closed
}

func newGates(cfg DialConfig, log *slog.Logger, obs DialObserver) *gates {
	g := &gates{log: log, obs: obs, now: time.Now, all: map[gateKey]*gate{}, unwell: map[string][breakerOpen + 1]int{}}
	g.cfg.Store(&cfg)
	return g
}

// onRecovery has fn called with the tenants concerned each time that a breaker has closed.
func (g *gates) onRecovery(fn func(tenants map[string]time.Time)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.told = append(g.told, fn)
}

// pass is one dial's way through the gates.
type pass struct {
	gates         *gates
	label         string
	server, login *gate
	queue         *queue // in which it has its turn
	delayed       bool   // by the queue
	rounds        [2]uint64
}

func (p *pass) both() [2]*gate { return [2]*gate{p.server, p.login} }

// enter waits until b may be dialled, which leave ends. An error is the breaker's cause, or
// ctx's.
func (g *gates) enter(ctx context.Context, label string, b Backend, u urgency) (*pass, error) {
	p := g.open(label, b)
	err := p.wait(ctx, u)
	if err != nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		p.close(g.now())
		return nil, err
	}
	return p, nil
}

// open finds the gates on the way to b.
func (g *gates) open(label string, b Backend) *pass {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	g.sweep(now)
	server := gateKey{network: b.Network, addr: b.Addr, tls: b.TLS}
	login := server
	login.login, login.username, login.password = true, b.Username, b.Password
	p := &pass{gates: g, label: label, server: g.gate(server, g.cfg.Load().Attempts), login: g.gate(login, 1)}
	for _, gt := range p.both() {
		if _, known := gt.tenants[label]; !known {
			g.count(label, breakerClosed, gt.shown)
		}
		gt.tenants[label] = now
		gt.users++
	}
	return p
}

// gate returns the gate for key, whose breaker opens after limit failures: one is enough
// for a login, since a server's no does not pass.
func (g *gates) gate(key gateKey, limit int) *gate {
	gt := g.all[key]
	if gt == nil {
		gt = &gate{key: key, changed: make(chan struct{}), tenants: map[string]time.Time{}}
		gt.breaker = breaker{limit: max(limit, 1), delay: g.cfg.Load().RetryDelay}
		if !key.login {
			for i := range gt.queues {
				gt.queues[i] = queue{turns: make(chan struct{}, dialsAtOnce), pace: rate.NewLimiter(dialRate, dialBurst)}
			}
		}
		g.all[key] = gt
	}
	return gt
}

// wait returns when p's try has begun.
func (p *pass) wait(ctx context.Context, u urgency) error {
	if _, _, err := p.ask(); err != nil { // at once, however many wait
		return err
	}
	queue := &p.server.queues[u]
	p.delayed = len(queue.turns) == cap(queue.turns)
	select {
	case queue.turns <- struct{}{}:
		p.queue = queue
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		wait, changed, err := p.ask()
		if err != nil {
			return err
		}
		if wait <= 0 {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-time.After(wait):
		}
	}
	if p.delayed {
		p.gates.obs.DialDelayed(p.label)
	}
	return nil
}

// ask begins p's try when it has a place in its queue and nothing stands against it. Else
// wait is how long to wait at most, unless a gate changes, before asking again.
func (p *pass) ask() (wait time.Duration, changed <-chan struct{}, err error) {
	p.gates.mu.Lock()
	defer p.gates.mu.Unlock()
	now := p.gates.now()
	for _, gt := range p.both() {
		switch gt.ask(now) {
		case refuse:
			return 0, nil, gt.cause
		case hold:
			if gt.trying {
				return math.MaxInt64, gt.changed, nil
			}
			return gt.next.Sub(now), gt.changed, nil
		}
	}
	if p.queue == nil {
		return 0, nil, nil
	}
	if !p.queue.pace.AllowN(now, 1) {
		p.delayed = true
		return time.Second / dialRate, nil, nil
	}
	for i, gt := range p.both() {
		p.rounds[i] = gt.begin()
		p.gates.show(gt, p.label, now)
	}
	return 0, nil, nil
}

// leave says how the try has ended: with cause, which is nil when it has succeeded.
func (p *pass) leave(cause error) {
	g := p.gates
	g.mu.Lock()
	now := g.now()
	recovered := map[string]time.Time{}
	for i, how := range blame(cause) {
		gt := p.both()[i]
		before := gt.shown
		gt.end(p.rounds[i], how, cause, now)
		g.show(gt, p.label, now)
		if before != breakerClosed && gt.shown == breakerClosed {
			maps.Copy(recovered, gt.tenants)
		}
		close(gt.changed)
		gt.changed = make(chan struct{})
	}
	p.close(now)
	told := g.told
	g.mu.Unlock()
	if len(recovered) == 0 {
		return
	}
	for _, fn := range told {
		fn(recovered)
	}
}

// close ends the dial's use of its gates, which are locked.
func (p *pass) close(now time.Time) {
	if p.queue != nil {
		<-p.queue.turns
	}
	for _, gt := range p.both() {
		gt.users--
		gt.used = now
	}
}

// blame says what a try's end says of the server, and of the login.
func blame(cause error) [2]outcome {
	var reply ReplyError
	var database *databaseError
	switch {
	case cause == nil:
		return [2]outcome{succeeded, succeeded}
	case errors.Is(cause, context.Canceled):
		return [2]outcome{unclear, unclear}
	case errors.As(cause, &database):
		return [2]outcome{succeeded, succeeded}
	case !errors.As(cause, &reply), reply.everyones():
		return [2]outcome{failed, unclear}
	case reply.auth():
		return [2]outcome{succeeded, failed}
	}
	return [2]outcome{succeeded, unclear}
}

// show logs and counts a state that is new. label is whose dial has brought it.
func (g *gates) show(gt *gate, label string, now time.Time) {
	was, is := gt.shown, gt.state()
	if was == is {
		return
	}
	gt.shown = is
	for tenant := range gt.tenants {
		g.count(tenant, was, is)
	}
	switch {
	case was == breakerClosed:
		g.log.Warn("backend given up: it is probed until it answers", "tenant", label, "tenants", len(gt.tenants), "reason", Reason(gt.cause))
	case is == breakerClosed:
		g.log.Info("backend reachable again", "tenant", label, "tenants", len(gt.tenants), "after", now.Sub(gt.opened).Round(time.Millisecond))
	}
}

// count has a tenant's gauge show the worst state of its gates, of which one changes.
func (g *gates) count(label string, was, is breakerState) {
	if was == is {
		return
	}
	n := g.unwell[label]
	n[was]--
	n[is]++
	n[breakerClosed] = 0
	g.unwell[label] = n
	worst := breakerClosed
	for _, s := range []breakerState{breakerHalfOpen, breakerOpen} {
		if n[s] > 0 {
			worst = s
		}
	}
	if worst == breakerClosed {
		delete(g.unwell, label)
	}
	g.obs.BreakerState(label, int(worst))
}

// sweep forgets what has not been dialled for long: servers, and tenants that are gone.
func (g *gates) sweep(now time.Time) {
	after := max(forgetAfter, 2*g.cfg.Load().RetryDelay)
	if now.Sub(g.swept) < after {
		return
	}
	g.swept = now
	for key, gt := range g.all {
		for label, used := range gt.tenants {
			if now.Sub(used) >= after && gt.users == 0 {
				delete(gt.tenants, label)
				g.count(label, gt.shown, breakerClosed)
			}
		}
		if gt.users == 0 && now.Sub(gt.used) >= after {
			delete(g.all, key)
		}
	}
}
