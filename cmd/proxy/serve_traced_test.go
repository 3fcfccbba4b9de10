package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/internal/testbed/otlp"
	"github.com/respgate/respgate/tenant"
)

// operated gives a key all rules, and no limit.
func operated(k *tenant.Key) {
	limits(0, 0)(k)
	k.Commands = "+@all"
}

// ofCommands tells spans of clients' commands.
func ofCommands(s otlp.Span) bool { return s.Attributes["db.system.name"] == "redis" }

// names returns the names of spans.
func names(spans []otlp.Span) (all []string) {
	for _, s := range spans {
		all = append(all, s.Name)
	}
	return all
}

// TestCommandsAreTraced: with a ratio of 1 each command of a client is one span, which says
// who sent it, and when what was done with it. Nothing says what was in it.
func TestCommandsAreTraced(t *testing.T) {
	for _, protocol := range otlp.Protocols {
		t.Run(protocol, func(t *testing.T) {
			cfg, receiver := traced(t, protocol)
			cfg.Tracing.SampleRatio = 1
			r := startServe(t, cfg)
			backend := testbed.Redis(t)
			key := r.tenant(t, "acme", backend.Addr, operated)
			before := time.Now()
			c := talkTo(t, r.addr, key)
			for _, exchange := range [][]string{
				{"CLIENT SETNAME canary", "+OK"},
				{"SET canary:key canary:value", "+OK"},
				{"GET canary:key", "$12", "canary:value"},
				{"SELECT 5", "+OK"},
				{"CANARYCOMMAND canary", "-ERR unknown command 'CANARYCOMMAND', with args beginning with: 'canary' "},
				{"LPUSH canary:list canary", ":1"},
				{"INCR canary:list", "-WRONGTYPE Operation against a key holding the wrong kind of value"},
				{"CONFIG GET canary", "*0"},
				{"MULTI", "+OK"}, {"PING", "+QUEUED"}, {"EXEC", "*1", "+PONG"},
				{"BLPOP canary:list 1", "*2", "$11", "canary:list", "$6", "canary"},
			} {
				c.send(exchange[0])
				c.expect(exchange[1:]...)
			}
			after := time.Now()
			want := []string{"SET", "GET", "other", "LPUSH", "INCR", "CONFIG GET", "MULTI", "PING", "EXEC", "BLPOP"}
			receiver.Wait(len(want), "all commands are traced", ofCommands)
			_ = c.Close()
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
			spans := receiver.Wait(len(want), "all commands are traced", ofCommands)
			if got := names(spans); !slices.Equal(got, want) {
				t.Fatalf("the spans are %q, want %q", got, want)
			}
			session := regexp.MustCompile(`^[0-9A-Za-z]{6}-\d+$`)
			host, _, _ := net.SplitHostPort(c.LocalAddr().String())
			codes := map[string]string{"other": "ERR", "INCR": "WRONGTYPE"}
			for i, s := range spans {
				database := "5"
				if i < 2 {
					database = "0"
				}
				for attribute, want := range map[string]any{
					"db.operation.name": s.Name, "db.namespace": database, "client.address": host, "respgate.organization": "acme", "respgate.instance": "acme/cache",
					"respgate.key.id": keyID(key), "respgate.traced": "ratio", "respgate.session.id": spans[0].Attributes["respgate.session.id"],
				} {
					if s.Attributes[attribute] != want {
						t.Errorf("%s: %s is %v, want %v", s.Name, attribute, s.Attributes[attribute], want)
					}
				}
				code, _ := s.Attributes["db.response.status_code"].(string)
				if code != codes[s.Name] || s.Failed != (code != "") || s.Kind != "CLIENT" || s.ParentID != "" {
					t.Errorf("%s: %+v", s.Name, s)
				}
				events, at := []string{}, before
				for _, e := range s.Events {
					events = append(events, e.Name)
					if e.At.Before(at) || e.Name != "written" && e.At.After(after) {
						t.Errorf("%s: %s at %v, after %v and before %v", s.Name, e.Name, e.At, at, after)
					}
					at = e.At
				}
				if !slices.Equal(events, []string{"limit", "pool", "sent", "replied", "written"}) || !s.Began.Equal(s.Events[0].At) || !s.Ended.Equal(at) {
					t.Errorf("%s from %v to %v has the events %q", s.Name, s.Began, s.Ended, s.Events)
				}
				if s.Resource["service.name"] != "respgate" || !strings.HasPrefix(s.Attributes["respgate.session.id"].(string), s.Resource["service.instance.id"].(string)+"-") {
					t.Errorf("the process is %v", s.Resource)
				}
			}
			if id, _ := spans[0].Attributes["respgate.session.id"].(string); !session.MatchString(id) {
				t.Errorf("the session's id is %q", id)
			}
			for what, secret := range map[string]string{"what the client sent": "canary", "what it sent, in capitals": "CANARY", "its key": key, "the backend's address": backend.Addr} {
				if bytes.Contains(receiver.Raw(), []byte(secret)) {
					t.Errorf("%s is in %q", what, receiver.Raw())
				}
			}
		})
	}
}

