package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

// TestServeEndsWhileListing has people ask for lists that take long when the proxy is to end: it
// does not wait for them.
func TestServeEndsWhileListing(t *testing.T) {
	pg := testbed.Postgres(t)
	dsn := pg.Database()
	cfg := testConfig(t)
	cfg.Store.Driver, cfg.Store.DSN, cfg.SecretKey = "postgres", tenant.Secret(dsn), tenant.Secret(strings.Repeat("s", 32))
	cfg.HTTP.AdminToken = "the operator's own token, long enough"
	r := startServe(t, cfg)
	release := pg.Hold(dsn, "LOCK TABLE usage")
	for range 3 {
		go func() {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.http+"/api/v1/usage", http.NoBody)
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Authorization", "Bearer "+cfg.HTTP.AdminToken.Reveal())
			if res, err := http.DefaultClient.Do(req); err == nil {
				_ = res.Body.Close()
			}
		}()
	}
	testbed.Eventually(t, "the lists are asked for", func() bool { return r.metric(t, `database_connections{state="in_use"`) >= 3 })
	ended := make(chan error, 1)
	go func() { ended <- r.stop() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(25 * time.Second):
		release()
		t.Error("it waits for them")
	}
}
