package pool

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// How often a group is looked at: when nothing happens, at most, and after a failure.
// Redis's own clients look every 10 s at Sentinel too.
const (
	topologyPoll    = 10 * time.Second
	topologySpacing = 250 * time.Millisecond
	topologyBackoff = time.Second // at most

	// For topologyAlert after Refresh the group is looked at every topologyAgain: who is to
	// take the place of a server that has gone is often not known yet when that is noticed.
	topologyAlert = 5 * time.Second
	topologyAgain = 500 * time.Millisecond

	// topologyGrace is how much longer than the first good answer all others may take.
	topologyGrace = 250 * time.Millisecond
)

// errLeftGroup closes links to a server that is not what it was in its group.
var errLeftGroup = errors.New("it has left its place in the group")

// TopologyObserver counts how looking at a group ended: "ok", "changed" or "error".
type TopologyObserver interface {
	TopologyResult(label, result string)
}

// Topologies know who is who in the groups of servers, for all loops. They are safe for
// concurrent use.
type Topologies struct {
	ctx     context.Context
	dial    atomic.Pointer[DialConfig]
	log     *slog.Logger
	obs     TopologyObserver
	changed func(t *Topology, gone []Backend)

	mu      sync.Mutex
	all     map[topologyKey]*Topology
	running sync.WaitGroup
}

type topologyKey struct {
	instance string
	backend  Backend
}

// NewTopologies returns topologies that look at their groups until ctx ends. changed is
// called when a layout has changed, with the servers that are not in it any more, and at
// the end of each look that somebody waits for.
func NewTopologies(ctx context.Context, cfg DialConfig, log *slog.Logger, obs TopologyObserver, changed func(t *Topology, gone []Backend)) *Topologies {
	t := &Topologies{ctx: ctx, log: log, obs: obs, changed: changed, all: map[topologyKey]*Topology{}}
	t.SetConfig(cfg)
	return t
}

// Of returns the topology of an instance's backend, a group. It is looked at while it is
// held, and for a while after.
func (ts *Topologies) Of(instance, label string, b Backend) *Topology {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	key := topologyKey{instance, b}
	t := ts.all[key]
	if t == nil {
		ctx, stop := context.WithCancel(ts.ctx)
		t = &Topology{Instance: instance, Label: label, Backend: b, topologies: ts, stop: stop, wake: make(chan struct{}, 1)}
		ts.all[key] = t
		ts.running.Go(func() { t.run(ctx) })
	}
	t.holders.Add(1)
	return t
}

// Forget ends the topologies of the instance called label.
func (ts *Topologies) Forget(label string) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for key, t := range ts.all {
		if t.Label == label {
			delete(ts.all, key)
			t.stop()
		}
	}
}

// Wait waits until all have ended: the context has.
func (ts *Topologies) Wait() { ts.running.Wait() }

// Topology is what is known of one group of servers.
type Topology struct {
	Instance, Label string
	Backend         Backend // the group

	topologies *Topologies
	change     sync.Mutex // of layout
	layout     atomic.Pointer[Layout]
	cause      atomic.Pointer[Error] // why there is no layout
	holders    atomic.Int64
	awaited    atomic.Bool  // somebody waits for the end of the next look
	ended      atomic.Bool  // there will be none
	alert      atomic.Int64 // when Refresh was called last, in nanoseconds
	wake       chan struct{}
	stop       context.CancelFunc
}

// Layout returns who is who, as far as is known; nil while nothing is.
func (t *Topology) Layout() *Layout { return t.layout.Load() }

// Refusal is why there is no layout.
func (t *Topology) Refusal() *Error {
	if e := t.cause.Load(); e != nil {
		return e
	}
	return &Error{Reason: "its servers are not known yet"}
}

