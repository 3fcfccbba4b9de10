package tracing

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"golang.org/x/time/rate"
)

const (
	// maxQueued is how many spans may wait for the receiver, at some 3 KiB each.
	maxQueued = 2048
	// maxBatch is how many of them are exported at once.
	maxBatch = 512
	// complaints is how often the log tells that spans cannot be exported.
	complaints = time.Minute
	// maxComplaint bounds what it tells of the receiver's answer, in bytes.
	maxComplaint = 256
)

// queue has spans wait for their export in batches, up to a bound of its own: what the SDK's
// processor drops, nobody hears of. Errors stay here, since the SDK's handler for them is
// the whole process's.
type queue struct {
	sdktrace.SpanProcessor
	exporter sdktrace.SpanExporter
	obs      Observer
	log      *slog.Logger
	complain rate.Sometimes
	waiting  atomic.Int64 // spans, those of the batch under way too
	lost     int          // since the log was told; the processor exports one batch at a time
	life     context.Context
	kill     context.CancelFunc
	ended    chan struct{} // closed when the exporter is shut down
}

func newQueue(exporter sdktrace.SpanExporter, obs Observer, log *slog.Logger) *queue {
	q := &queue{exporter: exporter, obs: obs, log: log, complain: rate.Sometimes{Interval: complaints}, ended: make(chan struct{})}
	q.life, q.kill = context.WithCancel(context.Background())
	q.SpanProcessor = sdktrace.NewBatchSpanProcessor((*exports)(q), sdktrace.WithMaxQueueSize(maxQueued), sdktrace.WithMaxExportBatchSize(maxBatch))
	return q
}

// full reports whether one more span would be dropped.
func (q *queue) full() bool { return q.waiting.Load() >= maxQueued }

// OnEnd implements sdktrace.SpanProcessor.
func (q *queue) OnEnd(s sdktrace.ReadOnlySpan) {
	if q.waiting.Add(1) > maxQueued {
		q.waiting.Add(-1)
		q.obs.TraceDropped(dropQueue, 1)
		return
	}
	q.SpanProcessor.OnEnd(s)
}

// end gives up what has not been exported when the processor was shut down, and waits for
// the export under way to notice.
func (q *queue) end() {
	q.kill()
	<-q.ended
}

// exports is the queue as the SDK's processor sees it.
type exports queue

// ExportSpans implements sdktrace.SpanExporter.
func (e *exports) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.life, cancel)()
	err := e.exporter.ExportSpans(ctx, spans)
	e.waiting.Add(-int64(len(spans)))
	if err == nil {
		return nil
	}
	e.obs.TraceDropped(dropExport, len(spans))
	e.lost += len(spans)
	e.complain.Do(func() {
		why := err.Error()
		e.log.Warn("spans cannot be exported, and are dropped", "spans", e.lost, "error", why[:min(len(why), maxComplaint)])
		e.lost = 0
	})
	return nil
}

// Shutdown implements sdktrace.SpanExporter.
func (e *exports) Shutdown(ctx context.Context) error {
	defer close(e.ended)
	return e.exporter.Shutdown(ctx)
}
