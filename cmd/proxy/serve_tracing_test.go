package main

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/respgate/respgate/internal/testbed/otlp"
)

func TestTracingConfig(t *testing.T) {
	for name, c := range map[string]struct{ key, value, want string }{
		"no URL":          {"RESPGATE_TRACING_ENDPOINT", "localhost:4317", "tracing.endpoint (from RESPGATE_TRACING_ENDPOINT): want a URL such as http://127.0.0.1:4317"},
		"a password":      {"RESPGATE_TRACING_ENDPOINT", "http://a:b@localhost:4317", "tracing.endpoint (from RESPGATE_TRACING_ENDPOINT): want a URL without a user or password"},
		"a path for gRPC": {"RESPGATE_TRACING_ENDPOINT", "http://localhost:4317/v1/traces", "tracing.endpoint: want a URL without a path"},
		"the protocol":    {"RESPGATE_TRACING_PROTOCOL", "http/json", "tracing.protocol (from RESPGATE_TRACING_PROTOCOL): want grpc, http"},
		"the ratio":       {"RESPGATE_TRACING_SAMPLE_RATIO", "1.5", "tracing.sample_ratio (from RESPGATE_TRACING_SAMPLE_RATIO): want a number from 0 to 1"},
		"slow":            {"RESPGATE_TRACING_SLOW", "-1s", "tracing.slow (from RESPGATE_TRACING_SLOW): want a duration"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("RESPGATE_CONFIG", "")
			t.Setenv(c.key, c.value)
			if _, err := loadConfig(""); err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// traced is testConfig with a receiver for what it traces, which gets it soon.
func traced(t testing.TB, protocol string) (Config, *otlp.Receiver) {
	t.Helper()
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
	r := otlp.Receive(t, protocol)
	cfg := testConfig(t)
	cfg.Tracing.Endpoint, cfg.Tracing.Protocol = r.URL, protocol
	cfg.HTTP.AdminToken = "canary: the operator's own token, long enough"
	return cfg, r
}

// TestRequestsAreTraced: a request to the management API is a part of its client's trace, and
// the store's queries are a part of the request; so is what the log says. Nothing of what was
// sent is told. Health and metrics are not traced.
func TestRequestsAreTraced(t *testing.T) {
	const trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	for _, protocol := range otlp.Protocols {
		t.Run(protocol, func(t *testing.T) {
			cfg, receiver := traced(t, protocol)
			r := startServe(t, cfg)
			ask := func(method, path, body, traceparent string) (status int, traceresponse string) {
				t.Helper()
				req, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.http+path, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", "Bearer "+cfg.HTTP.AdminToken.Reveal())
				req.Header.Set("Content-Type", "application/json")
				req.Header.Set("Traceparent", traceparent)
				res, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				_ = res.Body.Close()
				return res.StatusCode, res.Header.Get("Traceresponse")
			}
			defer http.DefaultClient.CloseIdleConnections()
			ask("GET", "/health", "", "00-"+trace+"-"+parent+"-01")
			ask("GET", "/metrics", "", "00-"+trace+"-"+parent+"-01")
			status, answered := ask("POST", "/api/v1/organizations", `{"name":"canary-acme"}`, "00-"+trace+"-"+parent+"-01")
			if status != http.StatusCreated || !strings.HasPrefix(answered, "00-"+trace+"-") {
				t.Errorf("answered %d with traceresponse %q", status, answered)
			}
			ask("GET", "/api/v1/organizations/canary-nosuch?cursor=canary", "", "")
			served := receiver.Wait(2, "both requests are traced", func(s otlp.Span) bool { return s.Kind == "SERVER" })
			if len(served) != 2 || served[0].Name != "POST /api/v1/organizations" || served[0].TraceID != trace || served[0].ParentID != parent ||
				served[1].Name != "GET /api/v1/organizations/{org}" || served[1].TraceID == trace || served[1].ParentID != "" {
				t.Errorf("the requests' spans are %+v", served)
			}
			queries := receiver.Wait(2, "their queries are traced", func(s otlp.Span) bool { return s.Attributes["db.system.name"] == "sqlite" })
			for _, q := range queries {
				if of := slices.IndexFunc(served, func(s otlp.Span) bool { return s.SpanID == q.ParentID && s.TraceID == q.TraceID }); of < 0 {
					t.Errorf("a query of no request: %+v", q)
				}
			}
			if i := slices.IndexFunc(queries, func(s otlp.Span) bool { return s.TraceID == trace && s.Name == "create_organization" }); i < 0 {
				t.Errorf("none of the queries makes the organization: %+v", queries)
			}
			if bytes.Contains(receiver.Raw(), []byte("canary")) {
				t.Errorf("what a client has sent is in %q", receiver.Raw())
			}
		})
	}
}

// TestCommandLineIsTraced: the command line takes part in the trace that TRACEPARENT names.
func TestCommandLineIsTraced(t *testing.T) {
	const trace = "0af7651916cd43dd8448eb211c80319c"
	cfg, receiver := traced(t, "grpc")
	r := startServe(t, cfg)
	t.Setenv(serverVariable, "http://"+r.http)
	t.Setenv(tokenVariable, cfg.HTTP.AdminToken.Reveal())
	t.Setenv("TRACEPARENT", "00-"+trace+"-b7ad6b7169203331-01")
	if status, said := shell(t, "org list"); status != 0 {
		t.Fatalf("org list: %s", said)
	}
	receiver.Wait(1, "its request is traced", func(s otlp.Span) bool { return s.TraceID == trace && s.Kind == "SERVER" })
}
