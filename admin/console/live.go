package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/respgate/respgate/admin/control"
)

const (
	// maxWatchers bounds how many live pictures are open at once: a quarter of the HTTP
	// connections that there may be.
	maxWatchers = 64
	// maxWatchersOfOne bounds how many of them one user has, who must not keep out all others.
	maxWatchersOfOne = 16
	// eventTimeout is how long a browser may take to take an event.
	eventTimeout = 10 * time.Second
	// reconnect is when a browser asks again whose stream has ended, in milliseconds.
	reconnect = 3000
)

var errWatchers = failure{status: http.StatusServiceUnavailable, Title: "Too many are watching", What: "As many live pictures are open as there can be.",
	Next: "Close some of them, or try again later.", retrySecond: 5}

// watchers are the live pictures that are open. It is safe for concurrent use.
type watchers struct {
	mu     sync.Mutex
	open   int
	of     map[string]int // how many by user's id, if any
	closed chan struct{}
	close  func()
}

func newWatchers() *watchers {
	w := &watchers{of: map[string]int{}, closed: make(chan struct{})}
	w.close = sync.OnceFunc(func() { close(w.closed) })
	return w
}

// enter makes room for one of a user's, "" is the operator without an id, and reports whether
// there was any. Who has entered leaves.
func (w *watchers) enter(userID string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open >= maxWatchers || userID != "" && w.of[userID] >= maxWatchersOfOne {
		return false
	}
	w.open++
	w.of[userID]++
	return true
}

func (w *watchers) leave(userID string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open--
	if w.of[userID]--; w.of[userID] == 0 {
		delete(w.of, userID)
	}
}

// until returns a context that ends with parent, or when no more is to be watched. Its
// cancel waits for what it has begun.
func (w *watchers) until(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	var wait sync.WaitGroup
	wait.Go(func() {
		select {
		case <-w.closed:
			cancel()
		case <-ctx.Done():
		}
	})
	return ctx, func() { cancel(); wait.Wait() }
}

// Close ends the live pictures, which would never end by themselves, and opens no more.
func (c *Console) Close() { c.watchers.close() }

// events sends an instance's picture, and goes on with each new point, for as long as who
// looks is signed in and may see it (https://html.spec.whatwg.org/multipage/server-sent-events.html).
func (v *visit) events() (*page, error) {
	if v.r.Method == http.MethodHead {
		return nil, errMethod
	}
	who := v.actor.User.ID
	if !v.watchers.enter(who) {
		return nil, errWatchers
	}
	defer v.watchers.leave(who)
	ctx, cancel := v.watchers.until(v.r.Context())
	defer cancel()
	out := http.NewResponseController(v.w)
	begun, operator := false, v.actor.Operator()
	for p, err := range v.control.Watch(ctx, v.actor, v.r.PathValue("org"), v.r.PathValue("instance")) {
		if err == nil && begun {
			err = v.session()
		}
		switch {
		case err != nil && !begun:
			return nil, err
		case err != nil || v.secret == "" || v.actor.Operator() != operator:
			return nil, nil // the browser asks again, and is told why
		case !begun:
			begun = true
			v.w.Header().Set("Content-Type", "text/event-stream")
			v.w.Header().Set("X-Accel-Buffering", "no") // of nginx, where there is one
			_, _ = fmt.Fprintf(v.w, "retry: %d\n\n", reconnect)
		}
		_ = out.SetWriteDeadline(v.cfg.Now().Add(eventTimeout))
		if err := send(v.w, p); err != nil {
			return nil, nil // the browser has gone
		}
		if err := out.Flush(); err != nil {
			return nil, nil
		}
	}
	return nil, nil
}

func send(w http.ResponseWriter, p control.Picture) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "data: %s\n\n", text)
	return err
}
