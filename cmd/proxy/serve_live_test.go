package main

import (
	"context"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

// TestLivePicture: a client's load is seen within seconds as it is: its rate, errors, what
// was over its limit, and which commands they were. Another tenant's picture has nothing of it.
func TestLivePicture(t *testing.T) {
	backend := testbed.Redis(t)
	cfg := testConfig(t)
	cfg.HTTP.AdminToken = "the operator's own token, long enough"
	cfg.HTTP.Rate = 0
	r := startServe(t, cfg)
	defer http.DefaultClient.CloseIdleConnections()
	rate := 400
	acme := r.tenant(t, "acme", backend.Addr, func(k *tenant.Key) { k.Limits.Rate = &rate })
	globex := r.tenant(t, "globex", backend.Addr, nil)
	idle := talkTo(t, r.addr, globex)
	idle.send("PING")
	idle.expect("+PONG")

	client := talkTo(t, r.addr, acme)
	client.send("SET text v")
	client.expect("+OK")
	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	load.Go(func() { _, _ = io.Copy(io.Discard, client.in) })
	load.Go(func() {
		defer client.Close()
		every(ctx, 10*time.Millisecond, func() { // about 1,000 commands/s
			client.send("LPUSH text v", "SET text v", "GET text", "GET text", "GET text", "GET text", "GET text", "GET text", "GET text", "GET text")
		})
	})
	defer func() { cancel(); load.Wait() }()

	c := apiClient{r.http, cfg.HTTP.AdminToken.Reveal()}
	picture := func(org string) (p control.Picture) {
		t.Helper()
		if status := c.call(t, "GET", "/api/v1/organizations/"+org+"/instances/cache/live", "", &p); status != http.StatusOK {
			t.Fatalf("the picture of %s: got %d, want 200", org, status)
		}
		return p
	}
	var proxy string
	testbed.Eventually(t, "the load is seen", func() bool {
		p := picture("acme")
		proxy = p.Proxy
		hot := slices.IndexFunc(p.Hot, func(h control.HotCommand) bool { return h.Command == "get" && h.PerSecond > 0 })
		return hot == 0 && slices.ContainsFunc(p.Points, func(at control.Point) bool {
			return at.Commands > float64(rate) && at.Limited > 0 && at.Errors > at.Limited && at.Commands > at.Errors &&
				at.P50 != nil && *at.P50 > 0 && *at.P99 >= *at.P50 && at.BytesIn > 0 && at.BytesOut > 0 && at.Clients == 1 && at.Links.Shared > 0
		})
	})
	p := picture("globex")
	if len(p.Hot) > 0 || p.Proxy != proxy || len(proxy) != proxyIDLength {
		t.Errorf("the other tenant's picture has hot commands %v, of proxy %q; want none, of %q", p.Hot, p.Proxy, proxy)
	}
	for _, at := range p.Points {
		if at.Commands+at.Errors+at.Limited+at.BytesIn+at.BytesOut > 0 || at.P50 != nil || at.Clients != 1 {
			t.Errorf("the other tenant's picture has %+v, want one idle client", at)
		}
	}
	if status := c.call(t, "GET", "/api/v1/organizations/acme/instances/nosuch/live", "", nil); status != http.StatusNotFound {
		t.Errorf("the picture of no instance: got %d, want 404", status)
	}
}
