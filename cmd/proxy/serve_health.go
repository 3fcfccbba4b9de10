package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/respgate/respgate/auth"
	"github.com/respgate/respgate/health"
	"github.com/respgate/respgate/insight"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

const (
	// checkTimeout bounds one look at a component.
	checkTimeout = 2 * time.Second
	// pingTimeout bounds a PING to the store: less, so that its absence can be told.
	pingTimeout = time.Second
	// learnTimeout bounds how long the store is asked which instances there are.
	learnTimeout = 5 * time.Second
	// instanceInterval is how often each instance's backend is asked how it is.
	instanceInterval = 10 * time.Second
	// instanceChecks is how many backends are asked at once.
	instanceChecks = 16
)

// checks are what /health looks at. It is safe for concurrent use.
type checks struct {
	mu        sync.Mutex
	store     *store.Store
	service   *auth.Service
	shared    *sharedLimits
	pings     singleflight.Group
	reachable map[string]bool // by instance id
}

// all are those of every proxy, and of one whose limits are shared.
func (c *checks) all(shared bool) map[string]health.Check {
	all := map[string]health.Check{"database": c.database, "redis_pool": c.backends}
	if shared {
		all["rate_limit"] = c.limits
	}
	return all
}

// know tells the checks what there is to check, once it is there.
func (c *checks) know(st *store.Store, service *auth.Service, shared *sharedLimits) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.store, c.service, c.shared = st, service, shared
}

// database is healthy while the store answers, degraded while the cache can serve
// instead, and unhealthy when nobody can be authenticated.
func (c *checks) database(ctx context.Context) (health.Status, string) {
	c.mu.Lock()
	st, service := c.store, c.service
	c.mu.Unlock()
	if st == nil {
		return health.Unhealthy, "the store has not answered yet"
	}
	pinged := c.ping(ctx, st)
	reachable, cached, _ := service.Status()
	switch {
	case pinged == nil && reachable:
		return health.Healthy, "ok"
	case cached > 0:
		return health.Degraded, fmt.Sprintf("the store is away: %d cached keys are served", cached)
	}
	return health.Unhealthy, "the store is away and no key is cached"
}

var errHangs = errors.New("the store does not answer")

// ping asks the store whether it is there, once for all who ask at the same time: a driver
// may hang for longer than ctx says, and only one ping at a time may do so.
func (c *checks) ping(ctx context.Context, st *store.Store) error {
	shared := context.WithoutCancel(ctx)
	answer := c.pings.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(shared, pingTimeout)
		defer cancel()
		return nil, st.Ping(ctx)
	})
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	select {
	case got := <-answer:
		return got.Err
	case <-ctx.Done():
		return errHangs
	}
}

// backends is degraded when some cannot be reached: other tenants are served.
func (c *checks) backends(context.Context) (health.Status, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	good := 0
	for _, reachable := range c.reachable {
		if reachable {
			good++
		}
	}
	message := fmt.Sprintf("%d of %d backends are reachable", good, len(c.reachable))
	if good < len(c.reachable) {
		return health.Degraded, message
	}
	return health.Healthy, message
}

// limits is degraded while each proxy limits by itself: tenants are served.
func (c *checks) limits(context.Context) (health.Status, string) {
	c.mu.Lock()
	shared := c.shared
	c.mu.Unlock()
	if shared != nil && shared.client.Up() {
		return health.Healthy, "ok"
	}
	return health.Degraded, "the Redis that proxies share for their limits does not answer: each limits by itself"
}

// answered says whether the backend of the instance with that id answered when it was last
// asked, if it was.
func (c *checks) answered(instanceID string) (reachable, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	reachable, known = c.reachable[instanceID]
	return reachable, known
}

// watchInstances asks every instance's backend how it is, now and at intervals,
// and counts what the store holds. It dials as the data plane does: where a breaker is
// open that is its probe, or is answered by what the last one has found, a retry delay ago.
func (s *server) watchInstances(ctx context.Context, st *store.Store, data *dataPlane) {
	w := watcher{server: s, store: st, dialer: data.dialer, book: data.book}
	for {
		w.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pool.Jitter(instanceInterval)):
		}
	}
}

type watcher struct {
	*server
	store  *store.Store
	dialer *pool.Dialer
	book   *insight.Book
	last   []tenant.Instance // what the store said when it was last there
}

// look is one round. While the store is away the instances known last are asked.
func (w *watcher) look(ctx context.Context) {
	_ = within(ctx, learnTimeout, w.learn)                                                    // else what is known is asked
	rand.Shuffle(len(w.last), func(i, j int) { w.last[i], w.last[j] = w.last[j], w.last[i] }) //nolint:gosec // no secret
	reachable := map[string]bool{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	free := make(chan struct{}, instanceChecks)
	for _, in := range w.last {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			ok := w.ask(ctx, in)
			mu.Lock()
			defer mu.Unlock()
			reachable[in.ID] = ok
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return
	}
	w.checks.mu.Lock()
	defer w.checks.mu.Unlock()
	w.checks.reachable = reachable
}

// learn takes over what the store says, as far as it does.
func (w *watcher) learn(ctx context.Context) error {
	counts, err := w.store.Counts(ctx)
	if err != nil {
		return err
	}
	w.metrics.SetTotals(counts)
	instances, err := w.store.Instances(ctx, "", store.Page{})
	if err != nil {
		return err
	}
	w.follow(instances)
	return nil
}

// follow takes over what instances there are now, whose series are to exist, and drops
// those of the others: the last round may have made some after their instance had gone. The
// slow log goes with the instance, not with its name.
func (w *watcher) follow(instances []tenant.Instance) {
	there := map[string]bool{} // labels and ids
	for _, in := range instances {
		there[in.Label()], there[in.ID] = true, true
		w.metrics.AddTenant(in.Label())
	}
	for _, in := range w.last {
		if !there[in.Label()] {
			w.metrics.RemoveTenant(in.Label())
		}
		if !there[in.ID] {
			w.book.Forget(in.ID)
		}
	}
	w.last = instances
}

// ask connects to the instance's backend, to all primaries of several servers, which ends
// with a PING answered. A backend that says LOADING or BUSY lives; one that refuses our
// password is of no use.
func (w *watcher) ask(ctx context.Context, in tenant.Instance) bool {
	backend, err := pool.ParseURL(in.URL)
	if err != nil {
		return false
	}
	layout, err := w.dialer.Find(ctx, backend)
	if err != nil {
		return false
	}
	for _, server := range layout.Primaries {
		nc, _, err := w.dialer.Dial(ctx, in.Label(), server, server.DB, 2, 1)
		var lives pool.ReplyError
		switch {
		case err == nil:
			_ = nc.Close()
		case !errors.As(err, &lives) || lives.Code() != "LOADING" && lives.Code() != "BUSY":
			return false
		}
	}
	return true
}
