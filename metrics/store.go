package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// newStoreAway returns the gauge that tells since when the store is away; stale is nil
// until there is a store.
func newStoreAway(stale func() *func() time.Duration) prometheus.GaugeFunc {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "respgate_store_away_seconds", Help: "For how long the store cannot be asked: known keys are let in from the cache. 0 while it can.",
	}, func() float64 {
		if fn := stale(); fn != nil {
			return (*fn)().Seconds()
		}
		return 0
	})
}

// WatchStore tells from where a scrape gets for how long the store cannot be asked: stale
// may be called from any goroutine.
func (m *Metrics) WatchStore(stale func() time.Duration) { m.storeAway.Store(&stale) }
