// Package lease gets tokens for the buckets of this proxy from the buckets in a Redis that all
// proxies share. It asks in the background, for all of them at once: nobody who is limited
// waits for it.
package lease

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/tenant"
)

const (
	// Timeout bounds one request. Meanwhile buckets go on with what they have.
	Timeout = 250 * time.Millisecond
	// most is how many buckets one request asks for at most.
	most = 1024
	// beatInterval is how often a proxy says that it is there, and beatKept for how long it counts then.
	beatInterval = time.Second
	beatKept     = 5 * beatInterval
	// retryDelay is how long a Redis that did not answer is left alone, jittered.
	retryDelay = 500 * time.Millisecond
	// soundAfter is how long there must have been no error for an outage to be over: one node
	// of a cluster may be away while the others answer.
	soundAfter = 4 * retryDelay
)

// Buckets are those that tokens are asked for. Only one goroutine uses them.
type Buckets interface {
	// Lease appends to requests at most most of them, and says whether any bucket may have some soon.
	Lease(now time.Time, requests []tenant.LeaseRequest, most int) (_ []tenant.LeaseRequest, soon bool)
	// Settle is given the answers to the requests that Lease has appended, in their order, and
	// how many proxies share, this one among them.
	Settle(now time.Time, proxies int, leases []tenant.Lease)
}

// Config says what a Client does.
type Config struct {
	Proxy string        // this proxy's id
	Tick  time.Duration // how often buckets in use are looked at
	Wake  <-chan struct{}
	// Observe is told of each request, how long it took, and why it has failed, at least in a part; nil does nothing.
	Observe func(took time.Duration, err error)
}

// Client asks the Redis. Make one with New.
type Client struct {
	cfg     Config
	redis   redis.UniversalClient
	buckets Buckets
	log     *slog.Logger
	up      atomic.Bool

	// Of Run alone.
	proxies int       // how many there were when that was last known; 1 until then
	beat    time.Time // when this proxy was last counted
	away    time.Time // when the outage began; zero: there is none
	failed  time.Time // when there was last an error
	silent  bool      // the last request has not been answered at all
}

// New returns a client for the buckets; r stays its caller's.
func New(cfg Config, r redis.UniversalClient, buckets Buckets, log *slog.Logger) *Client {
	return &Client{cfg: cfg, redis: r, buckets: buckets, log: log, proxies: 1}
}

// Up reports whether the Redis answers, and without errors. It may be called from any goroutine.
func (c *Client) Up() bool { return c.up.Load() }

// Run asks until ctx ends. Then the other proxies are told that this one is no more.
func (c *Client) Run(ctx context.Context) {
	for {
		soon := c.turn(ctx)
		wake, pause := c.cfg.Wake, beatInterval
		switch {
		case ctx.Err() != nil:
			c.leave(ctx)
			return
		case c.silent:
			wake, pause = nil, retryDelay/2+rand.N(retryDelay) //nolint:gosec // no secret
		case soon:
			pause = c.cfg.Tick
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// turn sends what there is to ask, and reports whether there may be more soon.
func (c *Client) turn(ctx context.Context) (soon bool) {
	now := time.Now()
	requests, soon := c.buckets.Lease(now, nil, most)
	beat := now.Sub(c.beat) >= beatInterval
	if len(requests) == 0 && !beat {
		return soon
	}
	leases, proxies, err := c.exchange(ctx, requests, beat)
	if proxies > 0 {
		c.proxies, c.beat = proxies, now
	}
	c.silent = proxies == 0 && !slices.ContainsFunc(leases, func(l tenant.Lease) bool { return !l.Failed })
	c.buckets.Settle(time.Now(), c.proxies, leases)
	if ctx.Err() == nil {
		c.note(now, err)
	}
	return soon
}

// note has the log tell of the beginning and the end of an outage.
func (c *Client) note(began time.Time, err error) {
	now := time.Now()
	if c.cfg.Observe != nil {
		c.cfg.Observe(now.Sub(began), err)
	}
	switch {
	case err != nil:
		c.failed = now
		if c.away.IsZero() {
			c.away = began
			c.log.Warn("the Redis that proxies share for their limits does not answer: this proxy limits by itself", "error", err, "proxies", c.proxies)
		}
	case !c.away.IsZero() && now.Sub(c.failed) >= soundAfter:
		c.log.Info("the Redis that proxies share for their limits answers again", "away", c.failed.Sub(c.away).Round(time.Millisecond), "proxies", c.proxies)
		c.away = time.Time{}
	}
	c.up.Store(c.away.IsZero())
}

// leave has the others divide by one less.
func (c *Client) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), Timeout)
	defer cancel()
	_ = c.redis.ZRem(ctx, proxiesKey, c.cfg.Proxy).Err() // else it is forgotten in a while
}
