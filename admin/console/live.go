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
	// eventTimeout is how long a browser may take to take an event.
	eventTimeout = 10 * time.Second
	// reconnect is when a browser asks again whose stream has ended, in milliseconds.
	reconnect = 3000
)

var errWatchers = failure{status: http.StatusServiceUnavailable, Title: "Too many are watching", What: "As many live pictures are open as there can be.",
	Next: "Close some of them, or try again later.", retrySecond: 5}

// watchers are the live pictures that are open. It is safe for concurrent use.
type watchers struct {
	free   chan struct{}
	closed chan struct{}
	close  func()
}

func newWatchers() *watchers {
	w := &watchers{free: make(chan struct{}, maxWatchers), closed: make(chan struct{})}
	w.close = sync.OnceFunc(func() { close(w.closed) })
	return w
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
	select {
	case v.watchers.free <- struct{}{}:
		defer func() { <-v.watchers.free }()
	default:
		return nil, errWatchers
	}
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
