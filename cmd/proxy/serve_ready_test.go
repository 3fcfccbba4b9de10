package main

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/health"
	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

// askAtReady is a log that asks a proxy whether it is ready as soon as it has said so.
type askAtReady struct {
	testbed.Buffer
	ask func()
}

func (a *askAtReady) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "msg=ready ") {
		a.ask()
	}
	return a.Buffer.Write(p)
}

// TestReadyWhenItSaysSo: whoever waits for the log's word may send clients at once.
func TestReadyWhenItSaysSo(t *testing.T) {
	cfg := testConfig(t)
	cfg.HTTP.Listen = testbed.FreeAddr(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	asked := 0
	log := &askAtReady{ask: func() {
		asked++
		if status, body := httpGet(t, "http://"+cfg.HTTP.Listen+"/health/ready"); status != http.StatusOK {
			t.Errorf("/health/ready: %d %s", status, body)
		}
	}}
	if err := serve(ctx, cfg, slog.New(slog.NewTextHandler(log, nil)), nil, func(listeners) { stop() }); err != nil {
		t.Error(err)
	}
	if asked != 1 {
		t.Errorf("it said %d times that it was ready, want once:\n%s", asked, log)
	}
}

// TestReadyWaits for what the proxy cannot do without, and for no longer than it runs.
func TestReadyWaits(t *testing.T) {
	looks := 0
	check := func(context.Context) (health.Status, string) {
		if looks++; looks < 3 {
			return health.Unhealthy, "the store has not answered yet"
		}
		return health.Degraded, "it serves"
	}
	s := &server{health: health.New(time.Now, checkTimeout, map[string]health.Check{"database": check})}
	if !s.becomeReady(t.Context()) || looks != 3 {
		t.Errorf("ready after %d looks, want 3", looks)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	looks = 0
	if s.becomeReady(ended) || looks == 0 {
		t.Errorf("ready after the end and %d looks", looks)
	}
}

// TestStartWithoutStore: a proxy that waits for its store says for how long.
func TestStartWithoutStore(t *testing.T) {
	cfg := testConfig(t)
	cfg.HTTP.Listen = testbed.FreeAddr(t)
	cfg.SecretKey = tenant.Secret(strings.Repeat("k", 32))
	cfg.Store.Driver, cfg.Store.DSN = "postgres", tenant.Secret("postgres://respgate@"+testbed.FreeAddr(t)+"/respgate")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	log := &testbed.Buffer{}
	go func() { ended <- serve(ctx, cfg, slog.New(slog.NewTextHandler(log, nil)), nil, nil) }()
	r := &running{http: cfg.HTTP.Listen}
	testbed.Eventually(t, "it waits for the store", func() bool { return strings.Contains(log.String(), "waiting for it") })
	away := r.metric(t, "respgate_store_away_seconds")
	testbed.Eventually(t, "that it is away for longer and longer", func() bool {
		return r.metric(t, "respgate_store_away_seconds") > max(away, 0.01)
	})
	stop()
	if err := <-ended; err != nil {
		t.Errorf("serve: %v", err)
	}
}
