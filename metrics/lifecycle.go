package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// lifecycle is what the process says of itself: whether it is ending, and which
// configuration it has.
type lifecycle struct {
	draining   prometheus.Gauge
	drainBegan prometheus.Gauge
	drainLimit prometheus.Gauge
	memory     prometheus.Gauge
	cpus       prometheus.Gauge
	links      *prometheus.GaugeVec
	region     *prometheus.GaugeVec
	reloads    *prometheus.CounterVec
	successful prometheus.Gauge
	reloadedAt prometheus.Gauge
}

func newLifecycle() lifecycle {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	l := lifecycle{
		draining:   gauge("respgate_draining", "1 while clients are let finish before the process ends, else 0."),
		drainBegan: gauge("respgate_drain_started_timestamp_seconds", "Since when clients are let finish; 0 while they need not."),
		drainLimit: gauge("respgate_drain_timeout_seconds", "For how long clients may finish before the process ends."),
		memory:     gauge("respgate_memory_available_bytes", "Memory that the container, or the machine, has; 0 when it does not say."),
		cpus:       gauge("respgate_cpus", "Processors that the process may use; with a quota perhaps not whole ones."),
		links: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "redis_connections_limit", Help: "How many connections of a kind an instance may have: beyond it clients wait for one.",
		}, []string{"kind"}),
		region: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "respgate_region_info", Help: "Always 1; the label says in which region the proxy is.",
		}, []string{"region"}),
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
	return []prometheus.Collector{l.draining, l.drainBegan, l.drainLimit, l.memory, l.cpus, l.links, l.region, l.reloads, l.successful, l.reloadedAt}
}

// Draining says that the process lets its clients finish, since a time.
func (m *Metrics) Draining(since time.Time) {
	m.lifecycle.draining.Set(1)
	m.lifecycle.drainBegan.Set(unixSeconds(since))
}

// SetDrainTimeout says for how long they may.
func (m *Metrics) SetDrainTimeout(d time.Duration) { m.lifecycle.drainLimit.Set(d.Seconds()) }

// SetResources says what the process has: memory in bytes, 0 when it is not known, and
// processors.
func (m *Metrics) SetResources(memory int64, cpus float64) {
	m.lifecycle.memory.Set(float64(memory))
	m.lifecycle.cpus.Set(cpus)
}

// SetRegion says in which region the process is; "" is not told.
func (m *Metrics) SetRegion(region string) { m.lifecycle.region.WithLabelValues(region).Set(1) }

// SetLinkLimit says how many links of a kind, "pinned" or "subscriber", an instance may have.
func (m *Metrics) SetLinkLimit(kind string, n int) {
	m.lifecycle.links.WithLabelValues(kind).Set(float64(n))
}

// ConfigRead says that the configuration in effect was read at a time, when the process
// started.
func (m *Metrics) ConfigRead(at time.Time) {
	m.lifecycle.reloadedAt.Set(unixSeconds(at))
}

func unixSeconds(at time.Time) float64 { return float64(at.UnixMilli()) / 1000 }

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
