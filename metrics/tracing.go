package metrics

import "github.com/prometheus/client_golang/prometheus"

// traces are the spans that were made and those that were not, or were made for nothing.
type traces struct {
	spans, dropped *prometheus.CounterVec
	made, lost     map[string]prometheus.Counter // of them, by reason: loops count what they drop, which may be much
}

func newTraces() traces {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"reason"})
	}
	return traces{
		made: map[string]prometheus.Counter{}, lost: map[string]prometheus.Counter{},
		spans:   counter("respgate_trace_spans_total", "Spans that were made of commands (ratio, slow, failed) and of HTTP requests (http), by why."),
		dropped: counter("respgate_trace_spans_dropped_total", "Spans that were not exported: there were too many in a second (rate), too many waited (queue), or the receiver did not take them (export)."),
	}
}

func (t *traces) collectors() []prometheus.Collector {
	return []prometheus.Collector{t.spans, t.dropped}
}

// ExpectSpans says why there may be a span and why one may be dropped, before any is counted.
func (m *Metrics) ExpectSpans(reasons, drops []string) {
	for _, reason := range reasons {
		m.traces.made[reason] = m.traces.spans.WithLabelValues(reason)
	}
	for _, reason := range drops {
		m.traces.lost[reason] = m.traces.dropped.WithLabelValues(reason)
	}
}

// Traced counts a span, by why it was made, which is expected.
func (m *Metrics) Traced(reason string) { m.traces.made[reason].Inc() }

// TraceDropped counts n spans that are not exported, by why, which is expected.
func (m *Metrics) TraceDropped(reason string, n int) { m.traces.lost[reason].Add(float64(n)) }
