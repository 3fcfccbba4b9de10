// Package api is the management API: HTTP and JSON under /api/v1 over admin/control, which
// decides who may do what. It describes itself in OpenAPI 3.1.
package api

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"golang.org/x/time/rate"

	"github.com/respgate/respgate/admin/control"
)

// Prefix is what the paths of all operations begin with.
const Prefix = "/api/v1"

// Config is how the API is limited.
type Config struct {
	// Rate is how many requests per second a token may make, and an address without a good
	// one; 0 is unlimited. A token's own comes first.
	Rate int
	// Burst is how many requests there may be at once; 0 is as many as Rate.
	Burst int
	// Patience is how long a request may take, and as long again what follows from it; 10 s.
	Patience time.Duration
	Now      func() time.Time // time.Now where it is nil
}

// patience is for who waits for the store: with what follows from a request and the event of
// it, less than a server gives an answer.
const patience = 10 * time.Second

// Answers keep what requests with an idempotency key were answered. See store.Claim.
type Answers interface {
	Claim(ctx context.Context, owner, key string, request [32]byte, at time.Time) (answer []byte, done bool, err error)
	Answer(ctx context.Context, owner, key string, answer []byte) error
	Release(ctx context.Context, owner, key string) error
}

// API serves the management API. It is safe for concurrent use.
type API struct {
	control *control.Service
	answers Answers
	log     *slog.Logger
	now     func() time.Time
	wait    time.Duration // Config.Patience
	tokens  *limits
	callers *limits // by address, who have no good token
	sayAway rate.Sometimes
	self    *control.Actor // who asks all that is asked; nil: whose token it is
}

// New returns the API over a control plane.
func New(cfg Config, c *control.Service, answers Answers, log *slog.Logger) *API {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &API{control: c, answers: answers, log: log, now: cfg.Now, wait: cmp.Or(cfg.Patience, patience),
		tokens: newLimits("token", cfg.Rate, cfg.Burst), callers: newLimits("address", cfg.Rate, cfg.Burst),
		sayAway: rate.Sometimes{Interval: time.Second}}
}

// For returns what answers a process's own requests, which all are the actor's: it wants no
// token and knows no limit, and must not be listened with. The actor is told what is wrong
// with the store.
func For(actor control.Actor, c *control.Service, answers Answers, log *slog.Logger) http.Handler {
	a := New(Config{}, c, answers, log)
	a.self = &actor
	mux := http.NewServeMux()
	a.Mount(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { mux.ServeHTTP(w, Direct(r)) })
}

// SetLimits changes what Config said of limits, at once.
func (a *API) SetLimits(rate, burst int) {
	a.tokens.set(rate, burst)
	a.callers.set(rate, burst)
}

// Mount adds the API's paths to a mux: all under /api/.
func (a *API) Mount(mux *http.ServeMux) {
	routes := a.routes()
	allowed := map[string][]string{}
	for _, route := range routes {
		mux.HandleFunc(route.method+" "+route.path, route.handler)
		allowed[route.path] = append(allowed[route.path], route.method)
	}
	for path, methods := range allowed {
		mux.HandleFunc(path, a.refuse(http.StatusMethodNotAllowed, allow(methods)))
	}
	mux.HandleFunc("/api/", a.refuse(http.StatusNotFound, ""))
}

// Direct takes a request for a path under /api/ that a mux would redirect to a shorter one as
// one for a path that names nothing: whoever made it of a name has escaped it badly, and
// would be redirected to something else. It comes before the mux.
func Direct(r *http.Request) *http.Request {
	if !strings.HasPrefix(r.URL.Path, "/api/") || strings.TrimSuffix(r.URL.Path, "/") == path.Clean(r.URL.Path) {
		return r
	}
	there := r.WithContext(r.Context()) // a copy
	there.URL = &url.URL{Path: "/api/"}
	return there
}

// Paths returns what is served, as "METHOD /path", in order.
func Paths() []string {
	var all []string
	for _, route := range New(Config{}, nil, nil, slog.New(slog.DiscardHandler)).routes() {
		all = append(all, route.method+" "+route.path)
	}
	return all
}

// Document returns the API's description in OpenAPI 3.1, as JSON.
func Document() ([]byte, error) {
	b := New(Config{}, nil, nil, slog.New(slog.DiscardHandler)).build()
	return document(b.spec)
}

// route is what serves a method of a path.
type route struct {
	method, path string
	handler      http.HandlerFunc
}

// builder collects operations, as huma's adapter.
type builder struct {
	*API
	api    huma.API
	spec   *huma.OpenAPI
	routed []route
}

// build describes all operations and what serves them.
func (a *API) build() *builder {
	b := &builder{API: a, spec: newSpec()}
	b.api = huma.NewAPI(huma.Config{
		OpenAPI:                      b.spec,
		Formats:                      map[string]huma.Format{jsonType: huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat},
		DefaultFormat:                jsonType,
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{withoutValues},
	}, b)
	for _, group := range []func(*builder){me, organizations, members, instances, keys, users, tokens, sessions, tops, usage, audit, logs} {
		group(b)
	}
	finish(b.spec)
	return b
}

// routes are all that is served under /api/.
func (a *API) routes() []route {
	b := a.build()
	routes := b.routed
	for _, r := range b.routed {
		if r.path == Prefix+"/organizations" && r.method == http.MethodGet {
			routes = append(routes, route{r.method, "/api/organizations", r.handler})
		}
	}
	return append(routes,
		route{http.MethodGet, Prefix + "/openapi.json", a.page(jsonType, func() ([]byte, error) { return document(b.spec) })},
		route{http.MethodGet, Prefix + "/docs", a.page("text/html; charset=utf-8", func() ([]byte, error) { return render(b.spec) })})
}

// Handle implements huma.Adapter.
func (b *builder) Handle(op *huma.Operation, handler func(huma.Context)) {
	b.routed = append(b.routed, route{op.Method, op.Path, b.serve(op, handler)})
}

// ServeHTTP implements huma.Adapter; a mux does it.
func (b *builder) ServeHTTP(http.ResponseWriter, *http.Request) {}

// register adds an operation, whose handler is told who asks.
func register[I, O any](b *builder, op operation, handle func(ctx context.Context, actor control.Actor, in *I) (*O, error)) {
	huma.Register(b.api, op.huma(), func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, actorOf(ctx), in)
		if err != nil {
			return nil, b.problem(ctx, op.id, err)
		}
		return out, nil
	})
}