// Moved is told that a node has said that another one, at addr, has a slot. That counts from
// now on, on all loops: a slot might come back before the group has been looked at, and what
// was sent where it seemed to be could be overtaken by what is sent to where it is.
func (t *Topology) Moved(slot int, addr string) {
	t.Refresh()
	t.change.Lock()
	defer t.change.Unlock()
	l := t.layout.Load()
	for i, p := range l.Primaries {
		if p.Addr == addr && l.slots != nil && l.Owner(slot) != i {
			t.layout.Store(l.moved(slot, i))
		}
	}
}

// Member returns the server of the group at addr, as another one of it, via, has named it:
// without a host it is on the same one.
func (t *Topology) Member(addr string, via Backend) Backend {
	return t.Backend.member(at(addr, via.Addr), AnyRole)
}

// Release undoes Of.
func (t *Topology) Release() { t.holders.Add(-1) }

// Refresh has the group looked at soon, and again a few times: something is not as the layout
// says. However often it is called, that happens once at a time and not too often.
func (t *Topology) Refresh() {
	t.alert.Store(time.Now().UnixNano())
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Await is Refresh, and has the topologies' changed called when the look has ended. False
// says that there will be none: the instance has gone.
func (t *Topology) Await() bool {
	t.awaited.Store(true)
	t.Refresh()
	return !t.ended.Load()
}

// finder looks at a group.
type finder interface {
	// find returns what it sees. last, which may be nil, is what was seen before.
	find(ctx context.Context, last *Layout) (*Layout, error)
	close()
}

func newFinder(ctx context.Context, b Backend, cfg DialConfig, refresh func()) finder {
	asker := asker{backend: b, region: cfg.Region, timeout: cfg.Timeout, clients: map[string]*redis.Client{}, asking: new(sync.WaitGroup)}
	switch b.Group {
	case Sentinel:
		return newSentinels(ctx, asker, refresh)
	case Cluster:
		return &clusterNodes{asker: asker}
	default:
		return &replicated{asker: asker}
	}
}

// Find looks once who is who in a group; a single server is its own primary.
func (d *Dialer) Find(ctx context.Context, b Backend) (*Layout, error) {
	if b.Group == Single {
		return &Layout{Primaries: []Backend{b}, Readers: [][]Backend{nil}}, nil
	}
	f := newFinder(ctx, b, *d.cfg.Load(), func() {})
	defer f.close()
	layout, err := f.find(ctx, nil)
	return layout, asReply(err)
}

// asReply makes a server's error one of ours.
func asReply(err error) error {
	var reply redis.Error
	if errors.As(err, &reply) {
		return ReplyError(reply.Error())
	}
	return err
}

// run looks at the group, again and again.
func (t *Topology) run(ctx context.Context) {
	cfg := *t.topologies.dial.Load()
	f := newFinder(ctx, t.Backend, cfg, t.Refresh)
	defer func() {
		f.close()
		t.ended.Store(true)
		t.topologies.changed(t, nil) // for those that wait
	}()
	idle := time.Now()
	wait := topologySpacing
	for {
		if now := *t.topologies.dial.Load(); now != cfg {
			f.close()
			cfg, f = now, newFinder(ctx, t.Backend, now, t.Refresh)
		}
		layout, err := f.find(ctx, t.layout.Load())
		if ctx.Err() != nil {
			return
		}
		t.found(layout, err)
		next := topologyPoll
		switch {
		case err != nil:
			next, wait = wait, min(2*wait, topologyBackoff)
		case time.Now().UnixNano()-t.alert.Load() < int64(topologyAlert):
			next, wait = topologyAgain, topologySpacing
		default:
			wait = topologySpacing
		}
		if t.holders.Load() > 0 {
			idle = time.Now()
		} else if time.Since(idle) > 2*topologyPoll && t.end() {
			return
		}
		if !t.pause(ctx, Jitter(topologySpacing), Jitter(next)) {
			return
		}
	}
}

// pause waits for next or, once least has passed, for Refresh; false is the end.
func (t *Topology) pause(ctx context.Context, least, next time.Duration) bool {
	timer := time.NewTimer(least)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	}
	timer.Reset(max(0, next-least))
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-t.wake:
	}
	return true
}

