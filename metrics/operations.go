package metrics

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// operations are what operators do to instances at this proxy, and what the log keeps from
// them.
type operations struct {
	paused  *prometheus.GaugeVec
	unsaid  *atomic.Pointer[func() int64]
	dropped prometheus.CounterFunc
}

func newOperations() operations {
	unsaid := new(atomic.Pointer[func() int64])
	return operations{unsaid: unsaid, dropped: prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "respgate_log_lines_dropped_total", Help: "Lines that are not in the log since there were many like them; another one there says how many.",
	}, func() float64 {
		if count := unsaid.Load(); count != nil {
			return float64((*count)())
		}
		return 0
	}), paused: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "redis_paused", Help: "1 while an operator holds up an instance's commands at this proxy, else 0.",
	}, []string{"tenant"})}
}

// WatchLog tells from where a scrape gets how many lines were left out of the log: left may be
// called from any goroutine.
func (m *Metrics) WatchLog(left func() int64) { m.operations.unsaid.Store(&left) }

// Paused says whether an operator holds up an instance's commands.
func (m *Metrics) Paused(label string, paused bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.gone[label] {
		m.operations.paused.WithLabelValues(label).Set(map[bool]float64{true: 1}[paused])
	}
}
