package main

import (
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
)

// load has a client send n GETs and n ECHOs in one go.
func (r *running) load(t *testing.T, key string, n int) {
	t.Helper()
	got := talk(t, r.addr, "AUTH "+key+"\r\n"+strings.Repeat("GET a\r\nECHO b\r\n", n)+"QUIT\r\n")
	if lines := strings.Count(got, "|"); lines != 2+3*n {
		t.Fatalf("%d lines came back, want %d", lines, 2+3*n)
	}
}

// TestPrometheusTakesBothKindsOfHistogram: one that asks for native histograms gets these, with
// buckets far finer, another one classic ones. Both have what was counted.
func TestPrometheusTakesBothKindsOfHistogram(t *testing.T) {
	cfg := testConfig(t)
	cfg.Loops = 2
	r := startServe(t, cfg)
	key := r.tenant(t, "acme", testbed.Redis(t).Addr, limits(0, 0))
	const n = 500
	r.load(t, key, n)
	if status, body := httpGet(t, "http://"+r.http+"/api/v1/openapi.json"); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	const ofGet, ofTenant = `redis_command_duration_seconds%s{command="get"}`, `redis_tenant_duration_seconds%s{tenant="acme/cache",phase="backend"}`
	const ofHTTP, ofDatabase = `http_request_duration_seconds%s{path="/api/v1/openapi.json"}`, `database_query_duration_seconds%s{query="grant"}`
	t.Run("classic", func(t *testing.T) {
		p := testbed.Prometheus(t, testbed.ScrapeConfig(3*time.Second, r.http))
		p.Scraped()
		for series, want := range map[string]float64{ofGet: n, ofTenant: 2 * n, ofHTTP: 1} {
			// OpenMetrics has le="1.0" where the text format has le="1": neither is asked for.
			expectValue(t, p, strings.Replace(series, "%s", "_count", 1), want)
			expectValue(t, p, "max("+strings.Replace(series, "%s", "_bucket", 1)+")", want)
		}
		expectSome(t, p, strings.Replace(ofDatabase, "%s", "_count", 1))
		expectSome(t, p, "histogram_quantile(0.99, "+strings.Replace(ofGet, "%s", "_bucket", 1)+")")
		if got := p.Query("histogram_count(redis_command_duration_seconds)"); len(got) > 0 {
			t.Errorf("there are native histograms that were not asked for: %v", got)
		}
	})
	t.Run("native", func(t *testing.T) {
		p := testbed.Prometheus(t, testbed.ScrapeConfig(3*time.Second, r.http), "--enable-feature=native-histograms")
		p.Scraped()
		for series, want := range map[string]float64{ofGet: n, ofTenant: 2 * n, ofHTTP: 1} {
			native := strings.Replace(series, "%s", "", 1)
			expectValue(t, p, "histogram_count("+native+")", want)
			expectSome(t, p, "histogram_sum("+native+")")
			expectValue(t, p, "histogram_fraction(0, +Inf, "+native+")", 1)
		}
		expectSome(t, p, "histogram_count("+strings.Replace(ofDatabase, "%s", "", 1)+")")
		low, high := p.Query("histogram_quantile(0.5, "+strings.Replace(ofGet, "%s", "", 1)+")"), p.Query("histogram_quantile(1, "+strings.Replace(ofGet, "%s", "", 1)+")")
		if len(low) != 1 || len(high) != 1 || !(low[0].Value() > 0 && low[0].Value() <= high[0].Value() && high[0].Value() < 20) {
			t.Errorf("quantiles: got %v and %v, want two that fit commands of this test", low, high)
		}
	})
}

// TestTwoProxiesAreApart: scraped together, each has series of its own by the label instance,
// which Prometheus sets, and the label tenant says the same at both.
func TestTwoProxiesAreApart(t *testing.T) {
	backend := testbed.Redis(t).Addr
	var targets []string
	for _, n := range []int{100, 300} {
		cfg := testConfig(t)
		cfg.Loops = 2
		r := startServe(t, cfg)
		r.load(t, r.tenant(t, "acme", backend, limits(0, 0)), n)
		targets = append(targets, r.http)
	}
	p := testbed.Prometheus(t, testbed.ScrapeConfig(3*time.Second, targets...))
	p.Scraped()
	for i, n := range []float64{100, 300} {
		expectValue(t, p, `sum(redis_commands_total{instance="`+targets[i]+`",tenant="acme/cache",command="get"})`, n)
		expectValue(t, p, `respgate_build_info{instance="`+targets[i]+`"}`, 1)
	}
	expectValue(t, p, `sum by (tenant) (redis_commands_total{command="get"})`, 400)
	if got := p.Query(`{__name__=~"redis_.*|client_.*",exported_instance!=""}`); len(got) > 0 {
		t.Errorf("labels clash with Prometheus's own: %v", got)
	}
}

func expectValue(t *testing.T, p *testbed.PrometheusServer, expr string, want float64) {
	t.Helper()
	if got := p.Query(expr); len(got) != 1 || math.Abs(got[0].Value()-want) > 1e-9 {
		t.Errorf("%s: got %v, want one series of %v", expr, got, want)
	}
}

func expectSome(t *testing.T, p *testbed.PrometheusServer, expr string) {
	t.Helper()
	if got := p.Query(expr); len(got) != 1 || !(got[0].Value() > 0) {
		t.Errorf("%s: got %v, want one series above 0", expr, got)
	}
}