// end forgets a topology that nobody holds.
func (t *Topology) end() bool {
	ts := t.topologies
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t.holders.Load() > 0 {
		return false
	}
	delete(ts.all, topologyKey{t.Instance, t.Backend})
	t.stop()
	return true
}

// found takes over what a look has shown. What was known stays when it has failed.
func (t *Topology) found(layout *Layout, err error) {
	ts := t.topologies
	t.change.Lock()
	last := t.layout.Load()
	if err == nil && !layout.same(last) {
		t.layout.Store(layout)
	}
	t.change.Unlock()
	var gone []Backend
	result := "ok"
	switch {
	case err != nil:
		result = "error"
		refusal := refusal(asReply(err))
		if before := t.cause.Swap(refusal); before == nil || before.Reason != refusal.Reason {
			ts.log.Warn("the servers of an instance cannot be found out", "tenant", t.Label, "reason", Reason(err), "known", last != nil)
		}
	case layout.same(last):
		t.cause.Store(nil)
	default:
		result = "changed"
		t.cause.Store(nil)
		now := layout.members()
		if last != nil {
			for b := range last.members() {
				if !now[b] {
					gone = append(gone, b)
				}
			}
		}
		ts.log.Info("the servers of an instance are known", "tenant", t.Label, "primaries", len(layout.Primaries), "readers", len(now)-len(layout.Primaries), "gone", len(gone))
	}
	if ts.obs != nil {
		ts.obs.TopologyResult(t.Label, result)
	}
	if awaited := t.awaited.Swap(false); awaited || result == "changed" {
		ts.changed(t, gone)
	}
}

// asker asks servers what they know, over connections of its own.
type asker struct {
	backend Backend
	region  string // the proxy's; "" is none
	timeout time.Duration
	clients map[string]*redis.Client
	asking  *sync.WaitGroup // questions under way
}

// options are how a server is asked. Each connection reads the files for TLS anew.
func (a *asker) options(addr, user, password string) *redis.Options {
	m := a.backend.member(addr, AnyRole)
	if a.backend.Group == Replicated && addr == a.backend.Addr {
		m = a.backend
	}
	connect := func(ctx context.Context, _, _ string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, a.timeout)
		defer cancel()
		return m.connect(ctx)
	}
	return &redis.Options{
		Addr: addr, Dialer: connect, Username: user, Password: password,
		DialTimeout: a.timeout, ReadTimeout: a.timeout, WriteTimeout: a.timeout, ContextTimeoutEnabled: true,
		MaxRetries: -1, DialerRetries: 1, PoolSize: 2, Protocol: 2, DisableIdentity: true,
	}
}

// client returns a client of the server at addr.
func (a *asker) client(addr string) *redis.Client {
	c := a.clients[addr]
	if c == nil {
		c = redis.NewClient(a.options(addr, a.backend.Username, a.backend.Password.Reveal()))
		a.clients[addr] = c
	}
	return c
}

// keep closes the clients of servers other than those.
func (a *asker) keep(addrs map[string]bool) {
	for addr, c := range a.clients {
		if !addrs[addr] {
			_ = c.Close()
			delete(a.clients, addr)
		}
	}
}

func (a *asker) close() {
	a.keep(nil)
	a.asking.Wait()
}

// gather asks all of those at once and returns their answers. Once there is one that is
// enough, those that are silent get topologyGrace only: a server that does not answer, as
// when its machine has gone, must not hold up what the others know.
func gather[S, A any](ctx context.Context, asking *sync.WaitGroup, all []S, ask func(S) A, enough func(A) bool) (answers []A) {
	coming := make(chan A, len(all))
	for _, one := range all {
		asking.Go(func() { coming <- ask(one) })
	}
	var late <-chan time.Time
	for range all {
		select {
		case answer := <-coming:
			answers = append(answers, answer)
			if late == nil && enough(answer) {
				timer := time.NewTimer(topologyGrace)
				defer timer.Stop()
				late = timer.C
			}
		case <-late:
			return answers
		case <-ctx.Done():
			return answers
		}
	}
	return answers
}
