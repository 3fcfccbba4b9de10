package control

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/auth"
	"github.com/respgate/respgate/internal/testbed/live"
	"github.com/respgate/respgate/internal/testbed/stores"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

const (
	urlPassword  = "hunter2-of-the-url"
	userPassword = tenant.Secret("correct horse battery")
	nextPassword = tenant.Secret("staple and another")
	testURL      = tenant.Secret("redis://user:" + urlPassword + "@10.0.0.5:6379/0")
	adminToken   = tenant.Secret("the operator's own token")
	address      = "192.0.2.1:4711"
)

// The actors of the permission table, in the order of its columns.
var columns = []string{"nobody", "key", "stranger", "viewer", "admin", "owner", "operator", "token", "shell"}

// world is a service over a real store, with users and organizations to act on.
type world struct {
	*Service
	store   *store.Store
	actors  map[string]Actor
	live    *fakeLive
	made    int           // names given
	hash    tenant.Secret // of userPassword
	secrets []string      // that must not be seen
	log     bytes.Buffer
}

type fakeLive struct{ live.Clients }

// Commands are gets.
func (l *fakeLive) Commands(_ context.Context, in tenant.Instance) ([]HotCommand, error) {
	return []HotCommand{{Command: "get of " + in.Label(), PerSecond: 2}, {Command: "set", PerSecond: 1}}, nil
}

// Tenants has a row for each of acme's and globex's.
func (l *fakeLive) Tenants(context.Context) (Tenants, error) {
	p := func(rate, errors, limited float64, p99 *float64, clients int64) Point {
		return Point{At: time.Unix(1e9, 0).UTC(), Commands: rate, Errors: errors, Limited: limited, P99: p99, Clients: clients, BytesIn: 10 * float64(clients)}
	}
	return Tenants{Proxy: l.Proxy(), At: time.Unix(1e9, 0).UTC(), Rows: []TenantRow{
		{Org: "acme", Instance: "cache", Point: p(10, 0, 0, new(0.001), 1)}, {Org: "acme", Instance: "queue", Point: p(20, 1, 0, nil, 9)},
		{Org: "acme", Instance: "jobs", Point: p(10, 0, 5, new(0.5), 2)}, {Org: "globex", Instance: "store", Point: p(30, 2, 9, new(0.1), 3)},
	}}, nil
}

