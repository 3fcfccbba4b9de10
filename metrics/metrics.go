// Package metrics defines every metric that respgate exports. The names and
// labels are a contract with dashboards and alerts.
//
// What happens per command is counted on each event loop apart, without locks
// or contention, and summed when it is scraped.
package metrics

import (
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/respgate/respgate/tenant"
)

// Metrics holds all metrics of a process.
type Metrics struct {
	loops []*Loop

	keyRequests  prometheus.Counter
	keyFailures  *prometheus.CounterVec
	throttled    *prometheus.CounterVec
	httpRequests *prometheus.CounterVec
	httpErrors   *prometheus.CounterVec
	httpDuration *prometheus.HistogramVec
	queries      *prometheus.CounterVec
	queryErrors  *prometheus.CounterVec
	queryTime    *prometheus.HistogramVec
	totals       [4]prometheus.Gauge
	overload     overload
	tls          tlsMetrics
	lifecycle    lifecycle
	books        books
	operations   operations
	store        watchedStore
	traces       traces
	leases       *leases

	mu       sync.Mutex
	accounts map[string]*account // by label, those that are gone too: what comes late must not bring their series back
	removed  []*account          // that were among the others, perhaps
	folding  bool                // there have been others

	scraping sync.Mutex // one scrape at a time; taken before mu
	bound
}

// New registers the metrics of a process with so many event loops on reg.
func New(reg prometheus.Registerer, loops int, version, commit string) (*Metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	duration := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: name, Help: help, Buckets: seconds[:],
			NativeHistogramBucketFactor: 1.1, NativeHistogramZeroThreshold: zeroThreshold, NativeHistogramMaxBucketNumber: numNative,
		}, labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	m := &Metrics{
		accounts: map[string]*account{}, overload: newOverload(), tls: newTLSMetrics(), lifecycle: newLifecycle(), books: newBooks(), traces: newTraces(), operations: newOperations(), leases: newLeases(duration),
		keyRequests:  prometheus.NewCounter(prometheus.CounterOpts{Name: "api_key_requests_total", Help: "Clients' attempts to authenticate with an API key."}),
		keyFailures:  counter("api_key_auth_failures_total", "Attempts to authenticate that failed.", "reason"),
		throttled:    counter("api_key_guesses_throttled_total", "Failed attempts to authenticate that are answered late, for too many with one key or from one address.", "by"),
		httpRequests: counter("http_requests_total", "HTTP requests.", "method", "path", "status"),
		httpErrors:   counter("http_request_errors_total", "HTTP requests answered with a status of 400 or more.", "method", "path", "status"),
		httpDuration: duration("http_request_duration_seconds", "Time to answer an HTTP request.", "method", "path"),
		queries:      counter("database_queries_total", "Queries to the store.", "query"),
		queryErrors:  counter("database_query_errors_total", "Queries to the store that failed.", "query"),
		queryTime:    duration("database_query_duration_seconds", "Time that a query to the store takes.", "query"),
		totals: [4]prometheus.Gauge{
			gauge("redis_instances", "Instances in the store."),
			gauge("organizations", "Organizations in the store."),
			gauge("users", "Users in the store."),
			gauge("api_keys", "API keys in the store."),
		},
	}
	for range loops {
		m.loops = append(m.loops, &Loop{all: m, index: len(m.loops)})
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "respgate_build_info", Help: "Always 1; the labels say what is running.",
		ConstLabels: prometheus.Labels{"version": version, "commit": commit, "goversion": runtime.Version()},
	})
	build.Set(1)
	all := []prometheus.Collector{
		m.keyRequests, m.keyFailures, m.throttled, m.httpRequests, m.httpErrors, m.httpDuration,
		m.queries, m.queryErrors, m.queryTime, build, (*tenantMetrics)(m), &m.store, m.leases,
	}
	all = append(all, m.lifecycle.collectors()...)
	all = append(all, m.books.collectors()...)
	all = append(all, m.traces.collectors()...)
	all = append(all, m.operations.dropped)
	for _, g := range m.totals {
		all = append(all, g)
	}
	all = append(all, m.overload.all()...)
	for _, c := range append(all, m.tls.collectors()...) {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Loop returns what event loop i counts with, i from 0.
func (m *Metrics) Loop(i int) *Loop { return m.loops[i] }

// Expect has the series of these reasons of failed authentications, of these queries
// and of these "METHOD /path"s exist from the start, at 0, with those of clients that are kept out.
func (m *Metrics) Expect(reasons, queries, paths []string) {
	for _, reason := range reasons {
		m.keyFailures.WithLabelValues(reason)
	}
	for _, by := range []string{"key", "address"} {
		m.throttled.WithLabelValues(by)
	}
	for _, query := range queries {
		m.queries.WithLabelValues(query)
		m.queryErrors.WithLabelValues(query)
		m.queryTime.WithLabelValues(query)
	}
	for _, pattern := range paths {
		method, path, _ := strings.Cut(pattern, " ")
		m.httpRequests.WithLabelValues(method, path, "200")
		m.httpErrors.WithLabelValues(method, path, "500")
		m.httpDuration.WithLabelValues(method, path)
	}
}

// KeyRequest counts an attempt to authenticate.
func (m *Metrics) KeyRequest() { m.keyRequests.Inc() }

// KeyFailure counts an attempt to authenticate that failed.
func (m *Metrics) KeyFailure(reason string) { m.keyFailures.WithLabelValues(reason).Inc() }

// GuessThrottled counts such an attempt that is answered late, by "key" or "address".
func (m *Metrics) GuessThrottled(by string) { m.throttled.WithLabelValues(by).Inc() }

// Query counts a query to the store.
func (m *Metrics) Query(name string, took time.Duration, err error) {
	m.queries.WithLabelValues(name).Inc()
	if err != nil {
		m.queryErrors.WithLabelValues(name).Inc()
	}
	m.queryTime.WithLabelValues(name).Observe(took.Seconds())
}

// HTTP counts an HTTP request; path is the route's pattern, and traceID its trace's id, "" when
// it has none.
func (m *Metrics) HTTP(method, path string, status int, took time.Duration, traceID string) {
	code := strconv.Itoa(status)
	m.httpRequests.WithLabelValues(method, path, code).Inc()
	if status >= 400 {
		m.httpErrors.WithLabelValues(method, path, code).Inc()
	}
	observer := m.httpDuration.WithLabelValues(method, path)
	if with, ok := observer.(prometheus.ExemplarObserver); ok && traceID != "" {
		with.ObserveWithExemplar(took.Seconds(), prometheus.Labels{traceLabel: traceID})
		return
	}
	observer.Observe(took.Seconds())
}

// SetTotals sets what the store holds.
func (m *Metrics) SetTotals(c tenant.Counts) {
	for i, n := range [4]int{c.Instances, c.Organizations, c.Users, c.Keys} {
		m.totals[i].Set(float64(n))
	}
}
