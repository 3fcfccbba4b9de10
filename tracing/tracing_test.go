package tracing

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/internal/testbed/otlp"
	"github.com/respgate/respgate/tenant"
)

// counts notes what an Observer hears.
type counts struct {
	mu  sync.Mutex
	all map[string]int
}

func (c *counts) Traced(reason string)              { c.add(reason, 1) }
func (c *counts) TraceDropped(reason string, n int) { c.add("-"+reason, n) }

func (c *counts) add(what string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = map[string]int{}
	}
	c.all[what] += n
}

func (c *counts) take() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := maps.Clone(c.all)
	clear(c.all)
	return all
}

// get is a command whose reply has come.
var get = tenant.Observed{
	Principal: &tenant.Principal{KeyID: "0123456789ab", Org: "acme", Route: tenant.Route{Label: "acme/cache"}},
	Session:   7, Client: netip.MustParseAddrPort("[2001:db8::1]:5000"), Command: uint16(command.Lookup([]byte("get"))),
	Begins: []byte("canary"), Reply: []byte("canary"), Name: "canary", At: time.Unix(1_700_000_000, 123_456_000),
}

// show has a loop see a command that is picked at random and written at once.
func show(l *Loop) {
	o := get
	o.Why, o.Every = tenant.WhySampled, 1
	if written := l.Saw(&o); written != nil {
		written(o.At)
	}
}

// exemplar keeps the last one.
type exemplar struct {
	id    command.ID
	took  time.Duration
	trace string
	at    time.Time
}

func (e *exemplar) Exemplar(id command.ID, took time.Duration, trace string, at time.Time) {
	*e = exemplar{id, took, trace, at}
}

// open returns a tracer that exports at once, until the test ends.
func open(t *testing.T, cfg Config, log *slog.Logger) (*Tracer, *counts) {
	t.Helper()
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
	c := &counts{}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	tracer, err := New(t.Context(), cfg, c, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sync.OnceFunc(tracer.Close))
	return tracer, c
}

func TestCheckEndpoint(t *testing.T) {
	const url, path, user = "want a URL such as", "without a path", "without a user"
	for _, c := range []struct{ endpoint, protocol, want string }{
		{"http://127.0.0.1:4317", "grpc", ""},
		{"https://collector.example:4317/", "grpc", ""},
		{"https://collector.example", "http", ""},
		{"https://collector.example/otlp/v1/traces", "http", ""},
		{"https://collector.example/v1/traces", "grpc", path},
		{"collector:4317", "grpc", url},
		{"127.0.0.1:4317", "grpc", url},
		{"grpc://collector:4317", "grpc", url},
		{"http://", "http", url},
		{"http://:4317", "grpc", url},
		{"http://host:port", "http", url},
		{"http://host/?key=x", "http", url},
		{"http://user:secret@host:4318", "http", user},
	} {
		t.Run(c.protocol+" "+c.endpoint, func(t *testing.T) {
			err := CheckEndpoint(c.endpoint, c.protocol)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("got %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %q", err, c.want)
			case err != nil && strings.Contains(err.Error(), "secret"):
				t.Errorf("a password is in %v", err)
			}
		})
	}
}

// TestDelay: a wrong one in the environment is told, and does not keep a processor busy.
func TestDelay(t *testing.T) {
	for value, want := range map[string]bool{"": true, "1": true, "5000": true, "0": false, "-1": false, "5s": false, "9223372036854775807": false} {
		t.Setenv("OTEL_BSP_SCHEDULE_DELAY", value)
		tracer, err := New(t.Context(), Config{Endpoint: "http://127.0.0.1:1", Protocol: "http"}, &counts{}, slog.New(slog.DiscardHandler))
		if (err == nil) != want || err != nil && !strings.HasPrefix(err.Error(), "OTEL_BSP_SCHEDULE_DELAY: want milliseconds") {
			t.Errorf("%q: got %v", value, err)
		}
		if err == nil {
			tracer.Close()
		}
	}
}

// TestBatchesOfTheEnvironment: what the environment says of queue and batches, which are
// respgate's to bound, does no harm.
func TestBatchesOfTheEnvironment(t *testing.T) {
	for _, name := range []string{"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "OTEL_BSP_MAX_QUEUE_SIZE"} {
		for _, value := range []string{"-1", "0", "1", "1000000000"} {
			t.Run(name+" "+value, func(t *testing.T) {
				t.Setenv(name, value)
				r := otlp.Receive(t, "http")
				tracer, heard := open(t, Config{Endpoint: r.URL, Protocol: "http", Sampling: Sampling{Ratio: 1}}, nil)
				show(tracer.Loop(nil))
				tracer.Close()
				if n := len(r.Spans()); n != 1 {
					t.Errorf("%d spans have arrived, want 1: %v", n, heard.take())
				}
			})
		}
	}
}

