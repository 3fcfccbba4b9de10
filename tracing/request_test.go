package tracing

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed/otlp"
)

const (
	parentTrace = "0af7651916cd43dd8448eb211c80319c"
	parentSpan  = "b7ad6b7169203331"
)

// begin begins a request whose client sends traceparent.
func begin(t *testing.T, tracer *Tracer, traceparent string) (context.Context, string, func(int)) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/api/v1/keys/canary-id?canary=query", nil)
	r.Header.Set("Authorization", "Bearer canary-token")
	if traceparent != "" {
		r.Header.Set("Traceparent", traceparent)
	}
	answer := http.Header{}
	ctx, id, end := tracer.Begin(answer, r, http.MethodGet, "/api/v1/keys/{key}")
	if got := answer.Get("Traceresponse"); (id == "") != (got == "") || !strings.Contains(got, id) {
		t.Errorf("the answer's traceresponse is %q, the trace is %q", got, id)
	}
	return ctx, id, end
}

// TestRequest: a request and its queries make a trace, which goes on with the client's.
func TestRequest(t *testing.T) {
	for name, c := range map[string]struct {
		traceparent, trace, parent string
		spans                      int
	}{
		"a trace of its own":   {"", "", "", 2},
		"the client's":         {"00-" + parentTrace + "-" + parentSpan + "-01", parentTrace, parentSpan, 2},
		"not sampled":          {"00-" + parentTrace + "-" + parentSpan + "-00", "", "", 0},
		"not a context":        {"00-xyz-b7ad6b7169203331-01", "", "", 2},
		"of all zeros":         {"00-00000000000000000000000000000000-b7ad6b7169203331-01", "", "", 2},
		"of a version to come": {"01-" + parentTrace + "-" + parentSpan + "-01-more", parentTrace, parentSpan, 2},
	} {
		t.Run(name, func(t *testing.T) {
			r := otlp.Receive(t, "http")
			tracer, heard := open(t, Config{Endpoint: r.URL, Protocol: "http", Store: "postgres"}, nil)
			ctx, id, end := begin(t, tracer, c.traceparent)
			tracer.Query(ctx, "keys", time.Millisecond, nil)
			tracer.Query(context.Background(), "changes", time.Millisecond, nil) // nobody's
			end(http.StatusOK)
			tracer.Close()
			spans := r.Spans()
			if len(spans) != c.spans {
				t.Fatalf("%d spans, want %d: %+v", len(spans), c.spans, spans)
			}
			if want := map[string]int{"http": 1}; c.spans > 0 && !maps.Equal(heard.take(), want) {
				t.Errorf("counted are not %v", want)
			}
			if strings.Contains(string(r.Raw()), "canary") {
				t.Errorf("what the client sent is in %q", r.Raw())
			}
			if c.spans == 0 {
				return
			}
			served, query := spans[0], spans[1]
			if served.Name == "keys" { // they may begin in the same nanosecond
				served, query = query, served
			}
			if served.TraceID != id || c.trace != "" && id != c.trace || served.ParentID != c.parent || query.TraceID != id || query.ParentID != served.SpanID {
				t.Errorf("the trace is %s, its spans are %+v and %+v", id, served, query)
			}
			want := map[string]any{"http.request.method": "GET", "http.route": "/api/v1/keys/{key}", "url.path": "/api/v1/keys/{key}", "url.scheme": "http", "http.response.status_code": int64(200)}
			if served.Name != "GET /api/v1/keys/{key}" || served.Kind != "SERVER" || served.Failed || !maps.Equal(served.Attributes, want) {
				t.Errorf("the request is %+v", served)
			}
			want = map[string]any{"db.system.name": "postgresql", "db.operation.name": "keys"}
			if query.Name != "keys" || query.Kind != "CLIENT" || query.Failed || !maps.Equal(query.Attributes, want) || query.Ended.Sub(query.Began) != time.Millisecond {
				t.Errorf("the query is %+v", query)
			}
		})
	}
}

