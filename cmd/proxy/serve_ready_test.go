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
