package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/admin/api"
	"github.com/respgate/respgate/admin/console"
	"github.com/respgate/respgate/health"
	"github.com/respgate/respgate/internal/testbed"
)

type fakeHealth struct {
	ready bool
	why   string
	state health.Status
}

func (f fakeHealth) Ready(context.Context) (bool, string) { return f.ready, f.why }
func (f fakeHealth) Report(context.Context) health.Report {
	return health.Report{Status: f.state, Timestamp: time.Unix(0, 0).UTC(), Uptime: 1.5, Components: map[string]health.Component{"database": {Status: f.state, Message: "ok", ResponseTime: 3}}}
}

type counted struct{ requests []string }

func (c *counted) HTTP(method, path string, status int, _ time.Duration, _ string) {
	c.requests = append(c.requests, fmt.Sprintf("%s %s %d", method, path, status))
}

func metricsPage() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") })
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestAnswers(t *testing.T) {
	const admin, metrics = "the-operator-token", "the-scraper-token"
	guarded := Config{AdminToken: admin, MetricsToken: metrics, Pprof: true}
	good := fakeHealth{ready: true}
	withConsole := Config{Console: console.New(console.Config{}, nil, quiet())}
	withAPI := Config{API: api.New(api.Config{}, nil, nil, quiet())}
	for _, c := range []struct {
		name, request string
		token         string // the Authorization header
		cfg           Config
		health        fakeHealth
		status        int
		body          string // part of it
		counted       string
	}{
		{name: "alive", request: "GET /health/live", status: 200, body: `"status":"alive"`, counted: "GET /health/live 200"},
		{name: "ready", request: "GET /health/ready", health: good, status: 200, body: `{"status":"ready","timestamp":"`, counted: "GET /health/ready 200"},
		{name: "ready by HEAD", request: "HEAD /health/ready", health: good, status: 200, counted: "HEAD /health/ready 200"},
		{name: "draining", request: "GET /health/ready", health: fakeHealth{why: "draining"}, status: 503, body: `"reason":"draining"`, counted: "GET /health/ready 503"},
		{name: "healthy", request: "GET /health", status: 200, counted: "GET /health 200",
			body: `{"status":"healthy","timestamp":"1970-01-01T00:00:00Z","uptime_seconds":1.5,"components":{"database":{"status":"healthy","message":"ok","response_time_ms":3}}}`},
		{name: "degraded", request: "GET /health", health: fakeHealth{state: health.Degraded}, status: 200, body: `"status":"degraded"`, counted: "GET /health 200"},
		{name: "unhealthy", request: "GET /health", health: fakeHealth{state: health.Unhealthy}, status: 503, body: `"status":"unhealthy"`, counted: "GET /health 503"},
		{name: "open metrics", request: "GET /metrics", status: 200, body: "up 1", counted: "GET /metrics 200"},
		{name: "metrics without a token", request: "GET /metrics", cfg: guarded, status: 401, body: "Authorization: Bearer", counted: "GET /metrics 401"},
		{name: "metrics with a wrong token", request: "GET /metrics", token: "Bearer nonsense", cfg: guarded, status: 401, counted: "GET /metrics 401"},
		{name: "metrics with the token and a wrong scheme", request: "GET /metrics", token: "Basic " + metrics, cfg: guarded, status: 401, counted: "GET /metrics 401"},
		{name: "metrics with a part of the token", request: "GET /metrics", token: "Bearer the-scraper", cfg: guarded, status: 401, counted: "GET /metrics 401"},
		{name: "metrics with their token", request: "GET /metrics", token: "Bearer " + metrics, cfg: guarded, status: 200, body: "up 1", counted: "GET /metrics 200"},
		{name: "metrics with the operator's token", request: "GET /metrics", token: "bearer " + admin, cfg: guarded, status: 200, body: "up 1", counted: "GET /metrics 200"},
		{name: "profiles off", request: "GET /debug/pprof/", token: "Bearer " + admin, cfg: Config{AdminToken: admin}, status: 404, counted: "GET other 404"},
		{name: "profiles without a configured token", request: "GET /debug/pprof/", cfg: Config{Pprof: true}, status: 403, body: "http.admin_token", counted: "GET /debug/pprof/ 403"},
		{name: "profiles with the scraper's token", request: "GET /debug/pprof/", token: "Bearer " + metrics, cfg: guarded, status: 401, counted: "GET /debug/pprof/ 401"},
		{name: "profiles", request: "GET /debug/pprof/goroutine?debug=1", token: "Bearer " + admin, cfg: guarded, status: 200, body: "goroutine profile", counted: "GET /debug/pprof/ 200"},
		{name: "unknown path", request: "GET /nosuch", status: 404, body: `{"title":"Not Found","status":404,"detail":"`, counted: "GET other 404"},
		{name: "wrong method", request: "POST /health", status: 405, body: `"status":405`, counted: "POST /health 405"},
		{name: "the API without a store", request: "GET /api/v1/organizations", status: 503, body: `the store is not there yet`, counted: "GET other 503"},
		{name: "the API", request: "GET /api/v1/organizations", cfg: withAPI, status: 401, body: `Authorization: Bearer`, counted: "GET /api/v1/organizations 401"},
		{name: "one thing of the API", request: "GET /api/v1/keys/5jX0sYq1Zb7K", cfg: withAPI, status: 401, counted: "GET /api/v1/keys/{key} 401"},
		{name: "the seed's path", request: "GET /api/organizations", cfg: withAPI, status: 401, counted: "GET /api/organizations 401"},
		{name: "the API's description", request: "GET /api/v1/openapi.json", cfg: withAPI, status: 200, body: `"openapi": "3.1.0"`, counted: "GET /api/v1/openapi.json 200"},
		{name: "a path of the API that is none", request: "GET /api/v1/nosuch", cfg: withAPI, status: 404, counted: "GET other 404"},
		{name: "a path of the API that is none when shortened", request: "GET /api/v1/keys/../organizations", cfg: withAPI, status: 404, counted: "GET other 404"},
		{name: "a wrong method of the API", request: "PUT /api/v1/me", cfg: withAPI, status: 405, body: `want GET, HEAD here`, counted: "PUT /api/v1/me 405"},
		{name: "the console without a store", request: "GET /console/", status: 503, body: `the store is not there yet`, counted: "GET other 503"},
		{name: "the console", request: "GET /console/sign-in", cfg: withConsole, status: 200, body: "<h1>Sign in</h1>", counted: "GET /console/sign-in 200"},
		{name: "a page of one thing", request: "GET /console/organizations/acme", cfg: withConsole, status: 303, counted: "GET /console/organizations/{org} 303"},
		{name: "the console's own place", request: "GET /console", cfg: withConsole, status: 303, counted: "GET /console 303"},
		{name: "its style", request: "GET /console/static/console.css", cfg: withConsole, status: 200, body: "color-scheme", counted: "GET /console/static/{file} 200"},
		{name: "a page of the console that is none", request: "GET /console/nosuch", cfg: withConsole, status: 404, counted: "GET other 404"},
		{name: "invented method", request: "BREW /nosuch", status: 404, counted: "other other 404"},
	} {
		t.Run(c.name, func(t *testing.T) {
			method, path, _ := strings.Cut(c.request, " ")
			obs := &counted{}
			r := httptest.NewRequest(method, path, nil)
			if c.token != "" {
				r.Header.Set("Authorization", c.token)
			}
			w := httptest.NewRecorder()
			New(c.cfg, c.health, metricsPage(), obs, quiet()).ServeHTTP(w, r)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.body) {
				t.Errorf("got %d %s, want %d with %s", w.Code, w.Body, c.status, c.body)
			}
			if got := strings.Join(obs.requests, ", "); got != c.counted {
				t.Errorf("counted %s, want %s", got, c.counted)
			}
			if w.Code >= 400 && !strings.HasPrefix(path, "/health") && c.cfg.Console == nil && w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("Content-Type %q", w.Header().Get("Content-Type"))
			}
			if w.Code == 405 && w.Header().Get("Allow") != "GET, HEAD" || w.Code == 401 && !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("headers %v", w.Header())
			}
			if w.Code < 400 && c.cfg.Console == nil && strings.Contains(w.Body.String(), "{") && !json.Valid(w.Body.Bytes()) {
				t.Errorf("no JSON: %s", w.Body)
			}
		})
	}
}

