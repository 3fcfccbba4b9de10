package main

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/respgate/respgate/auth"
	"github.com/respgate/respgate/cache"
	"github.com/respgate/respgate/insight"
	"github.com/respgate/respgate/loop"
	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/proxy"
	"github.com/respgate/respgate/ratelimit"
	"github.com/respgate/respgate/tenant"
	"github.com/respgate/respgate/tracing"
)

// dataPlane is the side that clients see: event loops, each with its sessions and
// its links to backends.
type dataPlane struct {
	id         string // of this proxy, in the ids of sessions
	maxClients atomic.Int64
	maxOpen    int64 // clients and links together; more have no descriptors
	lingering  int64 // refused connections that may be open
	account    *loop.Account
	log        *slog.Logger
	metrics    *metrics.Metrics
	book       *insight.Book
	dialer     *pool.Dialer
	slots      *pool.Slots
	lanes      []*lane
	topologies *pool.Topologies
	handshakes *loop.Gate
	clients    atomic.Int64 // connections accepted and not closed
	turnedAway atomic.Int64 // connections that are told why they are not served
	accepted   atomic.Uint64
	links      atomic.Int64 // connections to backends
	refusing   spell        // clients are refused
	running    sync.WaitGroup
}

// lane is one event loop and what lives on it.
type lane struct {
	loop *loop.Loop
	core *proxy.Core
	pool *pool.Pool
	due  atomic.Bool // a refresh is posted and has not begun
}

// proxyIDLength is how long a proxy's id is, in base62: one in 57 billion.
const proxyIDLength = 6

// newDataPlane makes the loops of the proxy with that id; start runs them. Look-ups and
// dialling end with ctx. tracer is nil when nothing is traced.
func newDataPlane(ctx context.Context, id string, tracer *tracing.Tracer, cfg Config, has resources, service *auth.Service, limiters *ratelimit.Registry, m *metrics.Metrics, log *slog.Logger) (*dataPlane, error) {
	d := &dataPlane{
		id:      id,
		maxOpen: int64(has.files - has.spareFiles()), lingering: int64(has.lingering()),
		account: loop.NewAccount(cfg.Limits.memoryBound(has.memory)), log: log, metrics: m,
		dialer: pool.NewDialer(cfg.dial(), log, m),
		slots:  pool.NewSlots(cfg.Pool.PinnedMax, cfg.Pool.SubscribersMax),
	}
	var err error
	if d.book, err = insight.New(cfg.insight(d.id)); err != nil {
		return nil, err
	}
	d.slots.Observe(m)
	d.setLimits(cfg)
	d.topologies = pool.NewTopologies(ctx, cfg.dial(), log, m, d.looked)
	d.handshakes = loop.NewGate(max(1, runtime.GOMAXPROCS(0)/2), m.TLSHandshake)
	ids, seats := new(atomic.Int64), newSeats(m, log)
	for i := range cfg.EventLoops() {
		l, err := loop.New(log)
		if err != nil {
			return nil, fmt.Errorf("loops: %w", err)
		}
		d.account.Add(l)
		core := &proxy.Core{
			Ctx: ctx, Clock: l, Memory: l, Auth: service, Limiters: limiters, Seats: seats, Topologies: d.topologies,
			Metrics: m.Loop(i), SlowLog: d.book, IDs: ids, Log: log,
			Limits: cfg.Limits.client(),
			After:  func(after time.Duration, fn func()) proxy.Timer { return l.After(after, fn) },
			Background: func(work func() func()) {
				d.running.Go(func() { l.Post(work()) })
			},
			Left: func() { d.clients.Add(-1) },
		}
		core.Cache = cache.NewSpace(cfg.Cache.limits(), cfg.EventLoops())
		core.Observers = []proxy.Observer{d.book.AddLoop(l, func(label string) { core.Metrics.Tenant(label).SlowLogged() })}
		links := pool.New(ctx, cfg.Pool.links(), l, d.slots, d.dialer, linkCounter{m, &d.links}, core.Meter, log)
		core.Links, core.Upkeep, core.Proxy = links, links, d.id
		if tracer != nil {
			core.Observers = append(core.Observers, tracer.Loop(m.Loop(i)))
		}
		home := &lane{loop: l, core: core, pool: links}
		core.Everywhere = func(visit func(*proxy.Core), then func()) {
			d.everywhere(func(l *lane) { visit(l.core) }, func() { home.loop.Post(then) })
		}
		d.lanes = append(d.lanes, home)
	}
	m.WatchMemory(d.account.Bound(), d.account.Held)
	service.OnChange(func(*auth.Handle) { d.refresh() })
	service.OnDeleted(d.forget)
	service.OnSessionEnd(d.EndSession)
	return d, nil
}