// TestUnknownMethod is told by OpenTelemetry's conventions.
func TestUnknownMethod(t *testing.T) {
	r := otlp.Receive(t, "grpc")
	tracer, _ := open(t, Config{Endpoint: r.URL, Protocol: "grpc"}, nil)
	_, _, end := tracer.Begin(http.Header{}, httptest.NewRequest("BREW", "/api/v1/keys", nil), "other", "/api/v1/keys")
	end(http.StatusMethodNotAllowed)
	tracer.Close()
	if all := r.Spans(); len(all) != 1 || all[0].Name != "HTTP /api/v1/keys" || all[0].Attributes["http.request.method"] != "_OTHER" {
		t.Errorf("the spans are %+v", all)
	}
}

// TestTraceState: what a client's tracestate says goes on, as long as it is short: every span
// has it again, and whoever asks may send one.
func TestTraceState(t *testing.T) {
	r := otlp.Receive(t, "grpc")
	tracer, _ := open(t, Config{Endpoint: r.URL, Protocol: "grpc"}, nil)
	for _, state := range []string{"short=canary", "long=" + strings.Repeat("x", 250) + ",longer=" + strings.Repeat("x", 250)} {
		ask := httptest.NewRequest(http.MethodGet, "/api/v1/keys", nil)
		ask.Header.Set("Traceparent", "00-"+parentTrace+"-"+parentSpan+"-01")
		ask.Header.Set("Tracestate", state)
		ctx, id, end := tracer.Begin(http.Header{}, ask, http.MethodGet, "/api/v1/keys")
		tracer.Query(ctx, "keys", time.Millisecond, nil)
		end(http.StatusOK)
		if id != parentTrace {
			t.Errorf("with the state %.20s… the trace is %s, want %s", state, id, parentTrace)
		}
	}
	tracer.Close()
	raw := string(r.Raw())
	if n := strings.Count(raw, "short=canary"); len(r.Spans()) != 4 || n != 2 || strings.Contains(raw, "long") {
		t.Errorf("of %d spans %d have the short state, want 2 of 4, and none the long one", len(r.Spans()), n)
	}
}

// TestFailedRequest: what failed says so, and no more: an error may have what somebody typed.
func TestFailedRequest(t *testing.T) {
	r := otlp.Receive(t, "grpc")
	tracer, _ := open(t, Config{Endpoint: r.URL, Protocol: "grpc", Store: "sqlite"}, nil)
	ctx, _, end := begin(t, tracer, "")
	tracer.Query(ctx, "broken", time.Millisecond, errors.New("canary in an error"))
	tracer.Query(ctx, "late", time.Millisecond, context.DeadlineExceeded)
	end(http.StatusServiceUnavailable)
	tracer.Close()
	want := map[string]any{"broken": "_OTHER", "late": "timeout", "GET /api/v1/keys/{key}": "503"}
	for _, s := range r.Spans() {
		if got := s.Attributes["error.type"]; !s.Failed || s.Status != "" || got != want[s.Name] {
			t.Errorf("%s: failed %t %q, error.type %v, want %v", s.Name, s.Failed, s.Status, got, want[s.Name])
		}
	}
	if n := len(r.Spans()); n != 3 || strings.Contains(string(r.Raw()), "canary") {
		t.Errorf("%d spans: %q", n, r.Raw())
	}
}

// TestManyRequests: who asks for traces all the time gets some.
func TestManyRequests(t *testing.T) {
	r := otlp.Receive(t, "grpc")
	tracer, heard := open(t, Config{Endpoint: r.URL, Protocol: "grpc"}, nil)
	const n = 20 * perSecond
	for range n {
		_, _, end := begin(t, tracer, "00-"+parentTrace+"-"+parentSpan+"-01")
		end(http.StatusOK)
	}
	got := heard.take()
	if got[reasonHTTP] < perSecond || got[reasonHTTP]+got["-"+dropRate] != n || got["-"+dropRate] == 0 {
		t.Errorf("of %d counted were %v", n, got)
	}
}
