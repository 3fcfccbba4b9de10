// Package metrics defines every metric that respgate exports. The names and
// labels are a contract with dashboards and alerts.
//
// What happens per command is counted on each event loop apart, without locks
// or contention, and summed when it is scraped.
package metrics

import (
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

	links        *prometheus.GaugeVec
	attempts     *prometheus.CounterVec
	topology     *prometheus.CounterVec
	delayed      *prometheus.CounterVec
	breakers     *prometheus.GaugeVec
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

	mu   sync.Mutex
	open map[openLinks]int
	gone map[string]bool // tenants whose series were dropped, and must not come back
}

// openLinks says which links are counted together.
type openLinks struct{ label, kind string }

// New registers the metrics of a process with so many event loops on reg.
func New(reg prometheus.Registerer, loops int, version, commit string) (*Metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	duration := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: seconds[:]}, labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	m := &Metrics{
		open: map[openLinks]int{}, gone: map[string]bool{}, overload: newOverload(), tls: newTLSMetrics(), lifecycle: newLifecycle(), books: newBooks(), operations: newOperations(),
		links: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "redis_connections_active", Help: "Open connections to backends.",
		}, []string{"tenant", "kind"}),
		attempts: counter("redis_connection_attempts_total", "Tries to connect to a backend, by how they ended; those that an open breaker refuses are breaker_open.", "tenant", "result"),
		delayed:  counter("redis_connection_attempts_delayed_total", "Tries to connect to a backend that waited for their turn among others.", "tenant"),
		breakers: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "redis_breaker_state", Help: "Whether a backend is dialled: 0 closed (yes), 1 half-open (a probe is under way), 2 open (no).",
		}, []string{"tenant"}),
		topology:     counter("redis_topology_refreshes_total", "Looks at who is who in a group of servers, by how they ended.", "tenant", "result"),
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
		m.loops = append(m.loops, &Loop{tenants: map[string]*Tenant{}, dropped: m.overload.dropped})
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "respgate_build_info", Help: "Always 1; the labels say what is running.",
		ConstLabels: prometheus.Labels{"version": version, "commit": commit},
	})
	build.Set(1)
	all := []prometheus.Collector{
		m.links, m.attempts, m.delayed, m.breakers, m.topology, m.keyRequests, m.keyFailures, m.throttled, m.httpRequests, m.httpErrors, m.httpDuration,
		m.queries, m.queryErrors, m.queryTime, build, (*loopTotals)(m), &m.store,
	}
	all = append(all, m.lifecycle.collectors()...)
	all = append(all, m.books.collectors()...)
	all = append(all, m.operations.paused, m.operations.dropped)
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

// AddTenant has a tenant's series exist, at 0, before there is anything to count.
func (m *Metrics) AddTenant(label string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.gone, label)
	for _, kind := range []string{"shared", "pinned", "subscriber"} {
		m.links.WithLabelValues(label, kind).Set(float64(m.open[openLinks{label, kind}]))
	}
	for _, result := range []string{"ok", "refused", "timeout", "auth", "error", "breaker_open"} {
		m.attempts.WithLabelValues(label, result)
	}
	m.delayed.WithLabelValues(label)
	m.breakers.WithLabelValues(label)
	m.operations.paused.WithLabelValues(label)
	m.loops[0].Tenant(label)
}

// RemoveTenant drops all series of a tenant that is gone.
func (m *Metrics) RemoveTenant(label string) {
	for _, l := range m.loops {
		l.mu.Lock()
		delete(l.tenants, label)
		l.mu.Unlock()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone[label] = true
	m.links.DeletePartialMatch(prometheus.Labels{"tenant": label})
	m.attempts.DeletePartialMatch(prometheus.Labels{"tenant": label})
	m.topology.DeletePartialMatch(prometheus.Labels{"tenant": label})
	m.delayed.DeleteLabelValues(label)
	m.breakers.DeleteLabelValues(label)
	m.operations.paused.DeleteLabelValues(label)
}

// LinkOpened counts an open connection to a tenant's backend.
func (m *Metrics) LinkOpened(label, kind string) { m.countLink(label, kind, 1) }

// LinkClosed is the opposite of LinkOpened.
func (m *Metrics) LinkClosed(label, kind string) { m.countLink(label, kind, -1) }

// countLink counts apart from the gauge: what closes after its tenant has gone must not
// bring the series back, below zero.
func (m *Metrics) countLink(label, kind string, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := openLinks{label, kind}
	if m.open[key] += n; m.open[key] == 0 {
		defer delete(m.open, key)
	}
	if !m.gone[label] {
		m.links.WithLabelValues(label, kind).Set(float64(m.open[key]))
	}
}

// DialResult counts a try to connect to a tenant's backend.
func (m *Metrics) DialResult(label, result string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.gone[label] {
		m.attempts.WithLabelValues(label, result).Inc()
	}
}

// TopologyResult counts a look at who is who in a tenant's group of servers.
func (m *Metrics) TopologyResult(label, result string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.gone[label] {
		m.topology.WithLabelValues(label, result).Inc()
	}
}

// DialDelayed counts a try to connect that waited for its turn.
func (m *Metrics) DialDelayed(label string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.gone[label] {
		m.delayed.WithLabelValues(label).Inc()
	}
}

// BreakerState says how the breaker of a tenant's backend is: 0 closed, 1 half-open, 2 open.
func (m *Metrics) BreakerState(label string, state int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.gone[label] {
		m.breakers.WithLabelValues(label).Set(float64(state))
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

// HTTP counts an HTTP request; path is the route's pattern.
func (m *Metrics) HTTP(method, path string, status int, took time.Duration) {
	code := strconv.Itoa(status)
	m.httpRequests.WithLabelValues(method, path, code).Inc()
	if status >= 400 {
		m.httpErrors.WithLabelValues(method, path, code).Inc()
	}
	m.httpDuration.WithLabelValues(method, path).Observe(took.Seconds())
}

// SetTotals sets what the store holds.
func (m *Metrics) SetTotals(c tenant.Counts) {
	for i, n := range [4]int{c.Instances, c.Organizations, c.Users, c.Keys} {
		m.totals[i].Set(float64(n))
	}
}
