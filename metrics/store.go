package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/respgate/respgate/tenant"
)

// Series about the store, which a scrape asks for.
var (
	descStoreAway   = desc("respgate_store_away_seconds", "For how long the store cannot be asked: known keys are let in from the cache. 0 while it can.")
	descConnections = desc("database_connections", "Connections to the store's database.", "state")
	descWaits       = desc("database_connection_waits_total", "Queries that waited for a connection to the store's database.")
	descWaited      = desc("database_connection_wait_seconds_total", "Time that queries waited for a connection to the store's database.")
)

// watchedStore collects them; it is nil until there is a store.
type watchedStore struct{ atomic.Pointer[storeWatch] }

type storeWatch struct {
	stale func() time.Duration
	stats func() tenant.Connections
}

// Describe implements prometheus.Collector.
func (*watchedStore) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descStoreAway, descConnections, descWaits, descWaited} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (w *watchedStore) Collect(ch chan<- prometheus.Metric) {
	var away time.Duration
	var c tenant.Connections
	if watch := w.Load(); watch != nil {
		away, c = watch.stale(), watch.stats()
	}
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	send(descStoreAway, prometheus.GaugeValue, away.Seconds())
	send(descConnections, prometheus.GaugeValue, float64(c.InUse), "in_use")
	send(descConnections, prometheus.GaugeValue, float64(c.Idle), "idle")
	send(descWaits, prometheus.CounterValue, float64(c.Waits))
	send(descWaited, prometheus.CounterValue, c.Waited.Seconds())
}

// WatchStore tells from where a scrape gets for how long the store cannot be asked and
// what connections there are: both may be called from any goroutine.
func (m *Metrics) WatchStore(stale func() time.Duration, stats func() tenant.Connections) {
	m.store.Store(&storeWatch{stale, stats})
}
