package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/respgate/respgate/admin"
	"github.com/respgate/respgate/admin/api"
	"github.com/respgate/respgate/admin/console"
	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/admin/picture"
	"github.com/respgate/respgate/auth"
	"github.com/respgate/respgate/health"
	"github.com/respgate/respgate/internal/bare"
	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/proxy"
	"github.com/respgate/respgate/ratelimit"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
	"github.com/respgate/respgate/tracing"
)

func (a *app) serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the proxy until SIGTERM or SIGINT, then let clients finish",
		Long: "serve runs the proxy. SIGTERM or SIGINT has it take no new clients, let those that are\n" +
			"there finish for up to shutdown.drain_timeout, and exit 0; a second one ends it at once.\n" +
			"SIGHUP, and a change of the configuration file, have it read the configuration again.\n" +
			"With reuse_port: true, a second serve takes the listeners over from the first.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			file := cmp.Or(a.configFile, os.Getenv("RESPGATE_CONFIG"))
			hup := make(chan os.Signal, 1)
			signal.Notify(hup, syscall.SIGHUP)
			defer signal.Stop(hup)
			from := &origin{file: file, version: fileVersion(file), hup: hup}
			cfg, err := loadConfig(file)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), cfg, newLogger(cfg.Log.Format, a.stderr), from, nil)
		},
	}
}

// server is one running proxy.
type server struct {
	id        string                 // of this proxy
	cfg       Config                 // as it was at the start
	config    atomic.Pointer[Config] // as it is in effect
	log       *slog.Logger
	level     *slog.LevelVar // from which on the log has lines
	lines     *lineLimiter
	sampled   *proxy.Sampled // which commands it has
	has       resources
	registry  *prometheus.Registry
	metrics   *metrics.Metrics
	tracer    *tracing.Tracer // nil: nothing is traced
	health    *health.Health
	checks    checks
	listeners listeners
	certs     *certificates
	audit     *auditFile // nil: none
	api       *api.API   // nil until the store is there, as control and console
	control   *control.Service
	console   *console.Console
	handler   swapHandler
}

// serve runs a proxy until ctx ends, and then drains it. from is where its configuration
// may be read again, nil when that is not to be. started, which may be nil, is called once
// it is ready for clients. Of the lines that log gets, those below the configuration's level
// and many that are alike are left out.
func serve(ctx context.Context, cfg Config, log *slog.Logger, from *origin, started func(listeners)) error {
	level := new(slog.LevelVar)
	level.Set(cfg.Log.slogLevel())
	log, lines := limitLines(log, level, time.Now)
	defer func() { _ = lines.settle(true) }()
	ls, err := openListeners(ctx, cfg, log)
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
	m.Bound(cfg.Metrics.MaxTenants, time.Now)
	m.SetResources(has.memory, has.cpus)
	m.SetRegion(cfg.Region)
	m.Expect(auth.Reasons(), store.QueryNames(), admin.Paths())
	m.ExpectSpans(tracing.Reasons(), tracing.DropReasons())
	m.ExpectClientCertificates(auth.CertificateResults())
	for _, c := range []prometheus.Collector{collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
		if err := registry.Register(c); err != nil {
			return err
		}
	}
	for _, warning := range append(cfg.warnings(), has.warnings(cfg.Limits)...) {
		log.Warn(warning)
	}
	id := auth.RandomText(proxyIDLength)
	tracer, err := newTracer(ctx, cfg, id, m, log)
	if err != nil {
		return err
	}
	if tracer != nil {
		defer tracer.Close()
		log = slog.New(tracing.Logs(log.Handler()))
	}
	certs, err := loadCertificates(cfg, m, log)
	if err != nil {
		return err
	}
	file, err := openAuditFile(cfg.Audit.File, os.Stdout)
	if err != nil {
		return err
	}
	defer func() { _ = file.close() }()
	m.WatchLog(lines.left.Load)
	s := &server{cfg: cfg, id: id, tracer: tracer, audit: file, log: log, level: level, lines: lines, has: has, registry: registry, metrics: m, listeners: ls, certs: certs}
	s.config.Store(&cfg)
	m.ConfigRead(time.Now())
	s.health = health.New(time.Now, checkTimeout, s.checks.all(cfg.RateLimit.SharedURL != ""))
	s.handler.set(s.newHandler(cfg))
	return s.run(ctx, from, started)
}

