package control

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed/stores"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// testHidden: what an actor may not see is answered in the very words for what is not there.
func testHidden(t *testing.T, open stores.Opener) {
	ctx := t.Context()
	w := newWorld(t, open)
	k, stranger := w.key(t), w.actors["stranger"]
	token := w.token(t, w.actors["viewer"].User, tenant.APIToken)
	for name, try := range map[string]func(hidden bool) (string, error){
		"organization": func(h bool) (string, error) {
			name := pick(h, k.Org, "nosuch")
			_, err := w.Organization(ctx, stranger, name)
			return name, err
		},
		"instance": func(h bool) (string, error) {
			name := pick(h, k.Org, "nosuch")
			_, err := w.Instance(ctx, stranger, name, k.Instances[0])
			return name, err
		},
		"key": func(h bool) (string, error) {
			id := pick(h, k.ID, "000000000000")
			return id, w.DeleteKey(ctx, stranger, id, 0)
		},
		"user": func(h bool) (string, error) {
			id := pick(h, w.actors["viewer"].User.ID, "000000000000")
			_, err := w.User(ctx, stranger, id)
			return id, err
		},
		"user by e-mail": func(h bool) (string, error) {
			email := pick(h, "viewer@example.com", "nosuch@example.com")
			_, err := w.UserByEmail(ctx, stranger, email)
			return email, err
		},
		"token": func(h bool) (string, error) {
			id := pick(h, token.ID, "000000000000")
			return id, w.RevokeToken(ctx, stranger, "", id)
		},
	} {
		hiddenID, hiddenErr := try(true)
		absentID, absentErr := try(false)
		for _, err := range []error{hiddenErr, absentErr} {
			if !errors.Is(err, tenant.ErrNotFound) || errors.Is(err, ErrForbidden) {
				t.Errorf("%s: %v, want it not found", name, err)
			}
		}
		if got, want := replaced(hiddenErr, hiddenID), replaced(absentErr, absentID); got != want {
			t.Errorf("%s: what is hidden is %q, what is absent %q", name, got, want)
		}
	}
}

