package console

import (
	"context"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/internal/testbed/live"
	"github.com/respgate/respgate/internal/testbed/stores"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

const (
	adminToken  = tenant.Secret("the operator's own token")
	password    = "correct horse battery"
	urlPassword = "hunter2-of-the-url"
)

// world is a console over a real store: the organization acme with a user of each role, and
// a stranger's other organization.
type world struct {
	console *Console
	control *control.Service
	store   *store.Store
	server  *httptest.Server
	users   map[string]string // their ids, by what they are
	live    *fakeLive
	log     testbed.Buffer
	key     control.NewKey // acme's
	other   control.NewKey // the stranger's
	cfg     Config

	strangers int           // that were counted
	wait      time.Duration // for them
}

type fakeLive struct {
	live.Clients
	points chan control.Point // that are still to be seen
}

// Picture is a point of its own at first, and then waits for those that a test has.
func (l *fakeLive) Picture(ctx context.Context, in tenant.Instance, after time.Time) (control.Picture, error) {
	p := control.Picture{Proxy: l.Proxy(), Hot: []control.HotCommand{{Command: "get", PerSecond: 12}}}
	half := 0.0004
	if after.IsZero() {
		p.Points = []control.Point{{At: time.Unix(1000, 0).UTC(), Commands: 12, P50: &half, P99: &half, Clients: 3}}
		return p, nil
	}
	select {
	case point := <-l.points:
		p.Points = []control.Point{point}
		return p, nil
	case <-ctx.Done():
		return p, ctx.Err()
	}
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

func operator() control.Actor { return control.Actor{Kind: tenant.ByOperator} }

// cheapHash is the password's, made to be looked at fast: the cost is part of it.
func cheapHash() tenant.Secret {
	salt := []byte("sixteen bytes of")
	sum := argon2.IDKey([]byte(password), salt, 1, 64, 1, 32)
	encode := base64.RawStdEncoding.EncodeToString
	return tenant.Secret("$argon2id$v=19$m=64,t=1,p=1$" + encode(salt) + "$" + encode(sum))
}

func newWorld(t *testing.T, open stores.Opener) *world {
	t.Helper()
	ctx := t.Context()
	w := &world{users: map[string]string{}, live: &fakeLive{points: make(chan control.Point)}}
	w.store = open(t)
	log := slog.New(slog.NewTextHandler(&w.log, nil))
	w.control = control.New(control.Config{AdminToken: adminToken, Live: w.live, Pictures: w.live, Log: log, Test: func(_ context.Context, in tenant.Instance) control.Probe {
		return control.Probe{Org: in.Org, Name: in.Name, Reachable: true, Version: "7.0.15", Warnings: []string{"its user may run @admin commands"}}
	}}, w.store)
	w.cfg = Config{
		Reachable: func(id string) (bool, bool) { return true, id != "" },
		Strangers: func(_ *http.Request, n int) time.Duration { w.strangers += n; return w.wait },
	}
	w.console = New(w.cfg, w.control, log)
	mux := http.NewServeMux()
	w.console.Mount(mux)
	w.server = httptest.NewServer(mux)
	t.Cleanup(w.server.Close)
	t.Cleanup(w.console.Close)

	for _, org := range []string{"acme", "globex"} {
		o := must[tenant.Organization](t)(w.store.CreateOrganization(ctx, tenant.Organization{Name: org}))
		w.live.All = append(w.live.All, tenant.Session{ID: "proxy1-" + org, OrgID: o.ID, Org: org, Instance: "cache", KeyID: "k", KeyName: "web-of-" + org, Address: "192.0.2.9:4711", ConnectedAt: time.Now(), ActiveAt: time.Now(), Command: "get"})
	}
	for _, who := range []string{"viewer", "admin", "owner", "stranger", "root"} {
		u := must[tenant.User](t)(w.store.CreateUser(ctx, tenant.User{Email: who + "@example.com", Operator: who == "root", PasswordHash: cheapHash()}))
		w.users[who] = u.ID
		switch role := tenant.Role(who); {
		case role.Valid():
			must[tenant.Membership](t)(w.store.SetMember(ctx, "acme", u.ID, role))
		case who == "stranger":
			must[tenant.Membership](t)(w.store.SetMember(ctx, "globex", u.ID, tenant.Owner))
		}
	}
	tenants := func(org string) control.NewKey {
		must[tenant.Instance](t)(w.store.CreateInstance(ctx, tenant.Instance{Org: org, Name: "cache", URL: "redis://app:" + urlPassword + "@10.0.0.5:6379/0"}))
		return must[control.NewKey](t)(w.control.CreateKey(ctx, operator(), tenant.Key{Org: org, Instances: []string{"cache"}, Name: "web-of-" + org}))
	}
	w.key, w.other = tenants("acme"), tenants("globex")
	return w
}
