package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/respgate/respgate/admin"
	"github.com/respgate/respgate/metrics"
)

// httpStopTimeout bounds how long the HTTP side finishes what it was asked.
const httpStopTimeout = 2 * time.Second

// newHandler returns what answers HTTP requests with this configuration.
func (s *server) newHandler(cfg Config) http.Handler {
	return admin.New(admin.Config{
		AdminToken:   cfg.HTTP.AdminToken,
		MetricsToken: cfg.HTTP.MetricsToken,
		Pprof:        cfg.HTTP.Pprof,
		API:          s.api,
		Console:      s.console,
	}, s.health, scrapes(s.registry, s.log), s.metrics, s.log)
}

// maxScrapes is how many scrapes are answered at once: those of two Prometheis and of two
// people who look. A Prometheus gives up and asks again while the answer is still being made:
// without a bound a proxy that has little of the processor would be left with less and less.
const maxScrapes = 4

// scrapes answers with what is in a registry. Beyond maxScrapes the answer is 503.
func scrapes(from prometheus.Gatherer, log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(from, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelError),
		EnableOpenMetrics:   true, // without it there are no exemplars
		MaxRequestsInFlight: maxScrapes,
	})
}

// swapHandler serves with the handler that was set last.
type swapHandler struct{ current atomic.Pointer[http.Handler] }

func (h *swapHandler) set(next http.Handler) { h.current.Store(&next) }

// ServeHTTP implements http.Handler.
func (h *swapHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	(*h.current.Load()).ServeHTTP(w, r)
}

// httpConns are the connections over HTTP: most at once. It is safe for concurrent use.
type httpConns struct {
	net.Listener
	*server
	most     int64
	open     atomic.Int64
	refusing spell
}

// Accept implements net.Listener. Connections beyond the bound it closes.
func (c *httpConns) Accept() (net.Conn, error) {
	for {
		nc, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c.open.Add(1) <= c.most {
			c.refusing.ends()
			return nc, nil
		}
		c.open.Add(-1)
		_ = nc.Close()
		c.metrics.Refused(metrics.RefusedHTTP)
		if c.refusing.begins(time.Now()) {
			c.log.Warn("HTTP connections are refused: too many are open", "connections", c.most)
		}
	}
}

// follow is told what becomes of a connection that was accepted.
func (c *httpConns) follow(_ net.Conn, state http.ConnState) {
	if state == http.StateClosed || state == http.StateHijacked {
		c.open.Add(-1)
	}
}

// ServeHTTP implements http.Handler. When half of the connections are in use, none is kept
// for a next request: who keeps many would keep others out.
func (c *httpConns) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c.open.Load() > c.most/2 {
		w.Header().Set("Connection", "close")
	}
	c.handler.ServeHTTP(w, r)
}

// serveHTTP returns what starts the HTTP side and what stops it, each of which may be called
// more than once.
func (s *server) serveHTTP() (start, stop func()) {
	conns := &httpConns{Listener: s.listeners.http, server: s, most: int64(s.has.httpConnections())}
	srv := admin.NewServer(conns, s.log)
	srv.ConnState = conns.follow
	done := make(chan struct{})
	start = sync.OnceFunc(func() {
		go func() {
			defer close(done)
			if err := srv.Serve(secured(conns, s.certs.config("http"))); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
				s.log.Error("HTTP stopped", "error", err)
			}
		}()
	})
	stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), httpStopTimeout)
		defer cancel()
		// Shutdown drops what is asked from now on over connections that are there: they are
		// let ask first.
		_ = s.listeners.http.Close()
		start() // it ends at once, if it has not been started
		<-done
		srv.SetKeepAlivesEnabled(false)
		if s.console != nil {
			s.console.Close() // what it streams would never end
		}
		waitUntil(ctx, func() bool { return conns.open.Load() == 0 })
		if err := srv.Shutdown(ctx); err != nil {
			_ = srv.Close()
		}
	})
	return start, stop
}

// waitUntil returns true once done does, or false when ctx ends before.
func waitUntil(ctx context.Context, done func() bool) bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return done()
		case <-tick.C:
		}
	}
	return true
}
