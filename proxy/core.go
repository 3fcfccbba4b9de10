// Package proxy holds the clients' sessions: each is a state machine that takes
// a client's bytes, authenticates it, holds it to its policy and limit, sends
// its commands to its tenant's backend and gives it the replies in order. It
// does no I/O of its own.
package proxy

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/respgate/respgate/auth"
	"github.com/respgate/respgate/cache"
	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/ratelimit"
	"github.com/respgate/respgate/resp"
	"github.com/respgate/respgate/tenant"
)

// Limits bound what one client may do.
type Limits struct {
	MaxCommand  int64         // bytes of one command
	MaxOutput   int           // bytes of replies a client has not read
	AuthTimeout time.Duration // until a connection must have authenticated
}

// Timer is a call that can be cancelled, and made at another time, or again.
type Timer interface {
	Stop()
	Reset(d time.Duration)
}

// Clock is the loop's time, which stands still during a turn.
type Clock interface {
	Now() time.Time
	Nanos() int64
}

// Background runs what may block away from the loop, and the function that it
// returns on the loop.
type Background func(work func() (then func()))

// Links are where the loop's links come from; *pool.Pool is one.
type Links interface {
	Shared(key pool.Key) *pool.Link
	Connected(key pool.Key) bool
	Borrow(key pool.Key, kind pool.Kind, then func(*pool.Link, *pool.Error)) (cancel func())
}

// Core is what the sessions of one loop share. All of it is used on the loop's
// goroutine, but for IDs.
type Core struct {
	Ctx        context.Context // ends what runs in the background
	Clock      Clock
	After      func(d time.Duration, fn func()) Timer
	Background Background
	Auth       *auth.Service
	Limiters   *ratelimit.Registry
	Seats      *Seats // of all loops; nil: connections are not counted
	Links      Links
	Topologies *pool.Topologies
	Everywhere Everywhere // nil: there is no other loop
	Metrics    *metrics.Loop
	SlowLog    SlowLog
	IDs        *atomic.Int64 // the last client's id
	Left       func()        // a client is gone, and its descriptor is closed
	Limits     Limits
	Memory     Memory       // nil: without bound
	Cache      *cache.Space // of near caches; nil: there are none
	Auditor    Auditor      // nil: nothing is noted
	Observers  []Observer
	Proxy      string      // what the ids of this proxy's sessions begin with, before the '-'
	Upkeep     Upkeep      // of Links
	Operations *Operations // nil: there is no PROXY command
	Log        *slog.Logger

	turn      int64 // the clock in the turn in which commands were looked at last
	looked    int   // how many then
	batch     [batchSize]item
	parts     [batchSize]pool.Part
	scratch   []byte
	meters    map[string]*meter
	usages    map[usedBy]*usage
	nobody    usage
	sessions  map[*Session]struct{}
	holds     map[holdKey]*hold
	delays    delays
	lack      map[pool.Backend]lack
	denials   denials
	after     *resp.Limits // once authenticated
	awaiting  map[*pool.Topology][]func()
	denied    rate.Sometimes // the log tells of retries that are not made
	dryRuns   rate.Sometimes // the log tells of what a limit would have refused
	strangers rate.Sometimes // the log tells of those that are dropped before they have authenticated
	spare     []*call        // for the next ones
	args      [][]byte
	keys      []int
	seen      tenant.Observed // the last one
	near      map[nearKey]*nearCache
	asked     uint64 // commands that have gone over the links of near caches
}

// limitsBefore are the limits before a session has authenticated.
var limitsBefore = resp.Unauthenticated()

// batchSize is how many commands of one client are looked at together: one
// question to the limiter serves them all.
const batchSize = 64

// item is one command of a batch.
type item struct {
	frame   resp.Frame
	end     int // where in the input it ends
	id      command.ID
	verdict verdict
}

// meter counts for one tenant on one loop.
type meter struct {
	loop    *metrics.Loop
	tenant  *metrics.Tenant
	retries float64 // that the tenant's calls may still cause
	watch   tenant.Watch
	route   tenant.Route // by which it was chosen

	uncached bool // it is known in the log that its instance can have no near cache
}

// Meter returns where the instance called label is counted. It is the pool's
// meter too.
func (c *Core) Meter(label string) pool.Meter { return c.meter(label) }

func (c *Core) meter(label string) *meter {
	m := c.meters[label]
	if m == nil {
		m = &meter{loop: c.Metrics, tenant: c.Metrics.Tenant(label), retries: maxRetries, watch: tenant.Unwatched()}
		if c.meters == nil {
			c.meters = map[string]*meter{}
		}
		c.meters[label] = m
	}
	return m
}

// Forget drops what is kept for an instance that is gone.
func (c *Core) Forget(label string) {
	c.forgetNear(label)
	delete(c.meters, label)
}

// Answered implements pool.Meter.
func (m *meter) Answered(id command.ID, nanos int64, n int) {
	d := time.Duration(nanos)
	m.loop.Duration(id, d, n)
	m.tenant.Phase(metrics.PhaseBackend, d, n)
}

// Waited implements pool.Meter.
func (m *meter) Waited(nanos int64, n int) {
	m.tenant.Phase(metrics.PhasePool, time.Duration(nanos), n)
}

// Refresh has every session follow what has become of its principal: those of a
// revoked key end.
func (c *Core) Refresh() {
	for s := range c.sessions {
		s.refresh()
	}
}

// Len returns how many sessions there are.
func (c *Core) Len() int { return len(c.sessions) }

// limitsAfter are the limits once a session has authenticated.
func (c *Core) limitsAfter() *resp.Limits {
	if c.after == nil {
		c.after = resp.Authenticated(c.Limits.MaxCommand)
	}
	return c.after
}

// SetLimits changes the limits, for sessions that are there too. How long they may take to
// authenticate stays.
func (c *Core) SetLimits(l Limits) {
	c.Limits, c.after = l, nil
	for s := range c.sessions {
		if s.principal != nil {
			s.framer.SetLimits(c.limitsAfter())
		}
	}
}

// Peer is a client that has connected.
type Peer struct {
	Addr, Local ClientAddr // from where, and to where
	TLS         bool
}

// Open makes a session for a client.
func (c *Core) Open(out Output, peer Peer) *Session {
	now := c.Clock.Nanos()
	s := &Session{core: c, out: out, addr: peer.Addr, local: peer.Local, secure: peer.TLS, id: c.IDs.Add(1), proto: 2, since: now, active: now, usage: &c.nobody}
	s.framer = resp.NewFramer(limitsBefore)
	if c.sessions == nil {
		c.sessions = map[*Session]struct{}{}
	}
	c.sessions[s] = struct{}{}
	s.awaitAuth()
	return s
}

// awaitAuth gives the client the time to authenticate in.
func (s *Session) awaitAuth() {
	s.authTimer = s.core.After(s.core.Limits.AuthTimeout, func() { s.out.Close(errAuthTimeout) })
}

// stop lets go of a timer, if there is one: there are many clients, and most are idle.
func stop(t *Timer) {
	if *t != nil {
		(*t).Stop()
		*t = nil
	}
}

// key names the session's links to a database.
func (s *Session) key(db int, lane pool.Lane) pool.Key {
	return s.keyTo(s.server(), db, lane)
}

// keyTo is key for a certain server.
func (s *Session) keyTo(server pool.Backend, db int, lane pool.Lane) pool.Key {
	r := s.principal.Route
	return pool.Key{Instance: r.InstanceID, Label: r.Label, Backend: server, DB: db, Proto: s.proto, Lane: lane, Group: s.group.topology}
}
