package lease

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

// counting are buckets that want ten tokens each time.
type counting struct {
	mu      sync.Mutex
	soon    bool
	asked   int
	granted int64
	failed  int
	proxies int
}

func (b *counting) Lease(_ time.Time, requests []tenant.LeaseRequest, _ int) ([]tenant.LeaseRequest, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	return append(requests, tenant.LeaseRequest{Name: "k:k", Rate: 1000, Burst: 1000, Want: 10}), b.soon
}

func (b *counting) Settle(_ time.Time, proxies int, leases []tenant.Lease) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.proxies = proxies
	for _, l := range leases {
		b.granted += l.Granted
		if l.Failed {
			b.failed++
		}
	}
}

func (b *counting) read(what func(b *counting) bool) func() bool {
	return func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return what(b)
	}
}

// client is a Client that runs until the test ends.
type client struct {
	*Client
	buckets *counting
	wake    chan struct{}
	log     testbed.Buffer
	stop    func()

	mu       sync.Mutex
	requests int
	errors   int
}

func run(t *testing.T, addr, proxy string, soon bool) *client {
	t.Helper()
	r := redis.NewClient(&redis.Options{
		Addr: addr, MaxRetries: -1, DialerRetries: 1, ReadTimeout: Timeout, WriteTimeout: Timeout, DialTimeout: Timeout, ContextTimeoutEnabled: true,
	})
	c := &client{buckets: &counting{soon: soon}, wake: make(chan struct{}, 1)}
	c.Client = New(Config{Proxy: proxy, Tick: 5 * time.Millisecond, Wake: c.wake, Observe: func(_ time.Duration, err error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.requests++
		if err != nil {
			c.errors++
		}
	}}, r, c.buckets, slog.New(slog.NewTextHandler(&c.log, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx) })
	c.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		_ = r.Close()
	})
	t.Cleanup(c.stop)
	return c
}

func TestRunAsksWhileBucketsAreUsed(t *testing.T) {
	server := testbed.Redis(t)
	busy := run(t, server.Addr, "busy", true)
	testbed.Eventually(t, "tokens are there", busy.buckets.read(func(b *counting) bool { return b.granted >= 100 }))
	if !busy.Up() {
		t.Error("the client is not up")
	}
	other := run(t, server.Addr, "other", false)
	both := func(n int) func() bool {
		return busy.buckets.read(func(b *counting) bool { return b.proxies == n })
	}
	testbed.Eventually(t, "a proxy hears of another", both(2))
	other.stop()
	testbed.Eventually(t, "a proxy hears that another has left", both(1))
	busy.stop()
	if busy.requests == 0 || busy.errors > 0 {
		t.Errorf("%d requests, of which %d failed, were observed, want some and none", busy.requests, busy.errors)
	}
}

// TestRunIsWoken: who is woken asks, and does not wait for the beat that each second has.
func TestRunIsWoken(t *testing.T) {
	c := run(t, testbed.Redis(t).Addr, "one", false)
	const wakes = 50
	testbed.Within(t, wakes*beatInterval/2, "each time it is woken", func() bool {
		select {
		case c.wake <- struct{}{}:
		default:
		}
		return c.buckets.read(func(b *counting) bool { return b.asked >= wakes })()
	})
}

func TestOutageIsToldOnce(t *testing.T) {
	for _, tt := range []struct {
		name       string
		begin, end func(*testbed.Server)
	}{
		{"killed", (*testbed.Server).Kill, (*testbed.Server).Start},
		{"frozen", (*testbed.Server).Freeze, (*testbed.Server).Thaw},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := testbed.Redis(t)
			c := run(t, server.Addr, "one", true)
			testbed.Eventually(t, "the client is up", c.Up)
			tt.begin(server)
			testbed.Eventually(t, "several requests have failed", c.buckets.read(func(b *counting) bool { return b.failed > 2 }))
			if c.Up() {
				t.Error("the client is up while the Redis is away")
			}
			if !c.buckets.read(func(b *counting) bool { return b.proxies == 1 })() {
				t.Error("there are not as many proxies as before")
			}
			tt.end(server)
			testbed.Eventually(t, "the client is up again", c.Up)
			c.stop()
			for line, want := range map[string]int{"does not answer: this proxy limits by itself": 1, "answers again": 1} {
				if got := strings.Count(c.log.String(), line); got != want {
					t.Errorf("%q is in the log %d times, want %d:\n%s", line, got, want, c.log.String())
				}
			}
		})
	}
}
