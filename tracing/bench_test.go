package tracing

import (
	"log/slog"
	"testing"
)

// BenchmarkSpan makes spans, which nobody takes but the queue's bound is not felt.
func BenchmarkSpan(b *testing.B) {
	tracer, err := New(b.Context(), Config{Endpoint: "http://127.0.0.1:1", Protocol: "http", Sampling: Sampling{Ratio: 1}}, &counts{}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer tracer.Close()
	l := tracer.Loop(nil)
	b.ReportAllocs()
	for b.Loop() {
		tracer.queue.waiting.Store(0)
		show(l)
	}
}
