package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"

	"github.com/respgate/respgate/admin"
	"github.com/respgate/respgate/auth"
	"github.com/respgate/respgate/health"
	"github.com/respgate/respgate/internal/bare"
	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/ratelimit"
	"github.com/respgate/respgate/store"
)

func (a *app) serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the proxy until SIGTERM or SIGINT, then let clients finish",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(a.configFile)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), cfg, newLogger(cfg.Log, a.stderr), nil)
		},
	}
}

// server is one running proxy.
type server struct {
	cfg       Config
	log       *slog.Logger
	has       resources
	registry  *prometheus.Registry
	metrics   *metrics.Metrics
	health    *health.Health
	checks    checks
	listeners listeners
}

// listeners are open from the very start, so that a taken port is found before
// anything else happens.
type listeners struct {
	resp, tls, http net.Listener // tls may be nil
	tlsConfig       *tls.Config
}

// serve runs a proxy until ctx ends, and then drains it. started, which may be nil,
// is called once it is ready for clients.
func serve(ctx context.Context, cfg Config, log *slog.Logger, started func(listeners)) error {
	ls, err := openListeners(ctx, cfg)
	if err != nil {
		return err
	}
	defer ls.close()
	has := available(os.DirFS("/"))
	tuneGC(has.memory)
	if bare.On {
		log.Warn("this build goes without policy, limits and metrics: it is for measuring only")
	}
	registry := prometheus.NewRegistry()
	b := buildInfo()
	m, err := metrics.New(registry, cfg.EventLoops(), b.Version, b.Commit)
	if err != nil {
		return err
	}
	m.Expect(auth.Reasons(), store.QueryNames(), admin.Paths())
	for _, c := range []prometheus.Collector{collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
		if err := registry.Register(c); err != nil {
			return err
		}
	}
	for _, warning := range append(cfg.warnings(), has.warnings(cfg.Limits)...) {
		log.Warn(warning)
	}
	s := &server{cfg: cfg, log: log, has: has, registry: registry, metrics: m, listeners: ls}
	s.health = health.New(time.Now, checkTimeout, s.checks.all())
	return s.run(ctx, started)
}

func openListeners(ctx context.Context, cfg Config) (ls listeners, err error) {
	if ls.tlsConfig, err = cfg.TLS.load(); err != nil {
		return ls, err
	}
	for _, l := range []struct {
		key, addr string
		to        *net.Listener
	}{{"listen", cfg.Listen, &ls.resp}, {"http.listen", cfg.HTTP.Listen, &ls.http}, {"tls.listen", cfg.TLS.Listen, &ls.tls}} {
		if l.addr == "" {
			continue
		}
		if *l.to, err = listen(ctx, l.key, l.addr); err != nil {
			ls.close()
			return ls, err
		}
	}
	return ls, nil
}

// close closes them all; it may be called twice.
func (ls listeners) close() {
	for _, l := range []net.Listener{ls.resp, ls.tls, ls.http} {
		if l != nil {
			_ = l.Close()
		}
	}
}

// run has the parts of the proxy follow each other up, and down again in the
// opposite order.
func (s *server) run(ctx context.Context, started func(listeners)) (err error) {
	stopHTTP := s.serveHTTP()
	defer stopHTTP()
	st, err := s.openStore(ctx)
	if err != nil || st == nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()

	// What runs in the background outlives ctx: draining clients need it.
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var tasks sync.WaitGroup
	defer func() { cancel(); tasks.Wait() }()

	service, err := auth.New(auth.Config{}, st, keyObserver{s.metrics}, s.log)
	if err != nil {
		return err
	}
	limiters := ratelimit.New(ratelimit.Defaults{RPS: s.cfg.RateLimit.DefaultRPS, Burst: s.cfg.RateLimit.DefaultBurst})
	data, err := newDataPlane(background, s.cfg, s.has, service, limiters, s.metrics, s.log)
	if err != nil {
		return err
	}
	s.checks.know(st, service)
	if instances, err := st.Instances(ctx, ""); err == nil {
		for _, in := range instances {
			s.metrics.AddTenant(in.Label())
		}
	}
	for _, task := range []func(context.Context){
		func(ctx context.Context) { _ = service.Run(ctx) },
		func(ctx context.Context) { every(ctx, time.Minute, func() { limiters.Sweep(time.Now()) }) },
		func(ctx context.Context) { s.watchInstances(ctx, st, data.dialer) },
		data.watchMemory,
	} {
		tasks.Go(func() { task(background) })
	}
	data.start()
	defer data.stop()
	s.accept(ctx, data, started)
	return s.drain(data)
}

