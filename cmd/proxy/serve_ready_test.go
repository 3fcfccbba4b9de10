package main

import (
	"context"
	"database/sql"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

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

// TestReadyWhenItSaysSo: whoever waits for the log's word may send clients at once. Here the
// store opens, but what has changed in it cannot be read at first.
func TestReadyWhenItSaysSo(t *testing.T) {
	cfg := testConfig(t)
	cfg.HTTP.Listen = testbed.FreeAddr(t)
	st, err := openStore(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", cfg.Store.DSN.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rename := func(from, to string) {
		if _, err := db.ExecContext(t.Context(), "ALTER TABLE "+from+" RENAME TO "+to); err != nil {
			t.Error(err)
		}
	}
	rename("changes", "hidden")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	asked := 0
	log := &askAtReady{ask: func() {
		asked++
		if status, body := httpGet(t, "http://"+cfg.HTTP.Listen+"/health/ready"); status != http.StatusOK {
			t.Errorf("/health/ready: %d %s", status, body)
		}
	}}
	ended := make(chan error, 1)
	go func() {
		ended <- serve(ctx, cfg, slog.New(slog.NewTextHandler(log, nil)), nil, func(listeners) { stop() })
	}()
	testbed.Eventually(t, 20*time.Second, "the store's changes cannot be read", func() bool {
		return strings.Contains(log.String(), "the key store cannot be asked")
	})
	if status, body := httpGet(t, "http://"+cfg.HTTP.Listen+"/health/ready"); status != http.StatusServiceUnavailable {
		t.Errorf("/health/ready before: %d %s", status, body)
	}
	rename("hidden", "changes")
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if asked != 1 {
		t.Errorf("it said %d times that it was ready, want once:\n%s", asked, log)
	}
}
