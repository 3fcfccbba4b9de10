package console

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/respgate/respgate/internal/testbed/stores"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// testSecretsAreShownOnce: on one page, in no address, and on no page after it.
func testSecretsAreShownOnce(t *testing.T, open stores.Opener) {
	w := newWorld(t, open)
	b := w.as(t, "root")
	org := "/console/organizations/acme"
	shown := func(s *seen) string {
		t.Helper()
		s.want(201, "shown this once")
		secret := attr(find(s.root, func(n *html.Node) bool { return attr(n, "id") == "secret" }), "value")
		if len(secret) < 40 || strings.Contains(s.path, secret) {
			t.Fatalf("%s shows the secret %q", s.path, secret)
		}
		return secret
	}
	key := shown(b.get(org).send(org+"/keys", b, "name", "once", "rate", "7", "burst", "9", "allow_from", "10.0.0.0/8, 192.0.2.1"))
	made := must[[]tenant.Key](t)(w.store.Keys(t.Context(), "acme", store.Page{}))
	i := slices.IndexFunc(made, func(k tenant.Key) bool { return k.Name == "once" })
	if i < 0 || *made[i].Limits.Rate != 7 || *made[i].Limits.Burst != 9 || len(made[i].AllowFrom) != 2 {
		t.Fatalf("made %+v", made)
	}
	page := "/console/keys/" + made[i].ID
	rotated := shown(b.get(page).send(page+"/rotate", b, "overlap", "1h"))
	invitation := shown(b.get("/console/users").send("/console/users", b, "email", "new@example.com"))
	again := shown(b.get("/console/users").send("/console/users/"+w.users["viewer"]+"/invite", b))
	token := shown(b.get("/console/account").send("/console/account/tokens", b, "name", "deploy", "days", "3"))
	for _, path := range []string{org, page, "/console/users", "/console/account", "/console/audit", org + "/audit"} {
		s := b.get(path).want(200)
		for _, secret := range []string{key, rotated, invitation, again, token} {
			if strings.Contains(s.text, secret[16:]) {
				t.Errorf("%s shows a secret again", path)
			}
		}
	}
	guest := w.browser(t)
	guest.get("/console/invitation").send("/console/invitation", guest, "invitation", invitation, "new", "short").want(422, "at least 12 characters")
	guest.get("/console/invitation").send("/console/invitation", guest, "invitation", invitation, "new", password).want(200, "The password is set")
	guest.get("/console/invitation").send("/console/invitation", guest, "invitation", invitation, "new", password).want(401, "invitation is not valid")
	guest.get("/console/sign-in").send("/console/sign-in", guest, "email", "new@example.com", "password", password).want(200, "You are a member of no organization yet")
}

