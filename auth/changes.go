package auth

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/respgate/respgate/tenant"
)

const (
	maxRefreshes  = 4           // changed keys read at once
	sweepInterval = time.Minute // between searches for entries that nobody has any more
)

var errNotRead = errors.New("not read")

// Run follows the store's changes, and the clock for keys that expire, until ctx
// ends; then it returns nil. A change is seen within PollInterval, and the handles
// of the keys that it concerns follow in the time it takes to read those again.
// While the store is away everything cached stays as it is, for as long as SetMaxStale says.
func (s *Service) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { s.watchClock(ctx) })

	f := follower{s: s, again: map[*entry]int{}}
	t := time.NewTicker(s.cfg.PollInterval)
	defer t.Stop()
	for {
		f.poll(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		case <-s.kick:
		}
	}
}

// Applied returns the number of the last change that all handles follow: one that the store
// told of by then has its effect on whoever looks at a principal from now on.
func (s *Service) Applied() int64 { return s.applied.Load() }

func (s *Service) pollNow() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// setAway says why the store cannot be asked; nil when it has just answered.
func (s *Service) setAway(err error) {
	s.mu.Lock()
	was := s.away
	s.away = err
	if err == nil {
		s.asked, s.answered = true, time.Now()
	}
	s.mu.Unlock()
	switch {
	case was == nil && err != nil:
		s.log.Warn("the key store cannot be asked: only cached keys are let in", "error", err)
	case was != nil && err == nil:
		s.log.Info("the key store answers again")
	}
}

// follower is the part of the service that follows changes, on one goroutine.
type follower struct {
	s     *Service
	seq   int64
	again map[*entry]int // changed keys still to be read, and how often the store failed to
}

// poll takes over what has changed, until there is no more.
func (f *follower) poll(ctx context.Context) {
	for ctx.Err() == nil {
		c, err := f.changes(ctx)
		if err != nil {
			if ctx.Err() == nil {
				f.s.setAway(err)
			}
			return
		}
		f.s.setAway(nil)
		more := c.Seq > f.seq
		f.refresh(ctx, f.suspects(c))
		f.seq = c.Seq
		for _, label := range c.Deleted {
			f.s.onDeleted(label)
		}
		for _, id := range c.Sessions {
			f.s.onSessionEnd(id)
		}
		if len(f.again) == 0 {
			f.s.applied.Store(c.Seq)
		}
		if !more {
			f.s.onMoves(c.Moves)
			return
		}
	}
}

func (f *follower) changes(ctx context.Context) (tenant.Changes, error) {
	ctx, cancel := context.WithTimeout(ctx, f.s.cfg.LookupTimeout)
	defer cancel()
	return call(ctx, f.s.polls, func(ctx context.Context) (tenant.Changes, error) {
		return f.s.store.Changes(ctx, f.seq)
	})
}

// suspects returns the entries that have to be read again. Look-ups on their way,
// which may have read what was before the change, are told to ask again.
func (f *follower) suspects(c tenant.Changes) []*entry {
	s := f.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(c.Keys) > 0 || !c.Complete || c.Seq < f.seq {
		s.certified.forget()
	}
	all := map[*entry]struct{}{}
	for e := range f.again {
		all[e] = struct{}{}
	}
	// A sequence that went back is another history: the store was replaced.
	if !c.Complete || c.Seq < f.seq {
		s.unknown.clear()
		for _, fl := range s.flights {
			fl.stale = true
		}
		for _, w := range s.index {
			all[w.Value()] = struct{}{}
		}
	}
	for _, id := range c.Keys {
		s.unknown.remove(id)
		if fl := s.flights[id]; fl != nil {
			fl.stale = true
		}
		all[s.index[id].Value()] = struct{}{}
	}
	delete(all, nil)
	list := make([]*entry, 0, len(all))
	for e := range all {
		list = append(list, e)
	}
	return list
}

// refresh reads entries again, a few at once. It stops when the store hangs; what
// was not read is left for the next poll.
func (f *follower) refresh(ctx context.Context, entries []*entry) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	errs := make([]error, len(entries))
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(maxRefreshes, len(entries)) {
		wg.Go(func() {
			for i := range next {
				errs[i] = f.s.reread(ctx, entries[i], stop)
			}
		})
	}
	for i := range entries {
		next <- i
	}
	close(next)
	wg.Wait()
	for i, e := range entries {
		f.settle(e, errs[i])
	}
	if err := context.Cause(ctx); errors.Is(err, context.DeadlineExceeded) {
		f.s.setAway(err)
	}
}

// settle decides what becomes of a changed entry. While the store is away the old one
// stays. When the store answers, but twice not about this key, it ends: it may
// have been revoked.
func (f *follower) settle(e *entry, err error) {
	switch {
	case err == nil:
		delete(f.again, e)
	case errors.Is(err, errNotRead):
		f.again[e] += 0
	case f.again[e] == 0:
		f.again[e] = 1
		f.s.log.Warn("a changed key cannot be read: trying again", "key", e.id, "error", err)
	default:
		delete(f.again, e)
		f.s.log.Error("a changed key cannot be read: its sessions end", "key", e.id, "error", err)
		f.s.drop(e)
	}
}

// reread brings e up to date. It calls hung, and returns errNotRead, when the store
// does not answer in time.
func (s *Service) reread(ctx context.Context, e *entry, hung context.CancelCauseFunc) error {
	if ctx.Err() != nil {
		return errNotRead
	}
	asking, cancel := context.WithTimeout(ctx, s.cfg.LookupTimeout)
	defer cancel()
	g, err := call(asking, s.refreshes, func(ctx context.Context) (tenant.Grant, error) {
		return s.store.Grant(ctx, e.id)
	})
	switch {
	case errors.Is(err, tenant.ErrNotFound):
		s.drop(e)
		return nil
	case err != nil && asking.Err() != nil:
		hung(asking.Err())
		return errNotRead
	case err != nil:
		return err
	}
	read := s.read(g)
	s.mu.Lock()
	var changed []*Handle
	if !e.gone {
		changed = s.update(e, read, time.Now())
	}
	s.mu.Unlock()
	s.tell(changed)
	return nil
}

func (s *Service) drop(e *entry) {
	s.mu.Lock()
	ended := s.remove(e)
	s.mu.Unlock()
	s.tell(ended)
}

func (s *Service) tell(changed []*Handle) {
	for _, h := range changed {
		s.onChange(h)
	}
}

// watchClock ends keys whose time has come, also while the store hangs.
func (s *Service) watchClock(ctx context.Context) {
	t := time.NewTicker(s.cfg.PollInterval)
	defer t.Stop()
	swept := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		now := time.Now()
		s.tell(s.expire(now))
		s.tell(s.tooStale(now))
		if now.Sub(swept) >= sweepInterval {
			s.sweep()
			swept = now
		}
	}
}

// expire ends the handles of the keys that have expired, and of secrets whose time is over.
func (s *Service) expire(now time.Time) (ended []*Handle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nextExpiry.IsZero() || now.Before(s.nextExpiry) {
		return nil
	}
	s.nextExpiry = time.Time{}
	for _, w := range s.index {
		e := w.Value()
		switch {
		case e == nil || !e.live():
		case e.expired(now):
			e.lapsed = true
			ended = append(ended, e.end()...)
		default:
			ended = append(ended, e.endOverlap(now)...)
			s.expireBy(e.nextEnd())
		}
	}
	return ended
}

// sweep forgets the entries that have fallen out of the cache and that no
// session has.
func (s *Service) sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, w := range s.index {
		if w.Value() == nil {
			delete(s.index, id)
		}
	}
}
