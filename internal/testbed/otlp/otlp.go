// Package otlp receives OpenTelemetry spans in tests, over gRPC or HTTP.
package otlp

import (
	"context"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	pb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/respgate/respgate/internal/testbed"
)

// Protocols are those that Receive knows.
var Protocols = []string{"grpc", "http"}

// Span is a span as it was received.
type Span struct {
	Name, Kind                string // Kind is INTERNAL, SERVER, CLIENT …
	TraceID, SpanID, ParentID string // in hexadecimal; ParentID is "" for a root
	Began, Ended              time.Time
	Attributes                map[string]any // string, int64, float64 or bool
	Events                    []Event
	Failed                    bool           // its status is Error
	Status                    string         // what that says
	Resource                  map[string]any // what process it is of
}

// Event is one of a span's events.
type Event struct {
	Name string
	At   time.Time
}

// Receiver takes spans until the test ends.
type Receiver struct {
	collector.UnimplementedTraceServiceServer
	URL string // for tracing.endpoint

	tb   testing.TB
	mu   sync.Mutex
	open chan struct{} // closed while the receiver answers
	all  []Span
	raw  []byte
	sent map[string][]string // the header of the last request
}

// Receive starts a receiver that speaks protocol, grpc or http.
func Receive(tb testing.TB, protocol string) *Receiver {
	tb.Helper()
	r := &Receiver{tb: tb, open: make(chan struct{})}
	close(r.open)
	if protocol == "http" {
		srv := httptest.NewServer(http.HandlerFunc(r.post))
		tb.Cleanup(srv.Close)
		tb.Cleanup(r.Answer)
		r.URL = srv.URL
		return r
	}
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	srv := grpc.NewServer()
	collector.RegisterTraceServiceServer(srv, r)
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(ln) })
	tb.Cleanup(func() { srv.Stop(); serving.Wait() })
	tb.Cleanup(r.Answer)
	r.URL = "http://" + ln.Addr().String()
	return r
}

// Hang has the receiver answer nobody, until Answer.
func (r *Receiver) Hang() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open = make(chan struct{})
}

// Answer undoes Hang.
func (r *Receiver) Answer() {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.open:
	default:
		close(r.open)
	}
}

// Export implements the collector's service.
func (r *Receiver) Export(ctx context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	raw, err := proto.Marshal(req)
	if err != nil {
		return nil, err
	}
	if err := r.take(ctx, req, raw, md); err != nil {
		return nil, err
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// post is Export over HTTP.
func (r *Receiver) post(w http.ResponseWriter, h *http.Request) {
	raw, err := io.ReadAll(h.Body)
	var req collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(raw, &req)
	}
	if err != nil || h.Method != http.MethodPost || h.URL.Path != "/v1/traces" || h.Header.Get("Content-Type") != "application/x-protobuf" {
		r.tb.Errorf("the receiver is sent %s %s: %v", h.Method, h.URL, err)
		http.Error(w, "want spans", http.StatusBadRequest)
		return
	}
	if r.take(h.Context(), &req, raw, h.Header) != nil {
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (r *Receiver) take(ctx context.Context, req *collector.ExportTraceServiceRequest, raw []byte, header map[string][]string) error {
	r.mu.Lock()
	open := r.open
	r.mu.Unlock()
	select {
	case <-open:
	case <-ctx.Done():
		return ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.raw = append(r.raw, raw...)
	r.sent = header
	for _, of := range req.ResourceSpans {
		for _, scope := range of.ScopeSpans {
			for _, s := range scope.Spans {
				r.all = append(r.all, read(s, attributes(of.Resource.GetAttributes())))
			}
		}
	}
	return nil
}

// Spans returns the spans that were received, those that began first in front.
func (r *Receiver) Spans() []Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.Clone(r.all)
	slices.SortStableFunc(all, func(a, b Span) int { return a.Began.Compare(b.Began) })
	return all
}

// Raw returns all bytes that were received.
func (r *Receiver) Raw() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.raw)
}

// Header returns a field of the last request, whose name is in lower case.
func (r *Receiver) Header(name string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if values := r.sent[name]; values != nil {
		return values
	}
	return r.sent[http.CanonicalHeaderKey(name)]
}

// Wait returns the spans for which want is true, when there are n of them or more.
func (r *Receiver) Wait(n int, what string, want func(Span) bool) (found []Span) {
	r.tb.Helper()
	testbed.Eventually(r.tb, what, func() bool {
		found = slices.DeleteFunc(r.Spans(), func(s Span) bool { return !want(s) })
		return len(found) >= n
	})
	return found
}

func read(s *pb.Span, resource map[string]any) Span {
	at := func(nanos uint64) time.Time { return time.Unix(0, int64(nanos)) }
	out := Span{
		Name: s.Name, Kind: s.Kind.String()[len("SPAN_KIND_"):], Began: at(s.StartTimeUnixNano), Ended: at(s.EndTimeUnixNano),
		TraceID: hex.EncodeToString(s.TraceId), SpanID: hex.EncodeToString(s.SpanId), ParentID: hex.EncodeToString(s.ParentSpanId),
		Attributes: attributes(s.Attributes), Resource: resource,
		Failed: s.Status.GetCode() == pb.Status_STATUS_CODE_ERROR, Status: s.Status.GetMessage(),
	}
	for _, e := range s.Events {
		out.Events = append(out.Events, Event{e.Name, at(e.TimeUnixNano)})
	}
	return out
}

func attributes(list []*common.KeyValue) map[string]any {
	all := map[string]any{}
	for _, a := range list {
		switch v := a.Value.GetValue().(type) {
		case *common.AnyValue_StringValue:
			all[a.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			all[a.Key] = v.IntValue
		case *common.AnyValue_DoubleValue:
			all[a.Key] = v.DoubleValue
		case *common.AnyValue_BoolValue:
			all[a.Key] = v.BoolValue
		}
	}
	return all
}
