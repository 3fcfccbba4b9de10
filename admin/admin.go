// Package admin is the HTTP side: health, metrics, profiles, the management API and the console.
package admin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	stdlog "log"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/respgate/respgate/admin/api"
	"github.com/respgate/respgate/admin/console"
	"github.com/respgate/respgate/health"
	"github.com/respgate/respgate/tenant"
)

// Config is what the HTTP side lets whom see.
type Config struct {
	AdminToken   tenant.Secret    // the operator's; "" closes what needs it
	MetricsToken tenant.Secret    // for /metrics, beside the operator's; "" opens /metrics to all
	Pprof        bool             // serve /debug/pprof/ to the operator
	API          *api.API         // the management API; nil: its store is not there yet
	Console      *console.Console // likewise
}

// Health is what load balancers and operators ask for.
type Health interface {
	Ready(ctx context.Context) (ready bool, why string)
	Report(ctx context.Context) health.Report
}

// Observer counts requests by method, the route's pattern and status. What matches
// no route is "other", and so is a method that HTTP does not define.
type Observer interface {
	// HTTP is told of a request, and of the id of its trace; "" is none.
	HTTP(method, path string, status int, took time.Duration, trace string)
}

// Timeouts and bounds of a connection: a client that sends or reads slowly is closed.
const (
	headerTimeout  = 5 * time.Second
	readTimeout    = 15 * time.Second
	writeTimeout   = 30 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 16 << 10
	maxBodyBytes   = 1 << 20
)

// Paths returns what is always served, as "METHOD /pattern".
func Paths() []string {
	return slices.Concat([]string{"GET /health", "GET /health/live", "GET /health/ready", "GET /metrics"}, api.Paths(), console.Paths())
}

// New returns the handler. metrics answers scrapes.
func New(cfg Config, h Health, metrics http.Handler, obs Observer, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	operator := bearer(cfg.AdminToken)
	for pattern, handler := range map[string]http.Handler{
		"/health":       reportHealth(h),
		"/health/live":  http.HandlerFunc(live),
		"/health/ready": ready(h),
		"/metrics":      metrics,
	} {
		if pattern == "/metrics" && cfg.MetricsToken != "" {
			handler = bearer(cfg.MetricsToken, cfg.AdminToken)(handler)
		}
		mux.Handle("GET "+pattern, handler)
		mux.HandleFunc(pattern, wrongMethod("GET, HEAD"))
	}
	if cfg.Pprof {
		mux.Handle("/debug/pprof/", operator(http.HandlerFunc(pprof.Index)))
		for name, handler := range map[string]http.HandlerFunc{"cmdline": pprof.Cmdline, "profile": pprof.Profile, "symbol": pprof.Symbol, "trace": pprof.Trace} {
			mux.Handle("/debug/pprof/"+name, operator(handler))
		}
	}
	if cfg.API != nil {
		cfg.API.Mount(mux)
	} else {
		mux.HandleFunc("/api/", noStore)
	}
	if cfg.Console != nil {
		cfg.Console.Mount(mux)
	} else {
		mux.HandleFunc(console.Prefix+"/", noStore)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		problem(w, http.StatusNotFound, "there is nothing at this path")
	})
	return watch(mux, obs, log)
}

func noStore(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Retry-After", "1")
	problem(w, http.StatusServiceUnavailable, "the store is not there yet")
}

// NewServer returns a server for the handler, with bounds on what a client may take.
func NewServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          stdlog.New(serverLog{log}, "", 0),
	}
}

// serverLog takes what net/http says, a line at a time.
type serverLog struct{ log *slog.Logger }

// Write implements io.Writer. That a handshake has failed is told of whoever connects, as
// often as they like.
func (l serverLog) Write(line []byte) (int, error) {
	level := slog.LevelWarn
	if bytes.HasPrefix(line, []byte("http: TLS handshake error")) {
		level = slog.LevelDebug
	}
	l.log.Log(context.Background(), level, strings.TrimSpace(string(line)))
	return len(line), nil
}

// watch bounds, counts and, where they panic, survives requests.
func watch(mux *http.ServeMux, obs Observer, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		r = api.Direct(r)
		if !strings.HasPrefix(r.URL.Path, "/api/") { // which has a bound of its own
			r.Body = http.MaxBytesReader(w, r.Body, maxBodyBytes)
		}
		rec := &recorder{ResponseWriter: w}
		defer func() {
			if p := recover(); p != nil {
				log.Error("panic while serving HTTP", "path", routeOf(mux, r), "panic", p, "stack", string(debug.Stack()))
				if rec.status == 0 {
					problem(rec, http.StatusInternalServerError, "something went wrong here: the log says what")
				}
			}
			obs.HTTP(methodLabel(r.Method), routeOf(mux, r), rec.statusOr200(), time.Since(began), "")
		}()
		mux.ServeHTTP(rec, r)
	})
}

// routeOf is the pattern that serves a request, without its method.
func routeOf(mux *http.ServeMux, r *http.Request) string {
	_, pattern := mux.Handler(r)
	_, path, found := strings.Cut(pattern, " ")
	switch {
	case found:
		return path
	case pattern == "/" || pattern == "/api/" || pattern == console.Prefix+"/" || pattern == "":
		return "other"
	}
	return pattern
}

func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

// recorder notes the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(b []byte) (int, error) {
	r.status = r.statusOr200()
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController find the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) statusOr200() int {
	if r.status == 0 {
		return http.StatusOK
	}
	return r.status
}

// bearer lets in who has one of the tokens that are not "" (RFC 6750).
func bearer(tokens ...tenant.Secret) func(http.Handler) http.Handler {
	var hashes [][sha256.Size]byte
	for _, t := range tokens {
		if t != "" {
			hashes = append(hashes, sha256.Sum256([]byte(t.Reveal())))
		}
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if len(hashes) == 0 {
				problem(w, http.StatusForbidden, "this needs the operator's token, and none is configured: set http.admin_token")
				return
			}
			scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
			given := sha256.Sum256([]byte(strings.TrimSpace(token)))
			good := 0
			for _, h := range hashes {
				good |= subtle.ConstantTimeCompare(h[:], given[:])
			}
			if good == 0 || !strings.EqualFold(scheme, "bearer") {
				w.Header().Set("WWW-Authenticate", `Bearer realm="respgate"`)
				problem(w, http.StatusUnauthorized, "send a valid token as 'Authorization: Bearer TOKEN'")
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func wrongMethod(allow string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", allow)
		problem(w, http.StatusMethodNotAllowed, fmt.Sprintf("want %s here", allow))
	}
}

// problem answers with problem details (RFC 9457).
func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	writeJSON(w, status, struct {
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{http.StatusText(status), status, detail})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	header := w.Header()
	if header.Get("Content-Type") == "" {
		header.Set("Content-Type", "application/json")
	}
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client has gone: nobody to tell
}