// accept serves clients until ctx ends.
func (s *server) accept(ctx context.Context, data *dataPlane, started func(listeners)) {
	var accepting sync.WaitGroup
	accepting.Go(func() { data.accept(ctx, s.listeners.resp, nil) })
	if s.listeners.tls != nil {
		accepting.Go(func() { data.accept(ctx, s.listeners.tls, s.listeners.tlsConfig) })
	}
	s.health.SetState(health.Ready)
	s.log.Info("ready", "listen", s.listeners.resp.Addr().String(), "http", s.listeners.http.Addr().String(), "loops", len(data.lanes),
		"memory_bytes", data.account.Bound(), "version", buildInfo().Version)
	if started != nil {
		started(s.listeners)
	}
	<-ctx.Done()
	s.health.SetState(health.Draining)
	_ = s.listeners.resp.Close()
	if s.listeners.tls != nil {
		_ = s.listeners.tls.Close()
	}
	accepting.Wait()
}

func (s *server) drain(data *dataPlane) error {
	s.log.Info("draining", "clients", data.clients.Load(), "timeout", s.cfg.Shutdown.DrainTimeout)
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Shutdown.DrainTimeout)
	defer cancel()
	if left := data.drain(ctx); left > 0 {
		s.log.Warn("drain timed out: closing the remaining clients", "clients", left, "timeout", s.cfg.Shutdown.DrainTimeout)
	}
	s.log.Info("stopped")
	return nil
}

// serveHTTP starts the HTTP side and returns what stops it.
func (s *server) serveHTTP() (stop func()) {
	handler := admin.New(admin.Config{
		AdminToken:   s.cfg.HTTP.AdminToken,
		MetricsToken: s.cfg.HTTP.MetricsToken,
		Pprof:        s.cfg.HTTP.Pprof,
	}, s.health, promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelError)}), s.metrics, s.log)
	srv := admin.NewServer(handler, s.log)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := srv.Serve(s.listeners.http); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("HTTP stopped", "error", err)
		}
	}()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), httpStopTimeout)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			_ = srv.Close()
		}
		<-done
	}
}

const httpStopTimeout = 2 * time.Second

// openStore opens the store. While it is away the proxy waits for it, not ready;
// a configuration that can never work is an error. It returns nil when ctx ends.
func (s *server) openStore(ctx context.Context) (*store.Store, error) {
	for wait := time.Second; ; wait = min(2*wait, 15*time.Second) {
		st, err := openStore(ctx, s.cfg, s.metrics)
		switch {
		case err == nil:
			return st, nil
		case ctx.Err() != nil:
			return nil, nil
		case errors.Is(err, store.ErrInvalid):
			return nil, err
		}
		s.log.Error("store cannot be opened: waiting for it", "error", err, "next_try_in", wait)
		select {
		case <-ctx.Done():
			return nil, nil
		case <-time.After(wait):
		}
	}
}

// keyObserver counts authentications.
type keyObserver struct{ m *metrics.Metrics }

func (o keyObserver) Request() { o.m.KeyRequest() }
func (o keyObserver) Failure(reason, throttledBy string) {
	o.m.KeyFailure(reason)
	if throttledBy != "" {
		o.m.GuessThrottled(throttledBy)
	}
}

// every calls fn at each interval until ctx ends.
func every(ctx context.Context, interval time.Duration, fn func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			fn()
		}
	}
}

func newLogger(cfg LogConfig, w interface{ Write([]byte) (int, error) }) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Level)); err != nil {
		panic(fmt.Sprintf("log.level was not checked: %v", err))
	}
	options := &slog.HandlerOptions{Level: level}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
