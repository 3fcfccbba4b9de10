package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// lifecycle is what the process says of itself: whether it is ending, and which
// configuration it has.
type lifecycle struct {
	draining   prometheus.Gauge
	reloads    *prometheus.CounterVec
	successful prometheus.Gauge
	reloadedAt prometheus.Gauge
}

func newLifecycle() lifecycle {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	l := lifecycle{
		draining: gauge("respgate_draining", "1 while clients are let finish before the process ends, else 0."),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "respgate_config_reloads_total", Help: "Times that the configuration was read again, by result.",
		}, []string{"result"}),
		successful: gauge("respgate_config_last_reload_successful", "1 when the configuration that was read last is in effect, 0 when an earlier one is."),
		reloadedAt: gauge("respgate_config_last_reload_success_timestamp_seconds", "When the configuration in effect was read."),
	}
	for _, result := range []string{"success", "failure"} {
		l.reloads.WithLabelValues(result)
	}
	l.successful.Set(1)
	return l
}

func (l *lifecycle) collectors() []prometheus.Collector {
	return []prometheus.Collector{l.draining, l.reloads, l.successful, l.reloadedAt}
}

// Draining says that the process lets its clients finish.
func (m *Metrics) Draining() { m.lifecycle.draining.Set(1) }

// ConfigRead says that the configuration in effect was read at a time, when the process
// started.
func (m *Metrics) ConfigRead(at time.Time) {
	m.lifecycle.reloadedAt.Set(float64(at.UnixMilli()) / 1000)
}

// ConfigReloaded counts a time that the configuration was read again: err says why it is
// not in effect.
func (m *Metrics) ConfigReloaded(at time.Time, err error) {
	if err != nil {
		m.lifecycle.reloads.WithLabelValues("failure").Inc()
		m.lifecycle.successful.Set(0)
		return
	}
	m.lifecycle.reloads.WithLabelValues("success").Inc()
	m.lifecycle.successful.Set(1)
	m.ConfigRead(at)
}