// TestRemarkableCommandsAreTraced: with a ratio of 0 those commands are traced that were slow
// or failed, whoever has refused them, and no others: not those that wait on purpose.
func TestRemarkableCommandsAreTraced(t *testing.T) {
	cfg, receiver := traced(t, "grpc")
	cfg.Tracing.SampleRatio, cfg.Tracing.Slow = 0, 50*time.Millisecond
	cfg.Pool.DialAttempts, cfg.Pool.DialRetryDelay = 1, time.Millisecond
	r := startServe(t, cfg)
	backend := testbed.Redis(t, "--enable-debug-command", "yes")
	key := r.tenant(t, "acme", backend.Addr, operated)
	restricted := r.key(t, "acme", func(k *tenant.Key) { limits(0, 0)(k); k.Commands = "+get" })
	limited := r.key(t, "acme", limits(1, 1))
	gone := r.tenantAt(t, "globex", tenant.Secret("redis://"+testbed.FreeAddr(t)+"/0"), limits(0, 0))

	c := talkTo(t, r.addr, key)
	c.send("GET a", "BLPOP nothing 0.2", "WAIT 1 100", "DEBUG SLEEP 0.1", "LPUSH list x", "GET list")
	c.expect("$-1", "*-1", ":0", "+OK", ":1", "-WRONGTYPE Operation against a key holding the wrong kind of value")
	for _, refused := range []struct{ key, command, begins string }{
		{restricted, "SET a b", "-NOPERM "}, {limited, "PING", "+PONG"}, {limited, "PING", "-RATELIMIT "}, {gone, "GET a", "-ERR "},
	} {
		c := talkTo(t, r.addr, refused.key)
		c.send(refused.command)
		if line := c.line(); !strings.HasPrefix(line, refused.begins) {
			t.Errorf("%s: got %q, want %s", refused.command, line, refused.begins)
		}
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, s := range receiver.Spans() {
		code, _ := s.Attributes["error.type"].(string)
		got[s.Name+" "+s.Attributes["respgate.traced"].(string)+" "+code] = true
	}
	for _, want := range []string{"DEBUG slow ", "GET failed WRONGTYPE", "SET failed NOPERM", "PING failed RATELIMIT", "GET failed backend_unavailable"} {
		if !got[want] {
			t.Errorf("%q is not traced", want)
		}
		delete(got, want)
	}
	for other := range got {
		if !strings.HasSuffix(other, " slow ") || strings.HasPrefix(other, "BLPOP") || strings.HasPrefix(other, "WAIT") { // on a busy machine anything may be slow
			t.Errorf("%q is traced", other)
		}
	}
}

// TestPartsAreTraced: in front of a cluster a command that goes to two servers has a span for
// each.
func TestPartsAreTraced(t *testing.T) {
	cfg, receiver := traced(t, "grpc")
	cfg.Tracing.SampleRatio = 1
	r := startServe(t, cfg)
	cluster := testbed.NewScriptedCluster(t, 2, func(int, []string) string { return "*1\r\n$-1\r\n" })
	c := talkTo(t, r.addr, r.tenantAt(t, "acme", tenant.Secret(cluster.URL()), limits(0, 0)))
	c.send("MGET a b")
	c.expect("*2", "$-1", "$-1")
	_ = c.Close()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	spans := receiver.Wait(2, "both parts are traced", ofCommands)
	if got := names(spans); !slices.Equal(got, []string{"MGET", "MGET"}) || spans[0].Attributes["respgate.session.id"] != spans[1].Attributes["respgate.session.id"] {
		t.Errorf("the spans are %+v", spans)
	}
}

// TestReceiverAwayHarmsNobody: while nobody takes the spans, clients are served and the bound
// on spans holds; the proxy ends in time.
func TestReceiverAwayHarmsNobody(t *testing.T) {
	cfg, receiver := traced(t, "grpc")
	receiver.Hang()
	cfg.Tracing.SampleRatio = 1
	r := startServe(t, cfg)
	key := r.tenant(t, "acme", testbed.Redis(t).Addr, limits(0, 0))
	c := talkTo(t, r.addr, key)
	const rounds, pipeline = 100, 100
	commands, replies := slices.Repeat([]string{"PING"}, pipeline), slices.Repeat([]string{"+PONG"}, pipeline)
	for range rounds {
		c.send(commands...)
		c.expect(replies...)
	}
	var made, dropped float64
	testbed.Eventually(t, "each command is traced or dropped", func() bool {
		made, dropped = r.metric(t, `respgate_trace_spans_total{reason="ratio"`), r.metric(t, `respgate_trace_spans_dropped_total{reason="queue"`)
		return made+dropped >= rounds*pipeline
	})
	if dropped < rounds*pipeline/2 {
		t.Errorf("%v spans were made and %v dropped, of %d commands", made, dropped, rounds*pipeline)
	}
	_ = c.Close()
	began := time.Now()
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the end takes %v", took)
	}
}

