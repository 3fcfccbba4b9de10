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
	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/internal/testbed/otlp"
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
		if got := (Sampling{Ratio: ratio}).Every(); got != want {
			t.Errorf("%v is one in %d, want %d", ratio, got, want)
		}
	}
}

// TestCommand: everything that a span tells arrives, over both protocols, with what the
// environment says.
func TestCommand(t *testing.T) {
	began := time.Unix(1_700_000_000, 123_456_000)
	for _, protocol := range otlp.Protocols {
		t.Run(protocol, func(t *testing.T) {
			r := otlp.Receive(t, protocol)
			t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-scope=acme")
			t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging,service.name=other")
			t.Setenv("OTEL_SERVICE_NAME", "edge")
			tracer, heard := open(t, Config{Endpoint: r.URL, Protocol: protocol, Sampling: Sampling{Ratio: 1, Slow: time.Second}, Version: "v1", Instance: "Ab12Cd"}, nil)
			id := tracer.Loop().Trace(&Command{
				ID: command.Lookup([]byte("get")), Reason: reasonFailed, Organization: "acme", Instance: "acme/cache", KeyID: "0123456789ab", Session: "Ab12Cd-7",
				Client: netip.MustParseAddrPort("[2001:db8::1]:5000"), Database: 3, Code: "WRONGTYPE", Error: "WRONGTYPE",
				Began: began, Sent: began.Add(time.Millisecond), Replied: began.Add(6 * time.Millisecond), Written: began.Add(7 * time.Millisecond), Ahead: 2 * time.Millisecond,
			})
			s := r.Wait(1, "the span arrives", func(otlp.Span) bool { return true })[0]
			want := map[string]any{
				"db.system.name": "redis", "db.operation.name": "GET", "db.namespace": "3", "db.response.status_code": "WRONGTYPE", "error.type": "WRONGTYPE",
				"client.address": "2001:db8::1", "client.port": int64(5000), "respgate.organization": "acme", "respgate.instance": "acme/cache",
				"respgate.key.id": "0123456789ab", "respgate.session.id": "Ab12Cd-7", "respgate.sampled": "failed",
				"respgate.pool.duration": 0.001, "respgate.backend.duration": 0.005, "respgate.write.duration": 0.001, "respgate.ahead.duration": 0.002,
			}
			if !maps.Equal(s.Attributes, want) {
				t.Errorf("its attributes are\n%v, want\n%v", s.Attributes, want)
			}
			if s.Name != "GET" || s.Kind != "CLIENT" || !s.Failed || s.Status != "" || s.TraceID != id || s.ParentID != "" || !s.Began.Equal(began) || s.Ended.Sub(began) != 7*time.Millisecond {
				t.Errorf("it is %+v, of the trace %s", s, id)
			}
			var events []string
			for _, e := range s.Events {
				events = append(events, e.Name+"+"+e.At.Sub(began).String())
			}
			if got := strings.Join(events, " "); got != "limit+0s pool+1ms sent+1ms replied+6ms written+7ms" {
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
		})
	}
}

// TestRefusedCommand: one that was not sent has no phases after the first, and no more is
// known of it than there is.
func TestRefusedCommand(t *testing.T) {
	r := otlp.Receive(t, "grpc")
	tracer, _ := open(t, Config{Endpoint: r.URL, Protocol: "grpc"}, nil)
	began := time.Unix(1_700_000_000, 0)
	tracer.Loop().Trace(&Command{Began: began, Client: netip.MustParseAddrPort("10.0.0.1:5"), Code: "RATELIMIT", Error: "RATELIMIT"})
	tracer.Loop().Trace(&Command{ID: command.Lookup([]byte("config")).Sub([]byte("GET")), Began: began.Add(time.Second), Client: netip.MustParseAddrPort("10.0.0.1:5")})
	spans := r.Wait(2, "the spans arrive", func(otlp.Span) bool { return true })
	if s := spans[0]; s.Name != "other" || s.Attributes["db.operation.name"] != "other" || len(s.Events) != 1 || !s.Ended.Equal(began) || s.Attributes["respgate.backend.duration"] != nil {
		t.Errorf("an unknown command that was refused: %+v", s)
	}
	if s := spans[1]; s.Name != "CONFIG GET" || s.Failed || s.Attributes["error.type"] != nil || s.Attributes["db.response.status_code"] != nil {
		t.Errorf("a subcommand: %+v", s)
	}
	if spans[0].Resource["service.name"] != "respgate" {
		t.Errorf("without OTEL_SERVICE_NAME the service is %v", spans[0].Resource["service.name"])
	}
}

func TestWrongResourceAttributes(t *testing.T) {
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "staging")
	if _, err := New(t.Context(), Config{Endpoint: "http://127.0.0.1:1", Protocol: "grpc"}, &counts{}, nil); err == nil || !strings.Contains(err.Error(), "OTEL_RESOURCE_ATTRIBUTES: want key=value") {
		t.Errorf("got %v", err)
	}
}