// testForms does what the forms are for, and looks at what they say when it cannot be done.
func testForms(t *testing.T, open stores.Opener) {
	w := newWorld(t, open)
	b := w.as(t, "root")
	org := "/console/organizations/acme"
	b.get("/console/").send("/console/organizations", b, "name", "initech", "max_keys", "2").want(200, "The organization is there")
	b.get("/console/").send("/console/organizations", b, "name", "initech").want(409, "Not done", "another name")
	b.get("/console/").send("/console/organizations", b, "name", "No Name").want(422, "Correct it")
	s := b.get("/console/").send("/console/organizations", b, "name", "umbrella", "max_keys", "many")
	s.want(422, `Max keys: want a whole number`)
	if got := attr(find(s.root, func(n *html.Node) bool { return attr(n, "id") == "name" }), "value"); got != "umbrella" {
		t.Errorf("the name is %q on the page that is to be corrected", got)
	}

	b.get(org).send(org+"/instances", b, "name", "queue", "url", "redis://app:"+urlPassword+"@10.0.0.6:6379/1").want(200, "The instance is there", "10.0.0.6:6379")
	b.get(org).send(org+"/instances", b, "name", "bad", "url", "ftp://10.0.0.6").want(422, "Not done", "redis://")
	testInstanceForm(t, w, b)
	b.get(org+"/instances/queue").send(org+"/instances/queue/test", b).want(200, "Reachable", "7.0.15", "@admin")
	b.get(org+"/instances/queue").send(org+"/instances/queue/delete", b).want(200, "The instance is deleted")
	b.get(org+"/instances/cache").send(org+"/instances/cache/delete", b).want(409, "Not done")

	page := "/console/keys/" + w.key.ID
	before := b.get(page)
	before.send(page, b, "rate", "50", "burst", "60", "commands", "+@read", "max_connections", "4", "audit", "+@write").want(200, "held to it at once", "50/s, burst 60", "+@read")
	wantFields(t, before.send(page, b, "rate", "70").want(409, "changed meanwhile", "50/s, burst 60"), "rate", "50")
	b.get(page).send(page, b, "commands", "~x").want(422, "Not done")
	s = b.get(page).send(page, b, "allow_from", "10.0.0.0/99", "rate", "55").want(422, "Networks", "50/s, burst 60")
	wantFields(t, s, "allow_from", "10.0.0.0/99", "rate", "55", "burst", "60", "commands", "+@read")
	b.get(page).send(page, b, "byte_rate", "10 MiB", "limit_mode", "dry_run").want(200, "10MiB", "commands are counted only")
	b.get(page).send(page, b, "byte_rate", "0").want(200, "Bytes per second unlimited")
	b.get(page).send(page, b, "byte_rate", "10MB").want(422, "Byte rate: want a size such as 64KiB or 10MiB")
	b.get(page).send(page, b, "limit_mode", "wish").want(422, "want reject, delay or dry_run")
	b.get(page).send(page, b, "rate", "-1").want(422, "Rate: want a whole number, 0 or more")
	b.get(page).send(page+"/revoke", b).want(200, "Revoked")
	if forms := b.get(page).forms(); len(forms) != 0 {
		t.Errorf("a revoked key has the forms %v", forms)
	}

	b.get(org+"/members").send(org+"/members", b, "email", "stranger@example.com", "role", "viewer").want(200, "The member's role is set", "stranger@example.com")
	b.get(org+"/members").send(org+"/members", b, "email", "nosuch@example.com").want(404, "not found")
	b.get(org+"/members").send(org+"/members/"+w.users["stranger"]+"/remove", b).want(200, "The member is removed")
	b.get(org+"/sessions").send(org+"/sessions/proxy1-acme/kill", b).want(200, "The session is ended")
	if !slices.Equal(w.live.Ended, []string{"proxy1-acme"}) {
		t.Errorf("ended %v", w.live.Ended)
	}
	b.get("/console/users").send("/console/users/"+w.users["viewer"]+"/disable", b).want(200, "The user is disabled", "Disabled")
	b.get("/console/users").send("/console/users/"+w.users["viewer"]+"/enable", b).want(200, "The user is enabled")
	b.get("/console/account").send("/console/account/password", b, "old", "wrong", "new", password+"!").want(403, "The old password is wrong")
	w.browser(t).get("/console/sign-in").want(200)
	b.post("/console/organizations/acme", nil).want(405, "does not take such requests")
	b.get(org + "/keys").want(405)
}

// testInstanceForm changes what can be changed of the instance queue, and makes one in two regions.
func testInstanceForm(t *testing.T, w *world, b *browser) {
	t.Helper()
	org, page := "/console/organizations/acme", "/console/organizations/acme/instances/queue"
	before := b.get(page).want(200, "Slow log as the proxy is set", "Near cache off")
	before.send(page, b, "near_cache", "64 MiB", "slow_log", "5ms").want(200, "The instance is changed", "Near cache 64MiB", "commands of 5ms or longer")
	wantFields(t, before.send(page, b, "near_cache", "1MiB").want(409, "changed meanwhile", "Near cache 64MiB"), "near_cache", "64MiB", "slow_log", "5ms")
	s := b.get(page).send(page, b, "near_cache", "64MB", "slow_log", "7ms").want(422, "Near cache: want a size such as 64KiB or 10MiB", "Near cache 64MiB")
	wantFields(t, s, "near_cache", "64MB", "slow_log", "7ms")
	b.get(page).send(page, b, "near_cache", "2TiB").want(422, "Cache of 2199023255552 bytes: want 0 to 1099511627776")
	b.get(page).send(page, b, "slow_log", "10").want(422, "Slow log: want a duration of whole microseconds", `got "10"`)
	events := must[[]tenant.Event](t)(w.store.Events(t.Context(), store.EventFilter{Action: "instance.update"}, store.Page{}))
	if i := slices.IndexFunc(events, func(e tenant.Event) bool { return e.Outcome == tenant.Done }); i < 0 || !strings.Contains(string(events[i].After), `"cache_bytes":67108864`) {
		t.Errorf("the audit log has %+v, want a change of the near cache", events)
	}
	b.get(page).send(page, b, "near_cache", "0", "slow_log", "off").want(200, "Near cache off", "Slow log off")
	s = b.get(org).send(org+"/instances", b, "name", "near", "url", "redis://10.0.0.7:6379?read_from=nearest&region.us=10.2.0.0/16&region.eu=10.1.0.0/16", "near_cache", "1MiB", "slow_log", "0")
	s.want(200, "The instance is there", "Near cache 1MiB", "Slow log every command", "Regions eu, us")
	b.get(org).send(org+"/instances", b, "of", "instance", "name", "far", "url", "redis://10.0.0.7", "near_cache", "much").want(422, "Near cache: want a size")
}

