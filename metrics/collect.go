package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/respgate/respgate/command"
)

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
	descHeldUp   = desc("rate_limit_delayed_commands_total", "Commands that have waited for the limit of their key or organization.", "tenant")
	descDryRun   = desc("rate_limit_dry_run_commands_total", "Commands served that the limit of their key or organization, in the mode dry_run, would have refused.", "tenant")
)

// tenantMetrics collects what is counted of tenants, and what the loops count.
type tenantMetrics Metrics

// Describe implements prometheus.Collector.
func (m *tenantMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descCommands, descErrors, descDuration, descPhases, descClients, descBytes, descRetries, descSlow, descLimited, descHeldUp, descDryRun,
		descCacheHits, descCacheMisses, descCacheInvalidations, descCacheDrops, descCacheEvictions, descCacheBytes, descCacheEntries, descCacheAge} {
		ch <- d
	}
	for _, t := range tallies {
		ch <- t.desc
	}
}

// Collect implements prometheus.Collector.
func (m *tenantMetrics) Collect(ch chan<- prometheus.Metric) {
	(*Metrics)(m).collectTenants(ch)
	(*Metrics)(m).collectCacheAge(ch)
	for id := range command.NumTop {
		var sum [numDuration]uint64
		used := id == command.Other
		for _, l := range m.loops {
			if h := l.durations[id].Load(); h != nil {
				h.addTo(sum[:])
				used = true
			}
		}
		if used {
			last := (*Metrics)(m).exemplarsOf(id)
			ch <- newDuration(descDuration, sum[:], &last, id.Info().Name)
		}
	}
}

// collectTenants sends what there is of each tenant that has series of its own, and of the
// others together. Loops do not wait for it.
func (m *Metrics) collectTenants(ch chan<- prometheus.Metric) {
	m.scraping.Lock()
	defer m.scraping.Unlock()
	all, removed, folding := m.tenants()
	m.choose(all)
	var own, other, later sums
	other.reset()
	later.reset()
	for _, a := range removed {
		if a.place.folded {
			own.reset()
			own.count(a)
			m.carry.addCounters(&own)
		}
	}
	for _, a := range all {
		p := &a.place
		if p.folded && !p.turns {
			other.count(a)
			continue
		}
		own.reset()
		own.count(a)
		if p.folded {
			other.add(&own)
		} else {
			own.subtract(p.past)
			own.collect(ch, a.label)
		}
		if p.turns {
			a.turn(&own, &later)
		}
	}
	if folding {
		other.addCounters(&m.carry)
		other.collect(ch, otherTenants)
		m.carry.addCounters(&later)
	}
}

// tenants returns all tenants that are counted, and those that were and may be among the
// others: their counters are not to be lost.
func (m *Metrics) tenants() (all, removed []*account, folding bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all = make([]*account, 0, len(m.accounts))
	for _, a := range m.accounts {
		if !a.gone {
			all = append(all, a)
		}
	}
	m.folding = m.folding || m.max > 0 && len(all) > m.max
	removed, m.removed = m.removed, nil
	return all, removed, m.folding
}

// collect sends the series of a tenant.
func (s *sums) collect(ch chan<- prometheus.Metric, label string) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	counter := func(d *prometheus.Desc, n uint64, labels ...string) {
		send(d, prometheus.CounterValue, float64(n), labels...)
	}
	for id, n := range s.counters[:atPhases] {
		if n > 0 || command.ID(id) == command.Other {
			counter(descCommands, n, command.ID(id).Info().Name, label)
		}
	}
	for k, n := range s.errors {
		counter(descErrors, n, k.command.Info().Name, label, k.code)
	}
	for i, name := range retryNames {
		counter(descRetries, s.counters[atRetries+i], label, name)
	}
	for p := range numPhases {
		ch <- newDuration(descPhases, s.phase(p), nil, label, phaseNames[p])
	}
	send(descClients, prometheus.GaugeValue, float64(s.clients), label)
	counter(descBytes, s.counters[atIn], label, "in")
	counter(descBytes, s.counters[atOut], label, "out")
	counter(descLimited, s.counters[atLimited], label)
	counter(descHeldUp, s.counters[atDelayed], label)
	counter(descDryRun, s.counters[atDryRun], label)
	counter(descSlow, s.counters[atSlow], label)
	s.collectCache(ch, label)
	for i, t := range tallies {
		v := float64(s.gauges[i])
		if t.kind == prometheus.CounterValue {
			v = float64(s.counters[atTallies+i])
		}
		labels := []string{label, t.value}
		if t.value == "" {
			labels = labels[:1]
		}
		if v != 0 || !t.seldom {
			send(t.desc, t.kind, v, labels...)
		}
	}
}
