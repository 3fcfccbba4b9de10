package metrics

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/internal/testbed"
)

// TestExemplars: a real Prometheus has the last trace of each command and bucket, and those of
// HTTP requests, from text and with native histograms.
func TestExemplars(t *testing.T) {
	get := command.Lookup([]byte("get"))
	kept := map[string]float64{"fast": 0.0004, "slow": 0.7, "endless": 60, "http": 0.003} // in seconds
	for _, tt := range []struct {
		name   string
		flags  string
		traces []string
	}{
		{"OpenMetrics", "exemplar-storage", []string{"fast", "slow", "endless", "http"}},
		// Prometheus before 2.50 takes only the first of a histogram.
		{"native histograms", "exemplar-storage,native-histograms", []string{"fast", "http"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, reg := newMetrics(t, 2)
			began := time.Now()
			for i, e := range []struct {
				took  time.Duration
				trace string
			}{
				{300 * time.Microsecond, "earlier, of its bucket"},
				{400 * time.Microsecond, "fast"},
				{700 * time.Millisecond, "slow"},
				{time.Minute, "endless"},
			} {
				l := m.Loop(i % 2)
				l.Duration(get, e.took, 1)
				l.Exemplar(get, e.took, e.trace, began.Add(time.Duration(i)*time.Millisecond))
			}
			m.HTTP("GET", "/health", 200, 3*time.Millisecond, "http")
			m.HTTP("GET", "/health", 200, 30*time.Millisecond, "")
			server := httptest.NewServer(promhttp.HandlerFor(reg, promhttp.HandlerOpts{EnableOpenMetrics: true}))
			defer server.Close()
			p := testbed.Prometheus(t, testbed.ScrapeConfig(3*time.Second, strings.TrimPrefix(server.URL, "http://")), "--enable-feature="+tt.flags)
			p.Scraped()
			got := map[string]float64{}
			var found []struct {
				Exemplars []struct {
					Labels map[string]string
					Value  float64 `json:",string"`
				}
			}
			q := url.Values{"query": {`{__name__=~".*_duration_seconds.*"}`}, "start": {"0"}, "end": {"9999999999"}}
			p.Get("/api/v1/query_exemplars?"+q.Encode(), &found)
			for _, series := range found {
				for _, e := range series.Exemplars {
					got[e.Labels[traceLabel]] = e.Value
				}
			}
			for _, trace := range tt.traces {
				if _, ok := got[trace]; !ok {
					t.Errorf("the trace %q is not there: got %v", trace, got)
				}
			}
			for trace, took := range got {
				if kept[trace] != took {
					t.Errorf("the trace %q took %v s, want %v", trace, took, kept[trace])
				}
			}
		})
	}
}
