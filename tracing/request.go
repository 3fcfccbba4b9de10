package tracing

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// maxTraceState bounds what is taken over of a client's tracestate, in bytes: W3C wants as much
// to be. Every span below the request has it again, and whoever asks may send 16 KiB.
const maxTraceState = 512

// otherMethod is what Begin is told of a method that HTTP does not define.
const otherMethod = "other"

// Begin begins the span of an HTTP request that the route with that pattern serves: a child
// of what the client's traceparent names (W3C Trace Context), unless that is not sampled.
// The request is to be served with ctx. id is the trace's, "" where there is no span; the
// answer gets it as its traceresponse. end is called with the answer's status.
func (t *Tracer) Begin(answer http.Header, r *http.Request, method, route string) (ctx context.Context, id string, end func(status int)) {
	ctx = propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	sent := trace.SpanContextFromContext(ctx)
	if sent.IsValid() && !sent.IsSampled() {
		return ctx, "", func(int) {}
	}
	if !t.requests.Allow() {
		t.obs.TraceDropped(dropRate, 1)
		return r.Context(), "", func(int) {}
	}
	if len(sent.TraceState().String()) > maxTraceState {
		ctx = trace.ContextWithRemoteSpanContext(ctx, sent.WithTraceState(trace.TraceState{}))
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	name := method
	if method == otherMethod {
		method, name = "_OTHER", "HTTP" // as the conventions have it
	}
	ctx, span := t.tracer.Start(ctx, name+" "+route, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		semconv.HTTPRequestMethodKey.String(method), semconv.HTTPRoute(route),
		semconv.URLPath(route), // ids stay here, and so does what somebody puts there by mistake
		semconv.URLScheme(scheme),
	))
	sc := span.SpanContext()
	answer.Set("Traceresponse", "00-"+sc.TraceID().String()+"-"+sc.SpanID().String()+"-01")
	return ctx, sc.TraceID().String(), func(status int) {
		span.SetAttributes(semconv.HTTPResponseStatusCode(status))
		if status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, "")
			span.SetAttributes(semconv.ErrorTypeKey.String(strconv.Itoa(status)))
		}
		t.obs.Traced(reasonHTTP)
		span.End()
	}
}

// Query makes the span of a query to the store that has just ended, where it was made for a
// request that is traced.
func (t *Tracer) Query(ctx context.Context, name string, took time.Duration, err error) {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return
	}
	now := time.Now()
	_, span := t.tracer.Start(ctx, name, trace.WithTimestamp(now.Add(-took)), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(t.store, semconv.DBOperationName(name)))
	if err != nil {
		kind := semconv.ErrorTypeOther
		if errors.Is(err, context.DeadlineExceeded) {
			kind = semconv.ErrorTypeKey.String("timeout")
		}
		span.SetStatus(codes.Error, "") // the error may have what somebody has typed
		span.SetAttributes(kind)
	}
	span.End(trace.WithTimestamp(now))
}
