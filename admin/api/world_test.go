package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/internal/testbed/live"
	"github.com/respgate/respgate/internal/testbed/stores"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

const (
	adminToken = tenant.Secret("the operator's own token")
	password   = tenant.Secret("correct horse battery")
	// marker is in what another organization has and no request names.
	marker = "zzmarker"
)

// world is an API over a real store: the organization acme with a user of each role, a
// stranger's other organization, and tokens of all.
type world struct {
	api     *API
	control *control.Service
	store   *store.Store
	handler http.Handler
	tokens  map[string]tenant.Secret // by who has it
	users   map[string]string        // their ids
	log     testbed.Buffer
	now     time.Time
	live    *fakeLive
	other   control.NewKey // the stranger's
	probing func()         // comes before an instance is tested
	globex  string         // the id of the stranger's organization
}

type fakeLive struct{ live.Clients }

// Commands are gets.
func (l *fakeLive) Commands(_ context.Context, in tenant.Instance) ([]control.HotCommand, error) {
	return []control.HotCommand{{Command: "get of " + in.Label(), PerSecond: 2}, {Command: "set", PerSecond: 1}}, nil
}

// Tenants has a row for each of acme's and globex's.
func (l *fakeLive) Tenants(context.Context) (control.Tenants, error) {
	p := func(rate, errors, limited float64, p99 *float64, clients int64) control.Point {
		return control.Point{At: time.Unix(1e9, 0).UTC(), Commands: rate, Errors: errors, Limited: limited, P99: p99, Clients: clients, BytesIn: 10 * float64(clients)}
	}
	return control.Tenants{Proxy: l.Proxy(), At: time.Unix(1e9, 0).UTC(), Rows: []control.TenantRow{
		{Org: "acme", Instance: "cache", Point: p(10, 0, 0, new(0.001), 1)}, {Org: "acme", Instance: "queue", Point: p(20, 1, 0, nil, 9)},
		{Org: "acme", Instance: "jobs", Point: p(10, 0, 5, new(0.5), 2)}, {Org: "globex", Instance: marker, Point: p(30, 2, 9, new(0.1), 3)},
	}}, nil
}

// Picture has a point for every second.
func (l *fakeLive) Picture(_ context.Context, in tenant.Instance, after time.Time) (control.Picture, error) {
	p := control.Point{At: after.Add(time.Second), Clients: 1}
	return control.Picture{Proxy: l.Proxy(), Hot: []control.HotCommand{{Command: "get of " + in.Label(), PerSecond: 1}}, Points: []control.Point{p}}, nil
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// operator acts as the operator.
func operator() control.Actor { return control.Actor{Kind: tenant.ByOperator} }

func newWorld(t testing.TB, open stores.Opener, cfg Config) *world {
	t.Helper()
	w := &world{tokens: map[string]tenant.Secret{"operator": adminToken}, users: map[string]string{}, now: time.Now(), live: &fakeLive{live.Clients{SlowLogs: map[string][]tenant.SlowEntry{}}}, probing: func() {}}
	w.store = open(t)
	now := func() time.Time { return w.now }
	log := slog.New(slog.NewTextHandler(&w.log, nil))
	w.control = control.New(control.Config{AdminToken: adminToken, Live: w.live, Pictures: w.live, Rates: w.live, Insight: w.live, LogLevel: new(slog.LevelVar), Log: log, Now: now, Test: func(_ context.Context, in tenant.Instance) control.Probe {
		w.probing()
		return control.Probe{Org: in.Org, Name: in.Name, Reachable: true}
	}}, w.store)
	cfg.Now = now
	w.api = New(cfg, w.control, w.store, log)
	mux := http.NewServeMux()
	w.api.Mount(mux)
	w.handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { mux.ServeHTTP(rw, Direct(r)) })
	for _, who := range []string{"viewer", "admin", "owner", "stranger", "expired", "revoked", "disabled", "root"} {
		w.user(t, who)
	}
	w.acme(t)
	w.strangers(t)
	w.ended(t)
	return w
}

// user makes a user with a token.
func (w *world) user(t testing.TB, who string) {
	t.Helper()
	u := tenant.User{Email: who + "@example.com", Operator: who == "root"}
	if who == "stranger" {
		u.Name = marker // an organization sees who tries what with it, by e-mail address
	}
	u = must[tenant.User](t)(w.store.CreateUser(t.Context(), u))
	made := must[control.NewToken](t)(w.control.CreateToken(t.Context(), operator(), tenant.Token{UserID: u.ID, Name: who, ExpiresAt: w.now.Add(time.Hour)}))
	w.users[who], w.tokens[who] = u.ID, made.Text
}

