package auth

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/respgate/respgate/tenant"
)

// fakeStore is a store in memory that can be slow, gone or forgetful.
type fakeStore struct {
	mu      sync.Mutex
	grants  map[string]tenant.Grant
	log     []string // the key of each change; "/label" for a deleted instance, "-id" for a session
	cut     int64    // what is before is not told
	asked   map[string]int
	polls   int
	moves   int // how many instances are being moved
	running int // calls, and the most at once
	most    int

	err      error                                // what every call fails with
	broken   map[string]error                     // what Grant fails with, by id
	hang     chan struct{}                        // calls do not return before it is closed ...
	deaf     bool                                 // ... whatever their context says
	answered func(ctx context.Context, id string) // called before Grant returns what it has read
}

func newFakeStore(grants ...tenant.Grant) *fakeStore {
	f := &fakeStore{grants: map[string]tenant.Grant{}, asked: map[string]int{}, broken: map[string]error{}}
	for _, g := range grants {
		f.grants[g.Key.ID] = g
	}
	return f
}

func (f *fakeStore) Grant(ctx context.Context, id string) (tenant.Grant, error) {
	f.mu.Lock()
	f.asked[id]++
	answered := f.answered
	f.mu.Unlock()
	if err := f.wait(ctx); err != nil {
		return tenant.Grant{}, err
	}
	f.mu.Lock()
	g, ok := f.grants[id]
	err := f.broken[id]
	f.mu.Unlock()
	if answered != nil {
		answered(ctx, id)
	}
	switch {
	case err != nil:
		return tenant.Grant{}, err
	case !ok:
		return tenant.Grant{}, tenant.ErrNotFound
	}
	return g, nil
}

func (f *fakeStore) KeyByCertificate(ctx context.Context, names []string) (string, error) {
	f.mu.Lock()
	f.asked[names[0]]++
	f.mu.Unlock()
	if err := f.wait(ctx); err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range names {
		for id, g := range f.grants {
			if g.Key.CertificateName == name && g.Key.RevokedAt.IsZero() {
				return id, nil
			}
		}
	}
	return "", tenant.ErrNotFound
}

func (f *fakeStore) Changes(ctx context.Context, after int64) (tenant.Changes, error) {
	f.mu.Lock()
	f.polls++
	f.mu.Unlock()
	if err := f.wait(ctx); err != nil {
		return tenant.Changes{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c := tenant.Changes{Seq: int64(len(f.log)), Complete: after >= f.cut, Moves: f.moves}
	for _, what := range f.log[min(max(after, f.cut), c.Seq):] {
		switch what[0] {
		case '/':
			c.Deleted = append(c.Deleted, what[1:])
		case '-':
			c.Sessions = append(c.Sessions, what[1:])
		default:
			c.Keys = append(c.Keys, what)
		}
	}
	return c, nil
}

func (f *fakeStore) wait(ctx context.Context) error {
	f.mu.Lock()
	f.running++
	f.most = max(f.most, f.running)
	hang, deaf, err := f.hang, f.deaf, f.err
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.running--
		f.mu.Unlock()
	}()
	switch {
	case hang == nil:
	case deaf:
		<-hang
	default:
		select {
		case <-hang:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

// with changes the store itself.
func (f *fakeStore) with(fn func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn()
}

// change changes a key and logs that.
func (f *fakeStore) change(id string, fn func(g *tenant.Grant)) {
	f.with(func() {
		g := f.grants[id]
		g.Key.Instances = slices.Clone(g.Key.Instances)
		g.Routes = slices.Clone(g.Routes)
		fn(&g)
		f.grants[id] = g
		f.log = append(f.log, id)
	})
}

func (f *fakeStore) revoke(id string) {
	f.change(id, func(g *tenant.Grant) { g.Key.RevokedAt = time.Now() })
}

func (f *fakeStore) delete(id string) {
	f.with(func() {
		delete(f.grants, id)
		f.log = append(f.log, id)
	})
}

func (f *fakeStore) asks(id string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[id]
}

// made is a key and what the store has of it.
type made struct {
	Key
	grant tenant.Grant
}

func makeKey(instances ...string) made {
	if len(instances) == 0 {
		instances = []string{"cache"}
	}
	k := Generate()
	g := tenant.Grant{Key: tenant.Key{ID: k.ID, SecretHash: k.Hash, Org: "acme", Instances: instances}}
	for _, name := range instances {
		g.Routes = append(g.Routes, route(name))
	}
	return made{k, g}
}

func route(name string) tenant.Route {
	return tenant.Route{InstanceID: "id-of-" + name, Label: "acme/" + name, Instance: name, URL: "redis://:pw@127.0.0.1:1/0"}
}

func (m made) text() string { return m.Text.Reveal() }

// counts is an Observer.
type counts struct {
	mu        sync.Mutex
	requests  int
	failures  map[string]int
	throttled map[string]int // by what; "" is not
	certs     map[string]int
}

func (c *counts) Request() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
}

func (c *counts) Failure(reason, throttledBy string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failures == nil {
		c.failures, c.throttled = map[string]int{}, map[string]int{}
	}
	c.failures[reason]++
	c.throttled[throttledBy]++
}

func (c *counts) Certificate(result string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.certs == nil {
		c.certs = map[string]int{}
	}
	c.certs[result]++
}

func (c *counts) get() (requests int, failures map[string]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests, maps.Clone(c.failures)
}

// world is a service that runs on a fake store.
type world struct {
	*Service
	t      *testing.T
	store  *fakeStore
	counts counts

	mu      sync.Mutex
	logged  bytes.Buffer
	changed []*Handle
	deleted []string
	moves   int

	sessions []string
}

func (w *world) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.logged.Write(b)
}

func (w *world) log() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.logged.String()
}

// takeChanged returns the handles that OnChange was called with since the last time.
func (w *world) takeChanged() []*Handle {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.changed
	w.changed = nil
	return c
}

// newWorld starts a service, which ends with the test. It is for synctest's bubbles.
func newWorld(t *testing.T, cfg Config, st *fakeStore) *world {
	t.Helper()
	w := &world{t: t, store: st}
	s, err := New(cfg, st, &w.counts, slog.New(slog.NewTextHandler(w, nil)))
	if err != nil {
		t.Fatal(err)
	}
	w.Service = s
	s.OnChange(func(h *Handle) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.changed = append(w.changed, h)
	})
	s.OnDeleted(func(label string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.deleted = append(w.deleted, label)
	})
	s.OnSessionEnd(func(id string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.sessions = append(w.sessions, id)
	})
	s.OnMoves(func(n int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.moves = n
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run returned %v, want nil", err)
		}
	})
	return w
}

// open authenticates and wants that to succeed.
func (w *world) open(user string, k made) *Handle {
	w.t.Helper()
	h, err := w.Authenticate(w.t.Context(), home, user, k.text())
	if err != nil {
		w.t.Fatalf("Authenticate(%q): %v", user, err)
	}
	if h.Principal() == nil {
		w.t.Fatalf("Authenticate(%q) returned a handle that has ended", user)
	}
	return h
}