func pick(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

// testVersions: a change for another version than there is is refused, and changes nothing.
func testVersions(t *testing.T, open stores.Opener) {
	ctx := t.Context()
	w := newWorld(t, open)
	a := w.actors["operator"]
	k := w.key(t)
	u := w.user(t)
	for name, change := range map[string]func(version int64) error{
		"key": func(v int64) error {
			c := renamed(w.name(), keyName)
			c.Version = v
			_, err := w.UpdateKey(ctx, a, k.ID, c)
			return err
		},
		"instance": func(v int64) error {
			c := renamed(w.name(), instanceName)
			c.Version = v
			in, err := w.UpdateInstance(ctx, a, k.Org, k.Instances[0], c)
			if err == nil {
				k.Instances[0] = in.Name
			}
			return err
		},
		"organization": func(v int64) error {
			c := Change[tenant.Organization]{v, func(o *tenant.Organization) error { o.MaxKeys++; return nil }}
			_, err := w.UpdateOrganization(ctx, a, k.Org, c)
			return err
		},
		"user": func(v int64) error {
			c := renamed(w.name(), userName)
			c.Version = v
			_, err := w.UpdateUser(ctx, a, u.ID, c)
			return err
		},
	} {
		for i, tt := range []struct {
			version int64
			want    string
		}{{1, "yes"}, {1, "stale"}, {2, "yes"}, {0, "yes"}, {3, "stale"}} {
			if err := change(tt.version); answer(err) != tt.want {
				t.Errorf("%s, change %d for version %d: %v, want %s", name, i, tt.version, err, tt.want)
			}
		}
	}
	wantError(t, w.DeleteInstance(ctx, a, k.Org, k.Instances[0], store.Deletion{Version: 1, Force: true}), store.ErrStale, "it is version 4, not 1")
	wantError(t, w.DeleteOrganization(ctx, a, k.Org, store.Deletion{Version: 1, Force: true}), store.ErrStale, "it is version 4, not 1")
	wantError(t, second(w.RevokeKey(ctx, a, k.ID, 1)), store.ErrStale, "not 1")
	wantError(t, second(w.RotateKey(ctx, a, k.ID, 0, 1)), store.ErrStale, "not 1")
	wantError(t, w.DeleteKey(ctx, a, k.ID, 1), store.ErrStale, "not 1")
	wantError(t, w.DeleteUser(ctx, a, u.ID, 1), store.ErrStale, "it is version 4, not 1")
	if err := w.DeleteUser(ctx, a, u.ID, 4); err != nil {
		t.Error(err)
	}
	if err := w.DeleteOrganization(ctx, a, k.Org, store.Deletion{Version: 4, Force: true}); err != nil {
		t.Error(err)
	}
}

// testURLAsShown: who sends back what was shown, with the name changed, keeps the password.
func testURLAsShown(t *testing.T, open stores.Opener) {
	w := newWorld(t, open)
	in := w.instance(t)
	shown := ViewInstance(in)
	changed, err := w.UpdateInstance(t.Context(), w.actors["admin"], in.Org, in.Name, Change[tenant.Instance]{Apply: func(in *tenant.Instance) error {
		in.Name, in.URL = "other", tenant.Secret(shown.URL)
		return nil
	}})
	if err != nil || changed.Name != "other" || changed.URL != testURL {
		t.Errorf("got %s, %v, want the name changed and the URL as it was", changed.Name, err)
	}
}

// testProxyRules: only operators make, change and rotate keys that may use the operator's
// command; whoever else may end them.
func testProxyRules(t *testing.T, open stores.Opener) {
	ctx := t.Context()
	w := newWorld(t, open)
	for rules, want := range map[string]string{"+@all +proxy": "+proxy", "+PROXY": "+PROXY", "+get +proxy|info": "+proxy|info", "+@all": "", "-proxy": "", "+get": "", "": ""} {
		if got := proxyRule(rules); got != want {
			t.Errorf("%q: %q, want %q", rules, got, want)
		}
	}
	admin := w.actors["admin"]
	k := w.key(t)
	for _, rules := range []string{"+@all +proxy", "+PROXY", "+proxy|info", "+nosuch +proxy"} {
		_, err := w.CreateKey(ctx, admin, tenant.Key{Org: k.Org, Instances: k.Instances, Name: "new", Commands: rules})
		wantError(t, err, ErrForbidden, "+proxy")
		_, err = w.UpdateKey(ctx, admin, k.ID, renamed(rules, func(k *tenant.Key) *string { return &k.Commands }))
		wantError(t, err, ErrForbidden, "+proxy")
	}
	must[tenant.Key](t)(w.store.UpdateKey(ctx, k.ID, func(k *tenant.Key) error { k.Commands = "+@all +proxy"; return nil }))
	_, err := w.UpdateKey(ctx, admin, k.ID, Change[tenant.Key]{Apply: func(k *tenant.Key) error { k.AllowFrom = nil; return nil }})
	wantError(t, err, ErrForbidden, "+proxy is for operators")
	_, err = w.RotateKey(ctx, admin, k.ID, 0, 0)
	wantError(t, err, ErrForbidden, "+proxy is for operators")
	if _, err := w.RotateKey(ctx, w.actors["operator"], k.ID, 0, 0); err != nil {
		t.Errorf("an operator rotates it: %v", err)
	}
	if _, err := w.RevokeKey(ctx, admin, k.ID, 0); err != nil {
		t.Errorf("an admin revokes it: %v", err)
	}
}

func testBadRules(t *testing.T, open stores.Opener) {
	ctx := t.Context()
	w := newWorld(t, open)
	a, k := w.actors["operator"], w.key(t)
	for _, tt := range []struct {
		name  string
		words string
		err   error
	}{
		{"commands", `commands: command rule "+nosuch"`, second(w.UpdateKey(ctx, a, k.ID, renamed("+nosuch", func(k *tenant.Key) *string { return &k.Commands })))},
		{"audit", `audit: command rule "+nosuch"`, second(w.UpdateKey(ctx, a, k.ID, renamed("+nosuch", func(k *tenant.Key) *string { return &k.Audit })))},
		{"URL", "its scheme is not known", second(w.CreateInstance(ctx, a, tenant.Instance{Org: k.Org, Name: "x", URL: "http://user:" + urlPassword + "@host"}))},
		{"token's end", "want a time to come, within", second(w.CreateToken(ctx, a, tenant.Token{UserID: w.actors["viewer"].User.ID, ExpiresAt: time.Now().Add(2 * MaxTokenTTL)}))},
		{"token's past end", "want a time to come, within", second(w.CreateToken(ctx, a, tenant.Token{UserID: w.actors["viewer"].User.ID, ExpiresAt: time.Now().Add(-time.Hour)}))},
		{"overlap", "overlap of", second(w.RotateKey(ctx, a, k.ID, 10*365*24*time.Hour, 0))},
	} {
		wantError(t, tt.err, store.ErrInvalid, tt.words)
	}
	w.checkSecrets(t)
}

func second[T any](_ T, err error) error { return err }

// testKillSession: one of this proxy's ends at once and only where it is the
// organization's; one of another's is told of with whose it must be.
func testKillSession(t *testing.T, open stores.Opener) {
	ctx := t.Context()
	w := newWorld(t, open)
	o, other := w.org(t), w.org(t)
	w.live.All = []tenant.Session{{ID: "proxy1-1", OrgID: o.ID}, {ID: "proxy1-2", OrgID: other.ID}}
	admin, operator := w.actors["admin"], w.actors["operator"]
	before := must[tenant.Changes](t)(w.store.Changes(ctx, 0)).Seq
	for _, tt := range []struct {
		name    string
		a       Actor
		org, id string
		want    string
	}{
		{"the organization's", admin, o.Name, "proxy1-1", "yes"},
		{"another's", admin, o.Name, "proxy1-2", "none"},
		{"none", admin, o.Name, "proxy1-3", "none"},
		{"nonsense", admin, o.Name, "proxy1", "none"},
		{"with an organization's id", admin, o.Name, "proxy2-1-" + other.ID, "none"},
		{"another proxy's", admin, o.Name, "proxy2-1", "yes"},
		{"any, by an operator", operator, "", "proxy1-2", "yes"},
		{"another proxy's, by an operator", operator, "", "proxy2-2", "yes"},
	} {
		if err := w.KillSession(ctx, tt.a, tt.org, tt.id); answer(err) != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
	if want := []string{"proxy1-1", "proxy1-2"}; !slices.Equal(w.live.Ended, want) {
		t.Errorf("ended here: %v, want %v", w.live.Ended, want)
	}
	if got, want := must[tenant.Changes](t)(w.store.Changes(ctx, before)).Sessions, []string{"proxy2-1-" + o.ID, "proxy2-2"}; !slices.Equal(got, want) {
		t.Errorf("others are told %v, want %v", got, want)
	}
}

// testElsewhere: a process that serves no clients says so.
func testElsewhere(t *testing.T, open stores.Opener) {
	ctx := t.Context()
	w := newWorld(t, open, func(c *Config) { c.Live, c.Test = nil, nil })
	in := w.instance(t)
	_, err := w.Sessions(ctx, w.actors["viewer"], in.Org)
	wantError(t, err, ErrUnavailable, "serves no clients")
	_, err = w.TestInstance(ctx, w.actors["admin"], in.Org, in.Name)
	wantError(t, err, ErrUnavailable, "no instance can be tested")
	if err := w.KillSession(ctx, w.actors["admin"], in.Org, "proxy1-1"); err != nil {
		t.Errorf("others are told: %v", err)
	}
}

// testEventsOf: members see what was done in their organization, also what strangers tried,
// and nothing else.
func testEventsOf(t *testing.T, open stores.Opener) {
	ctx := t.Context()
	w := newWorld(t, open)
	mine, other := w.org(t), w.org(t)
	for _, try := range []struct {
		a   Actor
		org string
	}{{w.actors["owner"], mine.Name}, {w.actors["stranger"], mine.Name}, {w.actors["owner"], other.Name}} {
		_, _ = w.UpdateOrganization(ctx, try.a, try.org, renamed(try.org, orgName))
	}
	events, err := w.Events(ctx, w.actors["viewer"], EventQuery{Org: mine.Name, OrgID: other.ID}, store.Page{})
	if err != nil || len(events) != 2 || events[0].Outcome != tenant.Denied || events[1].Outcome != tenant.Done {
		t.Errorf("got %+v, %v, want the stranger's and the owner's, the newest first", events, err)
	}
	for _, e := range events {
		if e.OrgID != mine.ID {
			t.Errorf("event of %s, want only of %s", e.Org, mine.Name)
		}
	}
	if events, err := w.Events(ctx, w.actors["operator"], EventQuery{OrgID: other.ID}, store.Page{}); err != nil || len(events) != 1 {
		t.Errorf("an operator sees %+v, %v of the other, want one", events, err)
	}
}

// replaced is an error's words without what was asked for.
func replaced(err error, asked string) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), asked, "…")
}
