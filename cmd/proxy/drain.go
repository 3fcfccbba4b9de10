package main

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/respgate/respgate/health"
)

// errSucceeded is why a proxy ends whose successor has its listeners.
var errSucceeded = errors.New("a successor has taken over")

// drainReport is how often the log says how many clients are left.
const drainReport = 5 * time.Second

// accept serves clients until ctx ends, or a successor has taken over.
func (s *server) accept(ctx context.Context, data *dataPlane, stopHTTP func(), started func(listeners)) {
	ctx, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	var accepting sync.WaitGroup
	accepting.Go(func() { data.accept(ctx, s.listeners.resp, nil) })
	if s.listeners.tls != nil {
		accepting.Go(func() { data.accept(ctx, s.listeners.tls, s.certs.config("tls")) })
	}
	s.log.Info("ready", "listen", s.listeners.resp.Addr().String(), "http", s.listeners.http.Addr().String(), "loops", len(data.lanes),
		"memory_bytes", data.account.Bound(), "version", buildInfo().Version, "region", s.cfg.Region)
	s.tellSupervisor(daemon.SdNotifyReady)
	if started != nil {
		started(s.listeners)
	}
	closed := make(chan struct{})
	if s.cfg.ReusePort {
		accepting.Go(func() { s.succession(ctx, func() { leave(errSucceeded); <-closed }) })
	}
	<-ctx.Done()
	s.stopAccepting(ctx, stopHTTP)
	close(closed)
	accepting.Wait()
}

// stopAccepting says that this process is not ready, and closes the listeners. A load
// balancer that has yet to notice is given shutdown.delay; a successor is there already, and
// what is asked over HTTP is its to answer.
func (s *server) stopAccepting(ctx context.Context, stopHTTP func()) {
	if errors.Is(context.Cause(ctx), errSucceeded) {
		stopHTTP()
	}
	s.tellSupervisor(daemon.SdNotifyStopping)
	s.health.SetState(health.Draining)
	s.metrics.Draining(time.Now())
	if delay := s.config.Load().Shutdown.Delay; delay > 0 && !errors.Is(context.Cause(ctx), errSucceeded) {
		s.log.Info("not ready: clients are accepted until load balancers have noticed", "delay", delay)
		<-time.After(delay)
	}
	for _, ln := range []net.Listener{s.listeners.resp, s.listeners.tls} {
		if ln != nil {
			_ = ln.Close()
		}
	}
}

// drain lets clients finish.
func (s *server) drain(data *dataPlane) {
	timeout := s.config.Load().Shutdown.DrainTimeout
	s.log.Info("draining", "clients", data.clients.Load(), "timeout", timeout)
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	var reports sync.WaitGroup
	reports.Go(func() {
		every(ctx, drainReport, func() { s.log.Info("draining: clients are left", "clients", data.clients.Load()) })
	})
	left := data.drain(ctx)
	cancel()
	reports.Wait()
	if left > 0 {
		s.log.Warn("drain timed out: closing the remaining clients", "clients", left, "timeout", timeout)
	}
	s.log.Info("stopped")
}