// newSeats has refused clients counted, and logged once a second at most.
func newSeats(m *metrics.Metrics, log *slog.Logger) *proxy.Seats {
	say := rate.Sometimes{Interval: time.Second}
	return proxy.NewSeats(func(p *tenant.Principal, reason string) {
		m.Refused(reason)
		say.Do(func() {
			log.Warn("client refused: all connections are in use", "of", reason, "key", p.KeyID, "tenant", p.Route.Label)
		})
	})
}

func (c LimitsConfig) client() proxy.Limits {
	return proxy.Limits{MaxCommand: c.MaxCommandBytes, MaxOutput: int(c.ClientOutputBytes), AuthTimeout: c.AuthTimeout}
}

func (c PoolConfig) dial() pool.DialConfig {
	return pool.DialConfig{Attempts: c.DialAttempts, RetryDelay: c.DialRetryDelay, Timeout: c.DialTimeout}
}

// dial is how backends are found and dialled.
func (c Config) dial() pool.DialConfig {
	d := c.Pool.dial()
	d.Region = c.Region
	return d
}

func (c PoolConfig) links() pool.Config {
	return pool.Config{Dial: c.dial(), IdleTimeout: c.IdleTimeout, StallTimeout: c.StallTimeout, PinnedWait: c.PinnedWait}
}

func (d *dataPlane) start() {
	for _, l := range d.lanes {
		l.loop.Post(l.pool.Start)
		d.running.Go(l.loop.Run)
	}
}

// reconfigure puts what can change while the proxy runs into effect.
func (d *dataPlane) reconfigure(cfg Config) {
	d.setLimits(cfg)
	d.dialer.SetConfig(cfg.dial())
	d.topologies.SetConfig(cfg.dial())
	d.slots.SetMax(cfg.Pool.PinnedMax, cfg.Pool.SubscribersMax)
	d.book.SetConfig(cfg.insight(d.id))
	d.everywhere(func(l *lane) {
		l.core.SetLimits(cfg.Limits.client())
		l.core.SetCache(cfg.Cache.limits())
		l.pool.SetConfig(cfg.Pool.links())
		l.core.Rewatch()
		l.core.Relimit()
	}, func() {})
}

func (d *dataPlane) setLimits(cfg Config) {
	d.maxClients.Store(int64(cfg.Limits.MaxClients))
	d.metrics.SetDrainTimeout(cfg.Shutdown.Delay + cfg.Shutdown.DrainTimeout)
	d.metrics.SetLinkLimit(pool.Pinned.String(), cfg.Pool.PinnedMax)
	d.metrics.SetLinkLimit(pool.Subscriber.String(), cfg.Pool.SubscribersMax)
}

// refresh has every session look at its principal again. Many changes at once
// cost a loop one round.
func (d *dataPlane) refresh() {
	for _, l := range d.lanes {
		if l.due.Swap(true) {
			continue
		}
		l.loop.Post(func() {
			l.due.Store(false)
			l.core.Refresh()
		})
	}
}

// looked has every loop follow what is known of a group of servers.
func (d *dataPlane) looked(t *pool.Topology, gone []pool.Backend) {
	for _, l := range d.lanes {
		l.loop.Post(func() {
			l.pool.Leave(t, gone)
			l.core.Looked(t)
		})
	}
}

// everywhere runs visit on every loop, and then then.
func (d *dataPlane) everywhere(visit func(*lane), then func()) {
	left := new(atomic.Int64)
	left.Store(int64(len(d.lanes)))
	done := func() {
		if left.Add(-1) == 0 {
			then()
		}
	}
	for _, l := range d.lanes {
		if !l.loop.Post(func() { defer done(); visit(l) }) {
			done()
		}
	}
}

// forget drops the links and the series of an instance that is gone, these last:
// a link that closes still counts.
func (d *dataPlane) forget(label string) {
	d.topologies.Forget(label)
	d.everywhere(func(l *lane) { l.pool.Forget(label); l.core.Forget(label) }, func() {
		// What has closed counts in the turn after.
		d.everywhere(func(*lane) {}, func() { d.metrics.RemoveTenant(label) })
	})
}

// drain asks every session to end, each when it is owed nothing, and waits until
// all have or ctx ends. It returns how many are left.
func (d *dataPlane) drain(ctx context.Context) int64 {
	for _, l := range d.lanes {
		l.loop.Post(l.core.Drain)
	}
	waitUntil(ctx, func() bool { return d.clients.Load() == 0 })
	return d.clients.Load()
}

// stop ends the loops and waits for them.
func (d *dataPlane) stop() {
	for _, l := range d.lanes {
		l.loop.Stop()
	}
	d.running.Wait()
}
