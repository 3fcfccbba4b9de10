package metrics

import (
	"maps"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/respgate/respgate/command"
)

// seconds are bounds in Prometheus's unit.
var seconds = func() (s [len(bounds)]float64) {
	for i, b := range bounds {
		s[i] = float64(b) / 1e9
	}
	return s
}()

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// The metrics that the loops count.
var (
	descCommands = desc("redis_commands_total", "Commands of authenticated clients.", "command", "tenant")
	descErrors   = desc("redis_command_errors_total", "Commands answered with an error, by its code.", "command", "tenant", "code")
	descDuration = desc("redis_command_duration_seconds", "Time from sending a command to its reply.", "command")
	descPhases   = desc("redis_tenant_duration_seconds", "Time that a tenant's commands spend in each phase.", "tenant", "phase")
	descClients  = desc("client_connections", "Authenticated clients.", "tenant")
	descBytes    = desc("client_bytes_total", "Bytes from (in) and to (out) clients.", "tenant", "direction")
	descRetries  = desc("redis_command_retries_total", "Commands sent again, by why; denied: not sent again, since there were too many.", "tenant", "reason")
	descSlow     = desc("slowlog_entries_total", "Commands put into the slow log of their instance.", "tenant")
	descLimited  = desc("rate_limited_commands_total", "Commands refused by the limit of their key or organization.", "tenant")
)

// loopTotals collects what the loops count, summed.
type loopTotals Metrics

// Describe implements prometheus.Collector.
func (m *loopTotals) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descCommands, descErrors, descDuration, descPhases, descClients, descBytes, descRetries, descSlow, descLimited} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *loopTotals) Collect(ch chan<- prometheus.Metric) {
	tenants := map[string][]*Tenant{}
	for _, l := range m.loops {
		l.mu.Lock()
		for label, t := range maps.All(l.tenants) {
			tenants[label] = append(tenants[label], t)
		}
		l.mu.Unlock()
	}
	for label, shards := range tenants {
		collectTenant(ch, label, shards)
	}
	for id := range command.NumTop {
		var h Durations
		for _, l := range m.loops {
			if shard := l.durations[id].Load(); shard != nil {
				h.add(shard)
			}
		}
		if h.count > 0 || id == command.Other {
			h.collect(ch, descDuration, id.Info().Name)
		}
	}
}

func collectTenant(ch chan<- prometheus.Metric, label string, shards []*Tenant) {
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	var sum Totals
	errors := map[errorKey]uint64{}
	var retries [numRetries]uint64
	for _, t := range shards {
		sum.add(t)
		t.mu.Lock()
		for k, n := range t.errors {
			errors[k] += n
		}
		for r, n := range t.retries {
			retries[r] += n
		}
		t.mu.Unlock()
	}
	for id, n := range sum.Commands {
		if n > 0 || command.ID(id) == command.Other {
			counter(descCommands, n, command.ID(id).Info().Name, label)
		}
	}
	for k, n := range errors {
		counter(descErrors, n, k.command.Info().Name, label, k.code)
	}
	for r, n := range retries {
		counter(descRetries, n, label, retryNames[r])
	}
	for i := range sum.Phases {
		sum.Phases[i].collect(ch, descPhases, label, phaseNames[i])
	}
	ch <- prometheus.MustNewConstMetric(descClients, prometheus.GaugeValue, float64(sum.Clients), label)
	counter(descBytes, sum.In, label, "in")
	counter(descBytes, sum.Out, label, "out")
	counter(descLimited, sum.Limited, label)
	counter(descSlow, sum.Slow, label)
}

func (d *Durations) collect(ch chan<- prometheus.Metric, as *prometheus.Desc, labels ...string) {
	cumulative := make(map[float64]uint64, len(bounds))
	var below uint64
	for i, bound := range seconds {
		below += d.buckets[i]
		cumulative[bound] = below
	}
	ch <- prometheus.MustNewConstHistogram(as, d.count, float64(d.nanos)/1e9, cumulative, labels...)
}