func TestTracesURL(t *testing.T) {
	for in, want := range map[string]string{
		"http://a:4318":                "http://a:4318/v1/traces",
		"http://a:4318/":               "http://a:4318/v1/traces",
		"http://a:4318/v1/traces":      "http://a:4318/v1/traces",
		"https://a/otlp":               "https://a/otlp/v1/traces",
		"https://a/otlp/v1/traces/":    "https://a/otlp/v1/traces",
		"https://a/api/otel/v1/traces": "https://a/api/otel/v1/traces",
	} {
		if got := tracesURL(in); got != want {
			t.Errorf("spans for %s go to %s, want %s", in, got, want)
		}
	}
}

func TestEvery(t *testing.T) {
	for ratio, want := range map[float64]int{0: 0, 1: 1, 0.5: 2, 0.4: 2, 0.01: 100, 0.99: 1, 1e-18: 1<<31 - 1} {
		if got := (Sampling{Ratio: ratio}).every(); got != want {
			t.Errorf("%v is one in %d, want %d", ratio, got, want)
		}
	}
}

// TestCommand: everything that a span tells arrives, over both protocols, with what the
// environment says.
func TestCommand(t *testing.T) {
	began := get.At.Add(-9 * time.Millisecond)
	for _, protocol := range otlp.Protocols {
		t.Run(protocol, func(t *testing.T) {
			r := otlp.Receive(t, protocol)
			t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-scope=acme")
			t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging,service.name=other")
			t.Setenv("OTEL_SERVICE_NAME", "edge")
			tracer, heard := open(t, Config{Endpoint: r.URL, Protocol: protocol, Sampling: Sampling{Slow: time.Second}, Version: "v1", Instance: "Ab12Cd"}, nil)
			var kept exemplar
			loop := tracer.Loop(&kept)
			o := get
			o.Why, o.DB, o.Code = tenant.WhyFailed, 3, "WRONGTYPE"
			o.Limited, o.Waited, o.Took, o.Ahead = 3*time.Millisecond, time.Millisecond, 5*time.Millisecond, 2*time.Millisecond
			loop.Saw(&o)(o.At.Add(time.Millisecond))
			s := r.Wait(1, "the span arrives", func(otlp.Span) bool { return true })[0]
			want := map[string]any{
				"db.system.name": "redis", "db.operation.name": "GET", "db.namespace": "3", "db.response.status_code": "WRONGTYPE", "error.type": "WRONGTYPE",
				"client.address": "2001:db8::1", "client.port": int64(5000), "respgate.organization": "acme", "respgate.instance": "acme/cache",
				"respgate.key.id": "0123456789ab", "respgate.session.id": "Ab12Cd-7", "respgate.traced": "failed",
				"respgate.limit.duration": 0.003, "respgate.pool.duration": 0.001, "respgate.backend.duration": 0.005, "respgate.write.duration": 0.001, "respgate.ahead.duration": 0.002,
			}
			if !maps.Equal(s.Attributes, want) {
				t.Errorf("its attributes are\n%v, want\n%v", s.Attributes, want)
			}
			if s.Name != "GET" || s.Kind != "CLIENT" || !s.Failed || s.Status != "" || s.TraceID != kept.trace || s.ParentID != "" || !s.Began.Equal(began) || s.Ended.Sub(began) != 10*time.Millisecond ||
				kept.id != command.ID(o.Command) || kept.took != 5*time.Millisecond || !kept.at.Equal(o.At.Add(time.Millisecond)) {
				t.Errorf("it is %+v, its exemplar %+v", s, kept)
			}
			var events []string
			for _, e := range s.Events {
				events = append(events, e.Name+"+"+e.At.Sub(began).String())
			}
			if got := strings.Join(events, " "); got != "limit+3ms pool+4ms sent+4ms replied+9ms written+10ms" {
				t.Errorf("its events are %s", got)
			}
			for key, want := range map[string]string{"service.name": "edge", "service.version": "v1", "service.instance.id": "Ab12Cd", "deployment.environment.name": "staging", "telemetry.sdk.language": "go"} {
				if s.Resource[key] != want {
					t.Errorf("the process's %s is %v, want %s", key, s.Resource[key], want)
				}
			}
			if got := r.Header("x-scope"); len(got) != 1 || got[0] != "acme" {
				t.Errorf("the header that OTEL_EXPORTER_OTLP_HEADERS asks for is %v", got)
			}
			if got := heard.take(); !maps.Equal(got, map[string]int{"failed": 1}) {
				t.Errorf("counted were %v", got)
			}
			if bytes.Contains(r.Raw(), []byte("canary")) {
				t.Errorf("what the client sent, or was sent, is in %q", r.Raw())
			}
		})
	}
}

