package metrics

import "github.com/prometheus/client_golang/prometheus"

// operations are what operators do to instances at this proxy.
type operations struct {
	paused *prometheus.GaugeVec
}

func newOperations() operations {
	return operations{paused: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "redis_paused", Help: "1 while an operator holds up an instance's commands here, 0 when that is over; there is none for an instance that never was.",
	}, []string{"tenant"})}
}

// Paused says whether an operator holds up an instance's commands.
func (m *Metrics) Paused(label string, paused bool) {
	value := 0.0
	if paused {
		value = 1
	}
	m.operations.paused.WithLabelValues(label).Set(value)
}
