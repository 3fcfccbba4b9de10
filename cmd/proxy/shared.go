package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/lease"
	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/ratelimit"
	"github.com/respgate/respgate/tenant"
)

// sharedURL checks rate_limit.shared_url, of which it repeats nothing: it may have a password.
func sharedURL(text string) error {
	b, err := pool.ParseURL(tenant.Secret(text))
	if err == nil && b.ReadFrom != pool.Primary {
		err = errors.New("option read_from is for instances only")
	}
	return err
}

// sharedLimits have the limits of all proxies be one; nil is each by itself.
type sharedLimits struct {
	client *lease.Client
	redis  redis.UniversalClient
}

// newLimiters returns the limiters, and what has them shared where the configuration has a Redis for it.
func newLimiters(cfg Config, id string, m *metrics.Metrics, log *slog.Logger) (*ratelimit.Registry, *sharedLimits, error) {
	limiters := ratelimit.New(cfg.RateLimit.defaults())
	if cfg.RateLimit.SharedURL == "" {
		return limiters, nil, nil
	}
	b, err := pool.ParseURL(cfg.RateLimit.SharedURL)
	if err != nil {
		return nil, nil, fmt.Errorf("rate_limit.shared_url: %w", err)
	}
	ahead := cfg.RateLimit.SharedLease
	asking := lease.Config{Proxy: id, Wake: limiters.Share(ahead), Tick: ratelimit.Tick(ahead), Observe: m.LeaseRequest}
	s := &sharedLimits{redis: pool.Client(b, lease.Timeout)}
	s.client = lease.New(asking, s.redis, limiters, log)
	m.WatchLeases(s.client.Up, limiters.Alone)
	return limiters, s, nil
}

// run asks for tokens until ctx ends.
func (s *sharedLimits) run(ctx context.Context) {
	if s == nil {
		return
	}
	s.client.Run(ctx)
	_ = s.redis.Close()
}
