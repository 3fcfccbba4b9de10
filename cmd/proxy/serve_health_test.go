package main

import (
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/respgate/respgate/health"
	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/tenant"
)

// TestProbesAtOnce has several ask how the proxy is at the same moment: all are told the
// same, though the store is asked once at a time.
func TestProbesAtOnce(t *testing.T) {
	r := startServe(t, testConfig(t))
	var asking sync.WaitGroup
	for i := range 8 {
		asking.Go(func() {
			for range 25 {
				path := []string{"/health/ready", "/health"}[i%2]
				if status, body := httpGet(t, "http://"+r.http+path); status != http.StatusOK || strings.Contains(body, "away") {
					t.Errorf("%s: %d %s, want 200", path, status, body)
					return
				}
			}
		})
	}
	asking.Wait()
}

// TestBackendsAreWatchedWhileTheStoreHangs: those known last are asked all the same.
func TestBackendsAreWatchedWhileTheStoreHangs(t *testing.T) {
	pg, redis := testbed.Postgres(t), testbed.Redis(t)
	cfg := testConfig(t)
	cfg.Store.Driver, cfg.Store.DSN = "postgres", tenant.Secret(pg.Database())
	cfg.SecretKey = tenant.Secret(strings.Repeat("s", 32))
	st, err := openStore(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	r := &running{store: st}
	r.tenant(t, "acme", redis.Addr, nil)
	m, err := metrics.New(prometheus.NewPedanticRegistry(), 1, "", "")
	if err != nil {
		t.Fatal(err)
	}
	w := watcher{server: &server{metrics: m}, store: st, dialer: pool.NewDialer(pool.DialConfig{Attempts: 1, Timeout: time.Second}, slog.New(slog.DiscardHandler), nil)}
	look := func(want health.Status) {
		t.Helper()
		w.look(t.Context())
		if got, message := w.checks.backends(t.Context()); got != want {
			t.Errorf("backends are %s: %s, want %s", got, message, want)
		}
	}
	look(health.Healthy)
	thaw := pg.Freeze()
	defer thaw()
	redis.Kill()
	look(health.Degraded)
}
