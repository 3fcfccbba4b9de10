package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	descSharedUp    = desc("rate_limit_shared_up", "Whether the Redis answers that proxies share for their limits: 1 or 0. Only there with rate_limit.shared_url.")
	descSharedAlone = desc("rate_limit_shared_fallback_buckets", "Limits that this proxy holds by itself, since the shared Redis has not answered for them.")
)

// leases are about limits across proxies. Without WatchLeases they have no series.
type leases struct {
	requests *prometheus.CounterVec
	duration prometheus.Histogram
	watch    atomic.Pointer[leaseWatch]
}

type leaseWatch struct {
	up    func() bool
	alone func() int
}

func newLeases(duration func(name, help string, labels ...string) *prometheus.HistogramVec) *leases {
	l := &leases{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rate_limit_shared_requests_total", Help: "Requests to the shared Redis, each for all limits that are due, by how they ended.",
		}, []string{"result"}),
		duration: duration("rate_limit_shared_request_duration_seconds", "Time that the shared Redis takes for a request. No command waits for it.").WithLabelValues().(prometheus.Histogram),
	}
	for _, result := range []string{"ok", "error"} {
		l.requests.WithLabelValues(result)
	}
	return l
}

// Describe implements prometheus.Collector.
func (l *leases) Describe(ch chan<- *prometheus.Desc) {
	ch <- descSharedUp
	ch <- descSharedAlone
	l.requests.Describe(ch)
	l.duration.Describe(ch)
}

// Collect implements prometheus.Collector.
func (l *leases) Collect(ch chan<- prometheus.Metric) {
	watch := l.watch.Load()
	if watch == nil {
		return
	}
	up := 0.0
	if watch.up() {
		up = 1
	}
	ch <- prometheus.MustNewConstMetric(descSharedUp, prometheus.GaugeValue, up)
	ch <- prometheus.MustNewConstMetric(descSharedAlone, prometheus.GaugeValue, float64(watch.alone()))
	l.requests.Collect(ch)
	l.duration.Collect(ch)
}

// WatchLeases has the series of limits across proxies be there. A scrape asks whether the shared Redis answers, and how many
// limits are held without it: both may be called from any goroutine.
func (m *Metrics) WatchLeases(up func() bool, alone func() int) {
	m.leases.watch.Store(&leaseWatch{up, alone})
}

// LeaseRequest counts a request to the shared Redis, which took so long and ended with err.
func (m *Metrics) LeaseRequest(took time.Duration, err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	m.leases.requests.WithLabelValues(result).Inc()
	m.leases.duration.Observe(took.Seconds())
}
