package main

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/tenant"
)

// TestBreaker kills one of two tenants' backends under clients on four loops: it is given
// up, said so and probed, and the other tenant sees nothing of it.
func TestBreaker(t *testing.T) {
	cfg := testConfig(t)
	cfg.Loops, cfg.Pool.DialRetryDelay = 4, 100*time.Millisecond
	r := startServe(t, cfg)
	dying, healthy := testbed.Redis(t), testbed.Redis(t)
	acme, other := r.tenant(t, "acme", dying.Addr, limits(0, 0)), r.tenant(t, "other", healthy.Addr, limits(0, 0))
	// Clients that stay have links try again; transactions borrow.
	ask := func(key string) string {
		return talk(t, r.addr, "AUTH "+key+"\r\nINCR n\r\nWATCH k\r\nUNWATCH\r\nQUIT\r\n")
	}
	for range 8 {
		c := dial(t, r.addr)
		t.Cleanup(func() { _ = c.Close() })
		if _, err := fmt.Fprintf(c, "AUTH %s\r\nGET k\r\n", acme); err != nil {
			t.Fatal(err)
		}
	}
	if got := ask(acme); got != "+OK|:1|+OK|+OK|+OK|" {
		t.Fatalf("with both backends there: %s", got)
	}

	dying.Kill()
	const away = "-ERR backend unavailable: connection refused|"
	testbed.Eventually(t, "commands are refused and the gauge says open", func() bool {
		return ask(acme) == "+OK|"+away+away+"+OK|+OK|" && r.metric(t, `redis_breaker_state{tenant="acme/cache"}`) > 0 &&
			r.metric(t, `redis_connection_attempts_total{result="breaker_open",tenant="acme/cache"}`) > 0
	})
	before, began := r.metric(t, `redis_connection_attempts_total{result="refused",tenant="acme/cache"}`), time.Now()
	probes := 0.0
	testbed.Eventually(t, "it is probed", func() bool {
		ask(acme)
		probes = r.metric(t, `redis_connection_attempts_total{result="refused",tenant="acme/cache"}`) - before
		return probes >= 3
	})
	if most := 2 + float64(time.Since(began)/(80*time.Millisecond)); probes > most {
		t.Errorf("%v probes in %v, want %v at most", probes, time.Since(began), most)
	}
	if got := ask(other); !strings.HasPrefix(got, "+OK|:") || strings.Contains(got, "-") {
		t.Errorf("meanwhile the other tenant is told %s", got)
	}

	dying.Start()
	testbed.Eventually(t, "commands work again and the gauge says closed", func() bool {
		return !strings.Contains(ask(acme), "-") && r.metric(t, `redis_breaker_state{tenant="acme/cache"}`) == 0
	})
	for series, want := range map[string]float64{
		`redis_breaker_state{tenant="other/cache"}`:                                       0,
		`redis_connection_attempts_total{result="breaker_open",tenant="other/cache"}`:     0,
		`redis_connection_attempts_total{result="refused",tenant="other/cache"}`:          0,
		`redis_connection_attempts_delayed_total{tenant="other/cache"}`:                   0,
		`redis_command_errors_total{code="backend_unavailable",command="incr",tenant="ot`: 0,
	} {
		if got := r.metric(t, series); got != want {
			t.Errorf("%s is %v, want %v", series, got, want)
		}
	}
	for _, change := range []string{`msg="backend given up: it is probed until it answers" tenant=acme/cache`, `msg="backend reachable again" tenant=acme/cache`} {
		if n := strings.Count(r.log.String(), change); n != 1 {
			t.Errorf("%d lines with %s, want 1", n, change)
		}
	}
	if log := r.log.String(); strings.Contains(log, "tenant=other") || strings.Contains(log, dying.Addr) {
		t.Error("the log speaks of the other tenant, or of an address")
	}
}

// TestHealthBehindBreaker has the watcher ask a backend whose breaker is open: it learns
// how the backend is, and that it is back is news for all that dial.
func TestHealthBehindBreaker(t *testing.T) {
	server := testbed.Redis(t)
	in := tenant.Instance{Org: "acme", Name: "cache", URL: tenant.Secret("redis://" + server.Addr)}
	w := watcher{dialer: pool.NewDialer(pool.DialConfig{Attempts: 1, RetryDelay: 200 * time.Millisecond, Timeout: 2 * time.Second}, slog.New(slog.DiscardHandler), nil)}
	if !w.ask(t.Context(), in) {
		t.Error("a backend that is there is said to be away")
	}
	server.Kill()
	for range 10 {
		if w.ask(t.Context(), in) {
			t.Error("a backend that is away is said to be there")
		}
	}
	server.Start()
	testbed.Eventually(t, "the watcher finds it", func() bool { return w.ask(t.Context(), in) })
	nc, _, err := w.dialer.Dial(t.Context(), in.Label(), pool.Backend{Network: "tcp", Addr: server.Addr}, 0, 2, 1)
	if err != nil {
		t.Fatalf("after that a dial ends in %v", err)
	}
	_ = nc.Close()
}