func TestPanicIsAnswered(t *testing.T) {
	obs := &counted{}
	w := httptest.NewRecorder()
	bad := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("planted") })
	New(Config{}, fakeHealth{}, bad, obs, quiet()).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 500 || obs.requests[0] != "GET /metrics 500" {
		t.Errorf("got %d %s, counted %v", w.Code, w.Body, obs.requests)
	}
}

// TestServer has bounds: a header that is too large is refused, and the timeouts that
// end slow clients are set.
func TestServer(t *testing.T) {
	srv := NewServer(New(Config{}, fakeHealth{ready: true}, metricsPage(), &counted{}, quiet()), quiet())
	if srv.ReadHeaderTimeout <= 0 || srv.ReadTimeout <= 0 || srv.WriteTimeout <= 0 || srv.IdleTimeout <= 0 {
		t.Errorf("a timeout is missing: %+v", srv)
	}
	srv.ReadHeaderTimeout = 100 * time.Millisecond
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(ln) }()
	defer func() { srv.Close(); <-done }()
	for name, c := range map[string]struct{ in, want string }{
		"too large a header": {"GET /health HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", "HTTP/1.1 431 "},
		"a slow header":      {"GET /health HTTP/1.1\r\nHost:", ""},
	} {
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(testbed.Patience))
		_, _ = io.WriteString(conn, c.in)
		line, _ := bufio.NewReader(conn).ReadString('\n')
		if !strings.HasPrefix(line, c.want) || c.want == "" && line != "" && !strings.HasPrefix(line, "HTTP/1.1 408") {
			t.Errorf("%s: got %q, want %q", name, line, c.want)
		}
		conn.Close()
	}
}
