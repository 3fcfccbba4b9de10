package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/respgate/respgate/tenant"
)

// flight is one question to the store about a key, for everybody who waits for
// the answer. It ends with the last of them, not with the first who asked.
type flight struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when entry and err are set

	waiters int  // guarded by the service's lock, as stale
	stale   bool // the key changed since it was asked for: ask again

	entry *entry
	err   error
}

// lookup returns the key's entry from the cache or the store. The error is or wraps
// tenant.ErrNotFound, ErrUnavailable or ctx's.
func (s *Service) lookup(ctx context.Context, id string) (*entry, error) {
	s.mu.Lock()
	if e := s.find(id, time.Now()); e != nil {
		s.mu.Unlock()
		return e, nil
	}
	if s.unknown.has(id, time.Now()) {
		s.mu.Unlock()
		return nil, tenant.ErrNotFound
	}
	if s.away != nil {
		defer s.mu.Unlock()
		return nil, unavailable(s.away)
	}
	f := s.flights[id]
	if f == nil {
		f = s.takeOff(ctx, id)
	}
	f.waiters++
	s.mu.Unlock()

	select {
	case <-f.done:
		return f.entry, f.err
	case <-ctx.Done():
		s.leave(id, f)
		return nil, ctx.Err()
	}
}

// leave is for who no longer waits.
func (s *Service) leave(id string, f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.waiters--; f.waiters > 0 {
		return
	}
	f.cancel()
	if s.flights[id] == f {
		delete(s.flights, id) // the next to ask must not join one that is cancelled
	}
}

func (s *Service) takeOff(ctx context.Context, id string) *flight {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.LookupTimeout)
	f := &flight{cancel: cancel, done: make(chan struct{})}
	s.flights[id] = f
	go s.fly(ctx, id, f)
	return f
}

func (s *Service) fly(ctx context.Context, id string, f *flight) {
	defer f.cancel()
	defer close(f.done)
	for {
		g, err := call(ctx, s.lookups, func(ctx context.Context) (tenant.Grant, error) {
			return s.store.Grant(ctx, id)
		})
		var read grant
		if err == nil {
			read = s.read(g)
		}
		if s.land(ctx, id, f, read, err) {
			break
		}
	}
	if errors.Is(f.err, ErrUnavailable) && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		s.setAway(f.err) // others need not wait as long to learn it
		s.pollNow()      // and it may have been this key only
	}
}

// land takes the store's answer, unless the key has changed since it was asked
// for: then the answer may be older than what was seen of the change.
func (s *Service) land(ctx context.Context, id string, f *flight, g grant, err error) (done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flights[id] != f {
		f.err = unavailable(context.Canceled) // nobody waits for it
		return true
	}
	if f.stale {
		f.stale = false
		if ctx.Err() == nil {
			return false
		}
		err = ctx.Err()
	}
	delete(s.flights, id)
	switch {
	case err == nil:
		f.entry = s.insert(id, g, time.Now())
	case errors.Is(err, tenant.ErrNotFound):
		s.unknown.add(id, time.Now())
		f.err = err
	default:
		f.err = unavailable(err)
	}
	return true
}

func unavailable(err error) error {
	if errors.Is(err, ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// slots bound how many calls to the store run at once.
type slots chan struct{}

// call runs fn when there is a slot, and gives up when ctx ends even where fn
// does not. The slot is taken until fn has returned, so that a store which hangs
// costs a bounded number of goroutines.
func call[T any](ctx context.Context, free slots, fn func(context.Context) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	var none T
	select {
	case free <- struct{}{}:
	case <-ctx.Done():
		return none, ctx.Err()
	}
	results := make(chan result, 1)
	go func() {
		defer func() { <-free }()
		v, err := fn(ctx)
		results <- result{v, err}
	}()
	select {
	case r := <-results:
		return r.value, r.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}
