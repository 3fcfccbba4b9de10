package metrics

import "github.com/prometheus/client_golang/prometheus"

// books are what is kept of what was done: the audit log and usage.
type books struct {
	events      *prometheus.CounterVec
	lostEvents  prometheus.Counter
	lostRecords prometheus.Counter
}

func newBooks() books {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	return books{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "audit_events_total", Help: "Events of the audit log, by what was done. A sampled one counts once.",
		}, []string{"action"}),
		lostEvents:  counter("audit_events_dropped_total", "Events that are not in the audit log, since there were too many or it could not be written for too long."),
		lostRecords: counter("usage_records_dropped_total", "Minutes of a key's usage that could not be stored for too long."),
	}
}

func (b *books) collectors() []prometheus.Collector {
	return []prometheus.Collector{b.events, b.lostEvents, b.lostRecords}
}

// ExpectEvents has the series of these actions exist from the start, at 0.
func (m *Metrics) ExpectEvents(actions ...string) {
	for _, a := range actions {
		m.books.events.WithLabelValues(a)
	}
}

// AuditEvent counts an event of the audit log by its action, which is one of a fixed set.
func (m *Metrics) AuditEvent(action string) { m.books.events.WithLabelValues(action).Inc() }

// AuditEventsLost counts n events that are not in the audit log.
func (m *Metrics) AuditEventsLost(n int) { m.books.lostEvents.Add(float64(n)) }

// UsageLost counts n records of usage that could not be stored.
func (m *Metrics) UsageLost(n int) { m.books.lostRecords.Add(float64(n)) }