// TestExemplarsLeadToTraces: what is scraped names the traces of commands and requests that
// were exported.
func TestExemplarsLeadToTraces(t *testing.T) {
	cfg, receiver := traced(t, "grpc")
	cfg.Tracing.SampleRatio = 1
	r := startServe(t, cfg)
	c := talkTo(t, r.addr, r.tenant(t, "acme", testbed.Redis(t).Addr, limits(0, 0)))
	c.send("GET a")
	c.expect("$-1")
	defer http.DefaultClient.CloseIdleConnections()
	apiClient{r.http, cfg.HTTP.AdminToken.Reveal()}.want(t, http.StatusOK, "GET", "/api/v1/organizations", "", nil)
	command := receiver.Wait(1, "the command is traced", ofCommands)[0]
	request := receiver.Wait(1, "the request is traced", func(s otlp.Span) bool { return s.Kind == "SERVER" })[0]
	scrape, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.http+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	scrape.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	res, err := http.DefaultClient.Do(scrape)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for series, trace := range map[string]string{
		`redis_command_duration_seconds_bucket\{command="get",le="[^"]*"\}`:                            command.TraceID,
		`http_request_duration_seconds_bucket\{method="GET",path="/api/v1/organizations",le="[^"]*"\}`: request.TraceID,
	} {
		if want := regexp.MustCompile(`(?m)^` + series + ` 1 # \{trace_id="` + trace + `"\} `); !want.Match(body) {
			t.Errorf("no series matches %s in\n%s", want, body)
		}
	}
}

// TestSamplingIsReloaded: which commands are traced changes while clients are there; where
// the spans go does not.
func TestSamplingIsReloaded(t *testing.T) {
	cfg, receiver := traced(t, "grpc")
	cfg.Tracing.SampleRatio = 0
	text := fmt.Sprintf("listen: %s\nhttp: {listen: %s}\nstore: {dsn: %q}\n", cfg.Listen, cfg.HTTP.Listen, cfg.Store.DSN.Reveal())
	file, rewrite := configFile(t, text)
	hup := make(chan os.Signal, 1)
	r := startServeFrom(t, cfg, &origin{file: file, version: fileVersion(file), hup: hup})
	c := talkTo(t, r.addr, r.tenant(t, "acme", testbed.Redis(t).Addr, limits(0, 0)))
	c.send("GET before")
	c.expect("$-1")
	rewrite(text + "tracing: {endpoint: 'http://127.0.0.1:1', sample_ratio: 1}\n")
	hup <- syscall.SIGHUP
	testbed.Eventually(t, "commands are traced", func() bool {
		c.send("EXISTS after")
		c.expect(":0")
		return slices.Contains(names(receiver.Spans()), "EXISTS")
	})
	if all := names(receiver.Spans()); slices.Contains(all, "GET") {
		t.Errorf("what came before is traced too: %q", all)
	}
	testbed.Eventually(t, "the log tells what waits for a restart", func() bool {
		return strings.Contains(r.log.String(), `needs a restart" keys=tracing.endpoint`)
	})
}