// acme makes the organization, and what is missing of it.
func (w *world) acme(t testing.TB) tenant.Organization {
	t.Helper()
	ctx := t.Context()
	o, err := w.store.Organization(ctx, "acme")
	if errors.Is(err, tenant.ErrNotFound) {
		o, err = w.store.CreateOrganization(ctx, tenant.Organization{Name: "acme"})
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range tenant.Roles() {
		if _, err := w.store.SetMember(ctx, "acme", w.users[string(role)], role); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.store.Instance(ctx, "acme", "cache"); errors.Is(err, tenant.ErrNotFound) {
		in := must[tenant.Instance](t)(w.store.CreateInstance(ctx, tenant.Instance{Org: "acme", Name: "cache", URL: "redis://app:hunter2@10.0.0.5:6379/0"}))
		w.live.SlowLogs[in.ID] = []tenant.SlowEntry{{ID: 3, At: time.Unix(1e9, 0), Command: "get", Args: []string{"GET", "a"}, Took: 15 * time.Millisecond, Limited: 20 * time.Millisecond, Total: 35 * time.Millisecond}, {ID: 2}}
	}
	w.live.All = slices.DeleteFunc(w.live.All, func(c tenant.Session) bool { return c.Org == "acme" })
	w.live.All = append(w.live.All, tenant.Session{ID: "proxy1-1", OrgID: o.ID, Org: "acme", Instance: "cache", KeyName: "web"})
	return o
}

// key makes one of acme's.
func (w *world) key(t testing.TB) control.NewKey {
	t.Helper()
	return must[control.NewKey](t)(w.control.CreateKey(t.Context(), operator(), tenant.Key{Org: "acme", Instances: []string{"cache"}, Name: "web"}))
}

// strangers makes another organization, with marks wherever there may be some.
func (w *world) strangers(t testing.TB) {
	t.Helper()
	ctx := t.Context()
	o := must[tenant.Organization](t)(w.store.CreateOrganization(ctx, tenant.Organization{Name: "globex"}))
	w.globex = o.ID
	must[tenant.Membership](t)(w.store.SetMember(ctx, "globex", w.users["stranger"], tenant.Owner))
	in := must[tenant.Instance](t)(w.store.CreateInstance(ctx, tenant.Instance{Org: "globex", Name: "store", URL: "redis://" + marker + ".example:6379/0"}))
	w.live.SlowLogs[in.ID] = []tenant.SlowEntry{{Command: "get", Args: []string{"GET", marker}}}
	w.other = must[control.NewKey](t)(w.control.CreateKey(ctx, operator(), tenant.Key{Org: "globex", Instances: []string{"store"}, Name: marker}))
	if err := w.store.AddUsage(ctx, []tenant.Usage{{KeyID: w.other.ID, InstanceID: in.ID, At: w.now, Commands: 7}}); err != nil {
		t.Fatal(err)
	}
	w.live.All = append(w.live.All, tenant.Session{ID: "proxy1-2", OrgID: o.ID, Org: "globex", Instance: "store", KeyName: marker, Name: marker})
	gone := must[tenant.Organization](t)(w.store.CreateOrganization(ctx, tenant.Organization{Name: marker}))
	must[tenant.Membership](t)(w.store.SetMember(ctx, gone.Name, w.users["stranger"], tenant.Owner))
	if err := w.store.DeleteOrganization(ctx, marker, store.Deletion{Force: true}); err != nil {
		t.Fatal(err)
	}
	must[tenant.Instance](t)(w.store.CreateInstance(ctx, tenant.Instance{Org: "globex", Name: marker, URL: "redis://10.0.0.9:6379/0"}))
	if err := w.store.DeleteInstance(ctx, "globex", marker, store.Deletion{Force: true}); err != nil {
		t.Fatal(err)
	}
}

// ended ends the tokens of those who have none that is good.
func (w *world) ended(t testing.TB) {
	t.Helper()
	ctx := t.Context()
	made := must[control.NewToken](t)(w.control.CreateToken(ctx, operator(), tenant.Token{UserID: w.users["expired"], ExpiresAt: w.now.Add(time.Nanosecond)}))
	w.tokens["expired"] = made.Text
	w.now = w.now.Add(time.Millisecond)
	all := must[[]tenant.Token](t)(w.store.Tokens(ctx, w.users["revoked"], "", store.Page{}))
	if err := w.control.RevokeToken(ctx, operator(), "", all[0].ID); err != nil {
		t.Fatal(err)
	}
	must[tenant.User](t)(w.control.UpdateUser(ctx, operator(), w.users["disabled"], control.Change[tenant.User]{Apply: func(u *tenant.User) error {
		u.DisabledAt = w.now
		return nil
	}}))
	invitation := must[control.NewToken](t)(w.control.Invite(ctx, operator(), w.users["viewer"]))
	w.tokens["invitation"] = invitation.Text
}

// request is one that a test makes.
type request struct {
	who    string // "" sends no token
	call   string // METHOD /path, after Prefix where it does not begin with /api
	body   string
	header map[string]string
}

// do makes a request.
func (w *world) do(t testing.TB, q request) *httptest.ResponseRecorder {
	t.Helper()
	method, path, _ := strings.Cut(q.call, " ")
	if !strings.HasPrefix(path, "/api") {
		path = Prefix + path
	}
	r := httptest.NewRequest(method, path, strings.NewReader(q.body))
	if q.who != "" {
		r.Header.Set("Authorization", "Bearer "+w.tokens[q.who].Reveal())
	}
	if q.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, value := range q.header {
		if value == "" {
			r.Header.Del(name)
			continue
		}
		r.Header.Set(name, value)
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	return rec
}

// fields reads an answer that is an object.
func fields(t testing.TB, rec *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	var all map[string]any
	if err := json.NewDecoder(bytes.NewReader(rec.Body.Bytes())).Decode(&all); err != nil {
		t.Fatalf("%d %s: %v", rec.Code, rec.Body, err)
	}
	return all
}
