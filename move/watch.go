package move

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// How often the mover says that it lives, and looks what proxies say: while clients are
// served, and while they wait.
const (
	watchInterval = 250 * time.Millisecond
	holdInterval  = 20 * time.Millisecond
)

// watch keeps a move alive in the store, and knows what proxies say of it. It is safe for
// concurrent use.
type watch struct {
	cancel  context.CancelCauseFunc
	ended   chan struct{}
	mu      sync.Mutex
	cause   error // why it has ended by itself
	reports tenant.MoveReports
	heard   map[string]beat // by proxy
	round   chan struct{}   // closed when there is news

	interval atomic.Int64 // nanoseconds
}

// beat is when a proxy was heard of last.
type beat struct {
	n  int64
	at time.Time
}

var errOver = errors.New("the move was ended by a proxy that had not heard of it for too long, or by somebody else")

// startWatch begins it. The context that it returns ends when the move does.
func startWatch(ctx context.Context, st *store.Store, token string) (context.Context, *watch) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watch{cancel: cancel, ended: make(chan struct{}), heard: map[string]beat{}, round: make(chan struct{})}
	w.every(watchInterval)
	go w.run(ctx, st, token)
	return ctx, w
}

// every has the watch look that often from the next time on.
func (w *watch) every(d time.Duration) { w.interval.Store(int64(d)) }

func (w *watch) stop() {
	w.cancel(nil)
	<-w.ended
}

// why is what has ended the move, where that is the cause of an error.
func (w *watch) why(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cause != nil {
		return w.cause
	}
	return err
}

func (w *watch) run(ctx context.Context, st *store.Store, token string) {
	defer close(w.ended)
	last := time.Now()
	for {
		asking, cancel := context.WithTimeout(ctx, tenant.MoverSilence/2)
		asked := time.Now()
		r, err := st.WatchMove(asking, token)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			last = asked
			w.take(r, time.Now())
		case errors.Is(err, tenant.ErrNotFound):
			w.fail(errOver)
			return
		case time.Since(last) > tenant.MoverSilence:
			w.fail(fmt.Errorf("the store cannot be asked: %w", err))
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(w.interval.Load())):
		}
	}
}

func (w *watch) fail(err error) {
	w.mu.Lock()
	w.cause = err
	w.mu.Unlock()
	w.cancel(err)
}

// take notes what proxies say. Who was heard of is so from now on, when the mover knows, and not from
// when that was: clocks of others count for nothing.
func (w *watch) take(r tenant.MoveReports, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reports = r
	for _, p := range r.Proxies {
		if b, ok := w.heard[p.ID]; !ok || b.n != p.Beat {
			w.heard[p.ID] = beat{p.Beat, now}
		}
	}
	close(w.round)
	w.round = make(chan struct{})
}

// next waits for the next news, and returns it with those proxies that have been silent for
// so long that they do not serve the instance any more, if they ever knew of the move.
func (w *watch) next(ctx context.Context) (r tenant.MoveReports, silent map[string]bool, err error) {
	w.mu.Lock()
	round := w.round
	w.mu.Unlock()
	select {
	case <-ctx.Done():
		return r, nil, because(ctx, ctx.Err())
	case <-round:
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	silent = map[string]bool{}
	for id, b := range w.heard {
		// A quarter more than the lease, for clocks that do not run alike.
		silent[id] = time.Since(b.at) > tenant.MoveLease*5/4+tenant.MoveGrace
	}
	return w.reports, silent, nil
}

// fresh reports whether a proxy has just been heard of.
func (w *watch) fresh(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	b, ok := w.heard[id]
	return ok && time.Since(b.at) < time.Second
}