// wantFields looks at what fields say, by their id; a form that is shown again has what was sent,
// and one whose subject was changed meanwhile has what that is now.
func wantFields(t *testing.T, s *seen, pairs ...string) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		field := find(s.root, func(n *html.Node) bool { return attr(n, "id") == pairs[i] })
		if got := attr(field, "value"); got != pairs[i+1] {
			t.Errorf("the field %s says %q, want %q", pairs[i], got, pairs[i+1])
		}
	}
}

// testTheme: light or dark stays, and leads back to the page.
func testTheme(t *testing.T, open stores.Opener) {
	w := newWorld(t, open)
	b := w.as(t, "viewer")
	theme := func(s *seen) string {
		return attr(find(s.root, func(n *html.Node) bool { return n.Data == "html" }), "data-theme")
	}
	page := b.get("/console/organizations/acme/audit?action=key.create")
	for _, want := range []string{"dark", "light", ""} {
		after := page.send("/console/theme", b, "theme", want)
		if after.path != page.path || theme(after) != want || theme(b.get("/console/")) != want {
			t.Errorf("%q: it leads to %s, in %q", want, after.path, theme(after))
		}
	}
}

// testJunk: what no browser sends is refused, and nothing breaks.
func testJunk(t *testing.T, open stores.Opener) {
	w := newWorld(t, open)
	b := w.as(t, "root")
	csrf := b.csrf()
	for _, junk := range []string{"%00", "%ff", "%0d%0aSet-Cookie:x", "%1b[2J"} {
		b.get("/console/organizations/"+junk).want(400, "cannot be read")
		b.get("/console/?after=" + junk).want(400)
		b.get("/console/audit?action=" + junk).want(400)
		b.send("/console/organizations", csrfField+"="+csrf+"&name="+junk).want(400)
	}
	for _, rt := range routes() {
		path := strings.NewReplacer("{$}", "", "{org}", "acme", "{instance}", "cache", "{key}", w.key.ID, "{user}", w.users["viewer"], "{session}", "proxy1-9", "{token}", "x").Replace(rt.path)
		for _, junk := range []string{"", "=", "version=x&rate=1e9&days=-1&overlap=forever&role=king&theme=blue&email=x&name=%F0%9F%92%A9&url=x&target=x&instance=x&also=y",
			"name='%3BDROP+TABLE+keys%3B--&email='%3B--@x.example&version=99999999999999999999", strings.Repeat("name=x&", 5000)} {
			if rt.method == http.MethodGet {
				if strings.HasSuffix(path, "/events") { // it would not end
					continue
				}
				if s := b.get(path + "?" + junk[:min(len(junk), 8000)]); s.status >= 500 {
					t.Errorf("GET %s?%.50s: %d", path, junk, s.status)
				}
				continue
			}
			if s := b.send(path, csrfField+"="+csrf+"&"+junk); s.status >= 500 {
				t.Errorf("POST %s %.50s: %d", path, junk, s.status)
			}
			if strings.HasSuffix(path, "/sign-out") {
				b = w.as(t, "root")
				csrf = b.csrf()
			}
		}
	}
	if strings.Contains(w.log.String(), "panic") {
		t.Errorf("log: %s", w.log.String())
	}
}
