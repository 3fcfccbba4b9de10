package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/tracing"
)

// TracingConfig is where spans go, nowhere while Endpoint is "", and of which commands they
// are made.
type TracingConfig struct {
	Endpoint    string
	Protocol    string // grpc or http
	SampleRatio float64
	Slow        time.Duration
}

func (c TracingConfig) sampling() tracing.Sampling {
	return tracing.Sampling{Ratio: c.SampleRatio, Slow: c.Slow}
}

// check says what is wrong with where spans are to go.
func (c TracingConfig) check() error {
	if c.Endpoint == "" {
		return nil
	}
	if err := tracing.CheckEndpoint(c.Endpoint, c.Protocol); err != nil {
		return fmt.Errorf("tracing.endpoint: %w", err)
	}
	return nil
}

// newTracer returns what traces for the proxy with that id; nil when nothing does.
func newTracer(ctx context.Context, cfg Config, id string, m *metrics.Metrics, log *slog.Logger) (*tracing.Tracer, error) {
	if cfg.Tracing.Endpoint == "" {
		return nil, nil
	}
	t, err := tracing.New(ctx, tracing.Config{
		Endpoint: cfg.Tracing.Endpoint, Protocol: cfg.Tracing.Protocol, Sampling: cfg.Tracing.sampling(),
		Version: buildInfo().Version, Instance: id, Store: cfg.Store.Driver,
	}, m, log)
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	return t, nil
}

// queries counts the store's queries and, where there is a tracer, traces them.
type queries struct {
	metrics *metrics.Metrics
	tracer  *tracing.Tracer
}

// Query implements store.Observer.
func (q queries) Query(ctx context.Context, name string, took time.Duration, err error) {
	q.metrics.Query(name, took, err)
	if q.tracer != nil {
		q.tracer.Query(ctx, name, took, err)
	}
}

// retrace has the tracer follow a change of the configuration.
func (s *server) retrace(next Config) {
	if s.tracer != nil {
		s.tracer.SetSampling(next.Tracing.sampling())
	}
}
