package metrics

import "github.com/prometheus/client_golang/prometheus"

// traces are the spans that were made and those that were not, or were made for nothing.
type traces struct{ spans, dropped *prometheus.CounterVec }

func newTraces() traces {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"reason"})
	}
	return traces{
		spans:   counter("respgate_trace_spans_total", "Spans that were made of commands (ratio, slow, failed) and of HTTP requests (http), by why."),
		dropped: counter("respgate_trace_spans_dropped_total", "Spans that were not exported: there were too many in a second (rate), too many waited (queue), or the receiver did not take them (export)."),
	}
}

func (t *traces) collectors() []prometheus.Collector {
	return []prometheus.Collector{t.spans, t.dropped}
}

// ExpectSpans has the series of these reasons for a span, and of these for dropping one, exist
// from the start, at 0.
func (m *Metrics) ExpectSpans(reasons, drops []string) {
	for _, reason := range reasons {
		m.traces.spans.WithLabelValues(reason)
	}
	for _, reason := range drops {
		m.traces.dropped.WithLabelValues(reason)
	}
}

// Traced counts a span, by why it was made: one of a fixed set.
func (m *Metrics) Traced(reason string) { m.traces.spans.WithLabelValues(reason).Inc() }

// TraceDropped counts n spans that are not exported, by why: one of a fixed set.
func (m *Metrics) TraceDropped(reason string, n int) {
	m.traces.dropped.WithLabelValues(reason).Add(float64(n))
}