// TestRefusedCommand: one that was not sent has no phases before its reply.
func TestRefusedCommand(t *testing.T) {
	r := otlp.Receive(t, "grpc")
	tracer, _ := open(t, Config{Endpoint: r.URL, Protocol: "grpc"}, nil)
	var kept exemplar
	loop := tracer.Loop(&kept)
	for i, c := range []struct {
		id                       command.ID
		name, code, prefix, kind string
	}{
		{command.Other, "other", "RATELIMIT", "RATELIMIT", "RATELIMIT"},
		{command.Lookup([]byte("config")).Sub([]byte("GET")), "CONFIG GET", "NOPERM", "NOPERM", "NOPERM"},
		{command.Lookup([]byte("set")), "SET", "backend_unavailable", "ERR", "backend_unavailable"},
		{command.Lookup([]byte("eval")), "EVAL", "other", "other", "other"},
	} {
		o := get
		o.At = get.At.Add(time.Duration(i) * time.Second)
		o.Command, o.Why, o.Refused, o.Code = uint16(c.id), tenant.WhyFailed, true, c.code
		loop.Saw(&o)(o.At)
		s := r.Wait(i+1, "the span arrives", func(otlp.Span) bool { return true })[i]
		if s.Name != c.name || s.Attributes["db.operation.name"] != c.name || s.Attributes["db.response.status_code"] != c.prefix || s.Attributes["error.type"] != c.kind || !s.Failed {
			t.Errorf("%s: %+v", c.name, s)
		}
		if len(s.Events) != 2 || s.Events[0].Name != "replied" || s.Events[1].Name != "written" || s.Attributes["respgate.backend.duration"] != nil || s.Attributes["respgate.pool.duration"] != nil {
			t.Errorf("%s has phases that it had not: %+v", c.name, s)
		}
		if s.Resource["service.name"] != "respgate" {
			t.Errorf("without OTEL_SERVICE_NAME the service is %v", s.Resource["service.name"])
		}
	}
	blocked := get
	blocked.Command, blocked.Why, blocked.Code = uint16(command.Lookup([]byte("blpop"))), tenant.WhyFailed, "WRONGTYPE"
	loop.Saw(&blocked)(blocked.At)
	if kept.trace != "" {
		t.Errorf("what was not measured has the exemplar %+v", kept)
	}
}

func TestWrongResourceAttributes(t *testing.T) {
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "staging")
	if _, err := New(t.Context(), Config{Endpoint: "http://127.0.0.1:1", Protocol: "grpc"}, &counts{}, nil); err == nil || !strings.Contains(err.Error(), "OTEL_RESOURCE_ATTRIBUTES: want key=value") {
		t.Errorf("got %v", err)
	}
}

// TestWrongHeaders: what is wrong with a header is told without its value, which may be a token.
func TestWrongHeaders(t *testing.T) {
	for name, c := range map[string]struct{ variable, value string }{
		"no value":             {"OTEL_EXPORTER_OTLP_HEADERS", "canary"},
		"no name":              {"OTEL_EXPORTER_OTLP_HEADERS", "a=b,=canary"},
		"a name with a space":  {"OTEL_EXPORTER_OTLP_HEADERS", "api key=canary"},
		"a wrong escape":       {"OTEL_EXPORTER_OTLP_HEADERS", "authorization=canary%zz"},
		"a line break":         {"OTEL_EXPORTER_OTLP_HEADERS", "authorization=canary%0a"},
		"one too many":         {"OTEL_EXPORTER_OTLP_TRACES_HEADERS", "authorization=canary,"},
		"those of traces only": {"OTEL_EXPORTER_OTLP_TRACES_HEADERS", "canary"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(c.variable, c.value)
			_, err := New(t.Context(), Config{Endpoint: "http://127.0.0.1:1", Protocol: "grpc"}, &counts{}, nil)
			if err == nil || !strings.HasPrefix(err.Error(), c.variable+": want name=value pairs") || strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20a.b=c, x-scope = acme")
	open(t, Config{Endpoint: "http://127.0.0.1:1", Protocol: "grpc"}, nil)
}

// TestSetSampling: a change counts for the next command.
func TestSetSampling(t *testing.T) {
	tracer, _ := open(t, Config{Endpoint: "http://127.0.0.1:1", Protocol: "grpc", Sampling: Sampling{Ratio: 0.01, Slow: time.Second}}, nil)
	l := tracer.Loop(nil)
	tracer.SetSampling(Sampling{Ratio: 0.5, Slow: time.Minute})
	if got, want := l.Watch(nil), (tenant.Watch{Every: 2, Slow: time.Minute, Failed: true}); got != want {
		t.Errorf("it wants %+v, want %+v", got, want)
	}
	o := get
	o.Why, o.Took = tenant.WhySlow, time.Second
	if l.reason(&o) != "" {
		t.Error("a command of a second is slow where a minute is")
	}
}

func TestLogs(t *testing.T) {
	r := otlp.Receive(t, "grpc")
	tracer, _ := open(t, Config{Endpoint: r.URL, Protocol: "grpc"}, nil)
	var out bytes.Buffer
	log := slog.New(Logs(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})))
	log.With("a", 1).InfoContext(context.Background(), "no request")
	ctx, id, end := begin(t, tracer, "")
	log.WithGroup("g").InfoContext(ctx, "a request", "b", 2)
	end(200)
	want := "level=INFO msg=\"no request\" a=1\nlevel=INFO msg=\"a request\" g.b=2 g.trace_id=" + id + " g.span_id="
	if got := out.String(); !strings.HasPrefix(got, want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