// TestPick: the ratio's share of those picked at random whoever they were picked for, and
// all that failed or were slow, up to the bound.
func TestPick(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	const n = 20_000
	for name, c := range map[string]struct {
		sampling    Sampling
		sign        Sign
		reason      string
		least, most int // of n
	}{
		"not picked":                     {Sampling{Ratio: 1, Slow: time.Second}, Sign{}, "", 0, 0},
		"all":                            {Sampling{Ratio: 1, Slow: time.Second}, Sign{Every: 1}, reasonRatio, n, n},
		"all of those for us":            {Sampling{Ratio: 0.01, Slow: time.Second}, Sign{Every: 100}, reasonRatio, n, n},
		"a third of those for others":    {Sampling{Ratio: 0.01, Slow: time.Second}, Sign{Every: 32}, reasonRatio, n * 28 / 100, n * 36 / 100},
		"none of those for others":       {Sampling{Ratio: 0, Slow: time.Second}, Sign{Every: 32}, "", 0, 0},
		"failed":                         {Sampling{Slow: time.Second}, Sign{Failed: true}, reasonFailed, perSecond, perSecond},
		"slow":                           {Sampling{Slow: time.Second}, Sign{Took: time.Second}, reasonSlow, perSecond, perSecond},
		"failed and slow":                {Sampling{Slow: time.Second}, Sign{Took: time.Second, Failed: true}, reasonFailed, perSecond, perSecond},
		"not slow enough for us":         {Sampling{Slow: time.Second}, Sign{Took: time.Second - 1}, "", 0, 0},
		"failed, and traced in any case": {Sampling{Ratio: 1, Slow: time.Second}, Sign{Every: 1, Failed: true}, reasonRatio, n, n},
	} {
		t.Run(name, func(t *testing.T) {
			tracer, heard := open(t, Config{Endpoint: "http://127.0.0.1:1", Protocol: "grpc", Sampling: c.sampling}, nil)
			l := tracer.Loop()
			got := 0
			for range n {
				reason, ok := l.Pick(c.sign, now)
				if !ok {
					continue
				}
				got++
				if reason != c.reason {
					t.Fatalf("one is traced for %q, want %q", reason, c.reason)
				}
			}
			if got < c.least || got > c.most {
				t.Errorf("%d of %d, want %d to %d", got, n, c.least, c.most)
			}
			dropped := heard.take()["-"+dropRate]
			if bounded := c.most == perSecond; bounded && dropped != n-got || !bounded && dropped != 0 {
				t.Errorf("%d dropped, %d traced of %d", dropped, got, n)
			}
			if _, ok := l.Pick(c.sign, now.Add(time.Second)); !ok && c.most == perSecond {
				t.Error("none is traced in the next second")
			}
		})
	}
}

// TestSetSampling: a change counts for the next command.
func TestSetSampling(t *testing.T) {
	tracer, _ := open(t, Config{Endpoint: "http://127.0.0.1:1", Protocol: "grpc", Sampling: Sampling{Ratio: 0.01, Slow: time.Second}}, nil)
	l := tracer.Loop()
	tracer.SetSampling(Sampling{Ratio: 0.5, Slow: time.Minute})
	if every, slow := l.Wants(); every != 2 || slow != time.Minute {
		t.Errorf("it wants one in %d, and those of %v", every, slow)
	}
	if _, ok := l.Pick(Sign{Took: time.Second}, time.Now()); ok {
		t.Error("a command of a second is slow where a minute is")
	}
}

// TestReceiverAway: whoever hands spans over never waits; what the receiver does not take is
// dropped and counted, told of once, and the end is bounded.
func TestReceiverAway(t *testing.T) {
	const n = 3 * maxQueued
	for _, protocol := range otlp.Protocols {
		for name, url := range map[string]func(t *testing.T) string{
			"refuses": func(t *testing.T) string { return "http://" + testbed.FreeAddr(t) },
			"hangs":   func(t *testing.T) string { r := otlp.Receive(t, protocol); r.Hang(); return r.URL },
		} {
			t.Run(protocol+" "+name, func(t *testing.T) {
				var log testbed.Buffer
				tracer, heard := open(t, Config{Endpoint: url(t), Protocol: protocol}, slog.New(slog.NewTextHandler(&log, nil)))
				l := tracer.Loop()
				for range n {
					l.Trace(&Command{Reason: reasonRatio, Began: time.Unix(1, 0)})
				}
				began := time.Now()
				tracer.Close()
				if took := time.Since(began); took > 10*flushTimeout {
					t.Errorf("the end takes %v", took)
				}
				got := heard.take()
				if got[reasonRatio]+got["-"+dropQueue] != n || got["-"+dropExport] != got[reasonRatio] || got["-"+dropExport] > maxQueued+512 {
					t.Errorf("of %d counted were %v", n, got)
				}
				if said := strings.Count(log.String(), "spans cannot be exported"); said != 1 {
					t.Errorf("that was told %d times:\n%s", said, log.String())
				}
			})
		}
	}
}

// TestClose exports what waits.
func TestClose(t *testing.T) {
	for _, protocol := range otlp.Protocols {
		t.Run(protocol, func(t *testing.T) {
			r := otlp.Receive(t, protocol)
			tracer, heard := open(t, Config{Endpoint: r.URL, Protocol: protocol}, nil)
			for range 1000 {
				tracer.Loop().Trace(&Command{Reason: reasonSlow, Began: time.Unix(1, 0)})
			}
			tracer.Close()
			if got := len(r.Spans()); got != 1000 {
				t.Errorf("%d of 1000 have arrived when it has ended: %v", got, heard.take())
			}
		})
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
