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
	descLimited  = desc("rate_limited_commands_total", "Commands refused by the limit of their key or organization.", "tenant")
)

// loopTotals collects what the loops count, summed.
type loopTotals Metrics

// Describe implements prometheus.Collector.
func (m *loopTotals) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descCommands, descErrors, descDuration, descPhases, descClients, descBytes, descRetries, descLimited} {
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
		var h total
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
	var commands [command.NumTop]uint64
	var phases [numPhases]total
	var clients int64
	var in, out, limited uint64
	errors := map[errorKey]uint64{}
	var retries [numRetries]uint64
	for _, t := range shards {
		for i := range t.commands {
			if p := t.commands[i].Load(); p != nil {
				for j := range min(pageSize, int(command.NumTop)-i*pageSize) {
					commands[i*pageSize+j] += p[j].Load()
				}
			}
		}
		for i := range phases {
			phases[i].add(&t.phases[i])
		}
		clients += t.clients.Load()
		in, out, limited = in+t.in.Load(), out+t.out.Load(), limited+t.limited.Load()
		t.mu.Lock()
		for k, n := range t.errors {
			errors[k] += n
		}
		for r, n := range t.retries {
			retries[r] += n
		}
		t.mu.Unlock()
	}
	for id, n := range commands {
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
	for i := range phases {
		phases[i].collect(ch, descPhases, label, phaseNames[i])
	}
	ch <- prometheus.MustNewConstMetric(descClients, prometheus.GaugeValue, float64(clients), label)
	counter(descBytes, in, label, "in")
	counter(descBytes, out, label, "out")
	counter(descLimited, limited, label)
}

// total is a sum of histograms.
type total struct {
	buckets [len(bounds) + 1]uint64
	count   uint64
	nanos   int64
}

func (t *total) add(h *histogram) {
	for i := range h.buckets {
		n := h.buckets[i].Load()
		t.buckets[i] += n
		t.count += n
	}
	t.nanos += h.nanos.Load()
}

func (t *total) collect(ch chan<- prometheus.Metric, d *prometheus.Desc, labels ...string) {
	cumulative := make(map[float64]uint64, len(bounds))
	var below uint64
	for i, bound := range seconds {
		below += t.buckets[i]
		cumulative[bound] = below
	}
	ch <- prometheus.MustNewConstHistogram(d, t.count, float64(t.nanos)/1e9, cumulative, labels...)
}