// run has the parts of the proxy follow each other up, and down again in the
// opposite order.
func (s *server) run(ctx context.Context, from *origin, started func(listeners)) (err error) {
	startHTTP, stopHTTP := s.serveHTTP()
	defer stopHTTP()
	if s.listeners.from == nil {
		startHTTP() // else the predecessor answers until this process is ready
	}
	st, err := s.openStore(ctx)
	if err != nil || st == nil {
		return err
	}
	defer func() {
		stopHTTP() // what is asked over it has connections that Close waits for
		err = errors.Join(err, st.Close())
	}()

	// What runs in the background outlives ctx: draining clients need it.
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var tasks sync.WaitGroup
	defer func() { cancel(); tasks.Wait() }()

	service, err := auth.New(auth.Config{}, st, keyObserver{s.metrics}, s.log)
	if err != nil {
		return err
	}
	service.SetMaxStale(s.cfg.Store.MaxStale)
	s.metrics.WatchStore(service.Stale, st.Stats)
	limiters, shared, err := newLimiters(s.cfg, s.id, s.metrics, s.log)
	if err != nil {
		return err
	}
	data, err := newDataPlane(background, s.id, s.tracer, s.cfg, s.has, service, limiters, s.metrics, s.log)
	if err != nil {
		return err
	}
	s.checks.know(st, service, shared)
	events := newTrail(st, s.audit, s.metrics, s.log)
	pictures := picture.New(s.metrics, data.Proxy())
	s.manage(st, data, events, pictures)
	s.operate(st, data)
	keeper := newKeeper(tenant.Proxy{ID: s.id, Region: s.cfg.Region, StartedAt: time.Now()}, st, data, service.Applied, service.Poll, s.log)
	service.OnMoves(keeper.told)
	s.knowTenants(ctx, st)
	for _, task := range s.tasks(from, parts{st, service, limiters, shared, data, events, pictures}) {
		tasks.Go(func() { task(background) })
	}
	data.start()
	defer data.stop()
	if !keeper.register(ctx) {
		return nil
	}
	tasks.Go(func() { keeper.run(background) })
	if !s.becomeReady(ctx) {
		return nil // a predecessor serves on
	}
	startHTTP()
	s.accept(ctx, data, stopHTTP, started)
	s.drain(data)
	return nil
}

// parts are what a server is made of.
type parts struct {
	store    *store.Store
	auth     *auth.Service
	limiters *ratelimit.Registry
	shared   *sharedLimits
	data     *dataPlane
	trail    *trail
	pictures *picture.Sampler
}

// tasks are what runs in the background until all clients have left.
func (s *server) tasks(from *origin, p parts) []func(context.Context) {
	return append(s.books(p.trail, p.store, p.auth, p.data),
		func(ctx context.Context) { _ = p.auth.Run(ctx) },
		func(ctx context.Context) { p.store.Follow(ctx, p.auth.Poll) },
		func(ctx context.Context) { every(ctx, time.Minute, func() { p.limiters.Sweep(time.Now()) }) },
		p.shared.run,
		func(ctx context.Context) { s.watchInstances(ctx, p.store, p.data) },
		func(ctx context.Context) { s.sweep(ctx, p.store) },
		p.pictures.Run,
		s.lines.run,
		p.data.watchMemory,
		p.data.book.Run,
		s.certs.watch,
		func(ctx context.Context) {
			if from != nil {
				s.followConfig(ctx, from, s.stages(p.data, p.auth, p.limiters))
			}
		},
	)
}

// knowTenants has the metrics have all instances' series from the start.
func (s *server) knowTenants(ctx context.Context, st *store.Store) {
	if instances, err := st.Instances(ctx, "", store.Page{}); err == nil {
		for _, in := range instances {
			s.metrics.AddTenant(in.Label())
		}
	}
}

// becomeReady returns true once /health/ready says so too: the store may have opened and not
// have told yet what has changed in it. False is that ctx has ended before.
func (s *server) becomeReady(ctx context.Context) bool {
	s.health.SetState(health.Ready)
	return waitUntil(ctx, func() bool {
		ready, _ := s.health.Ready(ctx)
		return ready
	})
}

// openStore opens the store. While it is away the proxy waits for it, not ready, and says so in the metrics;
// a configuration that can never work is an error. It returns nil when ctx ends.
func (s *server) openStore(ctx context.Context) (*store.Store, error) {
	began := time.Now()
	s.metrics.WatchStore(func() time.Duration { return time.Since(began) }, func() tenant.Connections { return tenant.Connections{} })
	for wait := time.Second; ; wait = min(2*wait, 15*time.Second) {
		st, err := openStore(ctx, s.cfg, queries{s.metrics, s.tracer})
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
func (o keyObserver) Certificate(result string) { o.m.ClientCertificate(result) }

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

// newLogger writes lines of all levels: serve leaves out what is below the one wanted.
func newLogger(format string, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: slog.LevelDebug}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