// Picture has a point for every second.
func (l *fakeLive) Picture(_ context.Context, in tenant.Instance, after time.Time) (Picture, error) {
	p := Point{At: after.Add(time.Second), Clients: 1}
	return Picture{Proxy: l.Proxy(), Hot: []HotCommand{{Command: "get of " + in.Label(), PerSecond: 1}}, Points: []Point{p}}, nil
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

func newWorld(t *testing.T, open stores.Opener, change ...func(*Config)) *world {
	t.Helper()
	st := open(t)
	w := &world{store: st, live: &fakeLive{}}
	cfg := Config{AdminToken: adminToken, Live: w.live, Pictures: w.live, Rates: w.live, Insight: w.live, LogLevel: new(slog.LevelVar), Log: slog.New(slog.NewTextHandler(&w.log, nil)), Test: func(_ context.Context, in tenant.Instance) Probe {
		return Probe{Org: in.Org, Name: in.Name, Reachable: true, Warnings: []string{}}
	}}
	for _, f := range change {
		f(&cfg)
	}
	w.Service = New(cfg, st)
	w.passwords.cost = cost{memory: 64, passes: 1, threads: 1} // many are hashed, with the race detector too
	w.secrets = []string{urlPassword, userPassword.Reveal(), nextPassword.Reveal(), adminToken.Reveal(), "argon2id"}
	w.actors = map[string]Actor{
		"nobody": {Address: address}, "key": {Kind: tenant.ByKey, Address: address},
		"token": {Kind: tenant.ByOperator, Address: address}, "shell": {Kind: tenant.ByShell, Name: "root"},
	}
	for _, name := range []string{"stranger", "viewer", "admin", "owner", "operator"} {
		u := must[tenant.User](t)(st.CreateUser(t.Context(), tenant.User{Email: name + "@example.com", Operator: name == "operator"}))
		w.actors[name] = Actor{Kind: tenant.ByUser, User: u, Address: address}
	}
	return w
}

// name is one that was not given before.
func (w *world) name() string {
	w.made++
	return fmt.Sprintf("thing%d", w.made)
}

// org makes an organization with an owner, an admin, a viewer and one who is nobody's
// actor; the stranger has another.
func (w *world) org(t *testing.T) tenant.Organization {
	t.Helper()
	ctx := t.Context()
	o := must[tenant.Organization](t)(w.store.CreateOrganization(ctx, tenant.Organization{Name: w.name()}))
	for _, role := range tenant.Roles() {
		must[tenant.Membership](t)(w.store.SetMember(ctx, o.Name, w.actors[string(role)].User.ID, role))
	}
	other := must[tenant.Organization](t)(w.store.CreateOrganization(ctx, tenant.Organization{Name: w.name()}))
	must[tenant.Membership](t)(w.store.SetMember(ctx, other.Name, w.actors["stranger"].User.ID, tenant.Owner))
	return o
}

func (w *world) instance(t *testing.T) tenant.Instance {
	t.Helper()
	return must[tenant.Instance](t)(w.store.CreateInstance(t.Context(), tenant.Instance{Org: w.org(t).Name, Name: w.name(), URL: testURL}))
}

func (w *world) key(t *testing.T) tenant.Key {
	t.Helper()
	in := w.instance(t)
	made := auth.Generate()
	w.hide(made.Text, made.Hash)
	return must[tenant.Key](t)(w.store.CreateKey(t.Context(), tenant.Key{ID: made.ID, SecretHash: made.Hash, Org: in.Org, Instances: []string{in.Name}, Name: w.name()}))
}

// user makes a user whose password is userPassword.
func (w *world) user(t *testing.T) tenant.User {
	t.Helper()
	if w.hash == "" {
		w.hash = must[tenant.Secret](t)(w.passwords.hash(t.Context(), userPassword))
		w.secrets = append(w.secrets, w.hash.Reveal())
	}
	return must[tenant.User](t)(w.store.CreateUser(t.Context(), tenant.User{Email: w.name() + "@example.com", PasswordHash: w.hash}))
}

// token makes one of u's.
func (w *world) token(t *testing.T, u tenant.User, kind tenant.TokenKind) NewToken {
	t.Helper()
	made := must[NewToken](t)(w.createToken(t.Context(), tenant.Token{UserID: u.ID, Kind: kind, ExpiresAt: time.Now().Add(time.Hour)}))
	w.hide(made.Text, [32]byte{})
	return made
}

// hide has the text of a key or a token, and its hash, be secrets.
func (w *world) hide(text tenant.Secret, hash [32]byte) {
	if text == "" {
		return
	}
	_, secret, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(text.Reveal(), "rgt_"), "rg_"), "_")
	w.secrets = append(w.secrets, secret)
	if hash != [32]byte{} {
		w.secrets = append(w.secrets, hex.EncodeToString(hash[:]), base64.StdEncoding.EncodeToString(hash[:]))
	}
}

// events returns the audit log, the oldest first.
func (w *world) events(t *testing.T) []tenant.Event {
	t.Helper()
	all := must[[]tenant.Event](t)(w.store.Events(t.Context(), store.EventFilter{}, store.Page{}))
	for i, j := 0, len(all)-1; i < j; i, j = i+1, j-1 {
		all[i], all[j] = all[j], all[i]
	}
	return all
}

// last returns the newest event.
func (w *world) last(t *testing.T) tenant.Event {
	t.Helper()
	all := w.events(t)
	if len(all) == 0 {
		t.Fatal("there is no event")
	}
	return all[len(all)-1]
}

// checkSecrets looks for secrets in events, in their views and in the log.
func (w *world) checkSecrets(t *testing.T, views ...any) {
	t.Helper()
	text := w.log.String()
	for _, e := range w.events(t) {
		text += fmt.Sprintf("%+v", e) + string(e.Before) + string(e.After)
		views = append(views, ViewEvent(e))
	}
	for _, v := range views {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		text += string(raw)
	}
	for _, secret := range w.secrets {
		if at := strings.Index(text, secret); at >= 0 {
			t.Errorf("the secret %q is seen: …%s…", secret, text[max(0, at-80):min(len(text), at+80)])
		}
	}
}

// answer is one word for an error.
func answer(err error) string {
	for kind, word := range map[error]string{ErrForbidden: "no", ErrUnauthenticated: "who", tenant.ErrNotFound: "none", store.ErrConflict: "conflict", store.ErrInvalid: "invalid", store.ErrStale: "stale"} {
		if errors.Is(err, kind) {
			return word
		}
	}
	if err != nil {
		return err.Error()
	}
	return "yes"
}

func wantError(t *testing.T, err, kind error, words string) {
	t.Helper()
	if !errors.Is(err, kind) || !strings.Contains(err.Error(), words) {
		t.Errorf("got error %v, want a %v with %q", err, kind, words)
	}
}
