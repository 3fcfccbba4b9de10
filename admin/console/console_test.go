package console

import (
	"bufio"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// TestWhoSeesWhat gets every page as everybody. What somebody may not see is not there, in
// the same words as what is nowhere, and who has not signed in is asked to.
func TestWhoSeesWhat(t *testing.T) {
	w := newWorld(t)
	columns := []string{"nobody", "stranger", "viewer", "admin", "owner", "root", "operator"}
	pages := []struct{ path, answers string }{
		{"/console/", "in 200 200 200 200 200 200"},
		{"/console/account", "in 200 200 200 200 200 404"},
		{"/console/organizations/acme", "in 404 200 200 200 200 200"},
		{"/console/organizations/acme/members", "in 404 200 200 200 200 200"},
		{"/console/organizations/acme/sessions", "in 404 200 200 200 200 200"},
		{"/console/organizations/acme/audit", "in 404 200 200 200 200 200"},
		{"/console/organizations/acme/instances/cache", "in 404 200 200 200 200 200"},
		{"/console/organizations/acme/instances/cache?figures=now", "in 404 200 200 200 200 200"},
		{"/console/organizations/acme/instances/nosuch", "in 404 404 404 404 404 404"},
		{"/console/organizations/nosuch", "in 404 404 404 404 404 404"},
		{"/console/keys/" + w.key.ID, "in 404 200 200 200 200 200"},
		{"/console/keys/000000000000", "in 404 404 404 404 404 404"},
		{"/console/users", "in 404 404 404 404 200 200"},
		{"/console/sessions", "in 404 404 404 404 200 200"},
		{"/console/audit", "in 404 404 404 404 200 200"},
		{"/console/nosuch", "404 404 404 404 404 404 404"},
		{"/console/invitation", "200 200 200 200 200 200 200"},
	}
	for i, who := range columns {
		b := w.as(t, who)
		hidden := map[string]bool{}
		for _, p := range pages {
			want := strings.Fields(p.answers)[i]
			s := b.get(p.path)
			got := http.StatusText(s.status)
			switch {
			case want == "in":
				got, want = s.path, "/console/sign-in?next="+url.QueryEscape(p.path)
			case want == "404":
				want = "Not Found"
				_, main, _ := strings.Cut(s.words(), "Sign out")
				hidden[main] = true
			default:
				want = "OK"
			}
			if got != want {
				t.Errorf("%s gets %s: %s, want %s", who, p.path, got, want)
			}
			if who != "stranger" && who != "root" && who != "operator" && strings.Contains(s.text, "globex") {
				t.Errorf("%s sees of another organization at %s", who, p.path)
			}
		}
		if len(hidden) != 1 {
			t.Errorf("%s can tell what is hidden from what is not there: %v", who, hidden)
		}
	}
}

// TestWhoChangesWhat: pages have the forms that whoever looks may use, and a form that is
// sent nevertheless changes nothing.
func TestWhoChangesWhat(t *testing.T) {
	w := newWorld(t)
	org, key := "/console/organizations/acme", "/console/keys/"+w.key.ID
	forms := map[string]string{ // by the page; who may use them is the last column of rights
		org + "/instances":              "admin " + org,
		org + "/keys":                   "admin " + org,
		org + "/instances/cache/test":   "admin " + org + "/instances/cache",
		org + "/instances/cache/delete": "admin " + org + "/instances/cache",
		key:                             "admin " + key,
		key + "/rotate":                 "admin " + key,
		key + "/revoke":                 "admin " + key,
		org + "/members":                "owner " + org + "/members",
		org + "/members/" + w.users["owner"] + "/remove":   "owner " + org + "/members",
		org + "/sessions/proxy1-acme/kill":                 "admin " + org + "/sessions",
		"/console/organizations":                           "root /console/",
		"/console/users":                                   "root /console/users",
		"/console/users/" + w.users["viewer"] + "/invite":  "root /console/users",
		"/console/users/" + w.users["viewer"] + "/disable": "root /console/users",
		"/console/sessions/proxy1-acme/kill":               "root /console/sessions",
	}
	ranks := []string{"stranger", "viewer", "admin", "owner", "root"}
	for rank, who := range ranks {
		b := w.as(t, who)
		sent := url.Values{csrfField: {b.csrf()}, "version": {"1"}, "overlap": {"0"}, "rate": {"1"}}
		for action, by := range forms {
			least, at, _ := strings.Cut(by, " ")
			may := rank >= slices.Index(ranks, least)
			s := b.get(at)
			if got := slices.Contains(s.forms(), action); got != may {
				t.Errorf("%s has the form for %s at %s: %v, want %v", who, action, at, got, may)
			}
			if may {
				continue
			}
			if s := b.post(action, sent); s.status != http.StatusForbidden && s.status != http.StatusNotFound {
				t.Errorf("%s sends the form for %s: got %d, want 403 or 404", who, action, s.status)
			}
		}
	}
	if changed := w.changed(t); len(changed) > 0 {
		t.Errorf("changed were %v", changed)
	}
}

// changed is what is not as it was.
func (w *world) changed(t *testing.T) (all []string) {
	k := must[tenant.Key](t)(w.store.Key(t.Context(), w.key.ID))
	if k.Version != w.key.Version {
		all = append(all, "the key")
	}
	if n := len(must[[]tenant.Membership](t)(w.store.Members(t.Context(), "acme"))); n != 3 {
		all = append(all, "the members")
	}
	if len(w.live.ended) > 0 {
		all = append(all, "a session")
	}
	if n := len(must[[]tenant.Organization](t)(w.store.Organizations(t.Context(), store.Page{}))); n != 2 {
		all = append(all, "the organizations")
	}
	return all
}

// TestForgedForms: a form counts only with the token of its session, whoever has the cookie.
func TestForgedForms(t *testing.T) {
	w := newWorld(t)
	owner, admin := w.as(t, "owner"), w.as(t, "admin")
	good, others := owner.csrf(), admin.csrf()
	revoke := "/console/keys/" + w.key.ID + "/revoke"
	for _, c := range []struct {
		name   string
		by     *browser
		csrf   []string
		header []string
		status int
		words  string
	}{
		{"without a token", owner, nil, nil, 403, "reload the page"},
		{"with an empty token", owner, []string{""}, nil, 403, "reload the page"},
		{"with another session's token", owner, []string{others}, nil, 403, "reload the page"},
		{"with a part of the token", owner, []string{good[:20]}, nil, 403, "reload the page"},
		{"from another site", owner, []string{good}, []string{"Sec-Fetch-Site", "cross-site"}, 403, "by another site"},
		{"from another origin", owner, []string{good}, []string{"Origin", "https://evil.example"}, 403, "by another site"},
		{"not signed in", w.browser(t), []string{good}, nil, 403, "Sign in, and do it again"},
		{"as JSON", owner, []string{good}, []string{"Content-Type", "application/json"}, 415, "not a form"},
		{"as several parts", owner, []string{good}, []string{"Content-Type", "multipart/form-data; boundary=x"}, 415, "not a form"},
	} {
		s := c.by.post(revoke, url.Values{csrfField: c.csrf}, c.header...)
		if s.status != c.status || !strings.Contains(s.words(), c.words) {
			t.Errorf("%s: got %d %s, want %d with %q", c.name, s.status, s.words(), c.status, c.words)
		}
	}
	for _, path := range []string{"/console/sign-in", "/console/sign-in/token", "/console/invitation", "/console/theme"} {
		w.browser(t).post(path, url.Values{"email": {"owner@example.com"}, "password": {password}}).want(403, "no cookie")
		b := w.browser(t)
		b.get("/console/sign-in")
		b.post(path, url.Values{"email": {"owner@example.com"}, "password": {password}, csrfField: {good}}).want(403, "An old form")
	}
	owner.send(revoke, "csrf=%zz").want(400, "cannot be read")
	large := owner.post(revoke, url.Values{csrfField: {good}, "x": {strings.Repeat("x", maxForm)}})
	large.want(413, "larger than 64 KiB")
	if k := must[tenant.Key](t)(w.store.Key(t.Context(), w.key.ID)); !k.RevokedAt.IsZero() {
		t.Error("the key was revoked")
	}
	owner.post(revoke, url.Values{csrfField: {good}}).want(200, "The key is revoked", "Revoked")
}

// TestSignIn: cookies, words, and where one comes to.
func TestSignIn(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	asked := b.get("/console/organizations/acme?keys=x")
	asked.want(200, "Sign in").send("/console/sign-in", b, "email", "viewer@example.com", "password", "wrong").
		want(401, "Not done", "Wrong e-mail address or password", "try again")
	in := asked.send("/console/sign-in", b, "email", "viewer@example.com", "password", password)
	if in.want(200, "acme"); in.path != "/console/organizations/acme?keys=x" {
		t.Errorf("one comes to %s", in.path)
	}
	var cookie *http.Cookie
	for _, c := range b.client.Jar.Cookies(must[*url.URL](t)(url.Parse(w.server.URL + "/console/"))) {
		if c.Name == sessionCookie {
			cookie = c
		}
	}
	if cookie == nil {
		t.Fatal("there is no cookie")
	}
	b.get("/console/sign-in?next=/console/account").want(200, "Your account") // it is done already

	out := b.get("/console/").send("/console/sign-out", b)
	out.want(200, "You are signed out")
	stolen := w.browser(t)
	stolen.client.Jar.SetCookies(must[*url.URL](t)(url.Parse(w.server.URL+"/console/")), []*http.Cookie{cookie})
	if s := stolen.get("/console/account"); !strings.HasPrefix(s.path, "/console/sign-in") {
		t.Errorf("the cookie is good after one has signed out: %d %s", s.status, s.path)
	}
}

// TestSessionCookie: what it is like, and that what is no session's is none.
func TestSessionCookie(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, c := range []struct{ action, field, value, next string }{
		{"/console/sign-in", "password", password, "//evil.example/console/"},
		{"/console/sign-in/token", "token", adminToken.Reveal(), "https://evil.example/"},
	} {
		s := b.get("/console/sign-in").send(c.action, b, c.field, c.value, "next", c.next)
		if c.field == "password" {
			s = b.get("/console/sign-in").send(c.action, b, "email", "owner@example.com", c.field, c.value, "next", c.next)
		}
		if got := s.header.Get("Location"); s.status != 303 || got != "/console/" {
			t.Errorf("%s leads to %q, with %d", c.action, got, s.status)
		}
		set := strings.Join(s.header.Values("Set-Cookie"), "\n")
		for _, want := range []string{sessionCookie + "=", "; Path=/console; HttpOnly; SameSite=Strict"} {
			if !strings.Contains(set, want) {
				t.Errorf("%s sets %s, want %s", c.action, set, want)
			}
		}
		if strings.Contains(set, adminToken.Reveal()) || strings.Contains(set, "Secure") {
			t.Errorf("%s sets %s", c.action, set)
		}
		b.post("/console/sign-out", url.Values{csrfField: {b.csrf()}})
	}
	api := must[control.NewToken](t)(w.control.CreateToken(t.Context(), operator(), tenant.Token{UserID: w.users["owner"]}))
	for name, value := range map[string]string{
		"the operator's token": adminToken.Reveal(), "a token for the API": api.Text.Reveal(), "nothing": "", "nonsense": "x",
		"no place": keptPrefix + random(), "a place without a name": keptPrefix,
	} {
		b := w.browser(t)
		b.client.Jar.SetCookies(must[*url.URL](t)(url.Parse(w.server.URL+"/console/")), []*http.Cookie{{Name: sessionCookie, Value: value, Quoted: true, Path: "/console"}})
		if s := b.get("/console/"); !strings.HasPrefix(s.path, "/console/sign-in") {
			t.Errorf("%s as a cookie lets in: %d %s", name, s.status, s.path)
		}
	}
	w.wait = 3 * time.Second
	s := w.browser(t).get("/console/sign-in")
	s.want(200)
	guess := w.browser(t)
	if s := guess.get("/console/sign-in").send("/console/sign-in/token", guess, "token", "x"); s.status != 429 || s.header.Get("Retry-After") != "3" {
		t.Errorf("who guesses too often: got %d", s.status)
	}
}

// TestSecretsAreShownOnce: on one page, in no address, and on no page after it.
func TestSecretsAreShownOnce(t *testing.T) {
	w := newWorld(t)
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

// TestForms does what the forms are for, and looks at what they say when it cannot be done.
func TestForms(t *testing.T) {
	w := newWorld(t)
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
	b.get(org+"/instances/queue").send(org+"/instances/queue/test", b).want(200, "Reachable", "7.0.15", "@admin")
	b.get(org+"/instances/queue").send(org+"/instances/queue/delete", b).want(200, "The instance is deleted")
	b.get(org+"/instances/cache").send(org+"/instances/cache/delete", b).want(409, "Not done")

	page := "/console/keys/" + w.key.ID
	before := b.get(page)
	before.send(page, b, "rate", "50", "burst", "60", "commands", "+@read", "max_connections", "4", "audit", "+@write").want(200, "held to it at once", "50/s, burst 60", "+@read")
	before.send(page, b, "rate", "70").want(409, "changed meanwhile", "50/s, burst 60")
	b.get(page).send(page, b, "commands", "~x").want(422, "Not done")
	b.get(page).send(page, b, "allow_from", "10.0.0.0/99").want(422, "Networks")
	b.get(page).send(page, b, "rate", "-1").want(422, "Rate: want a whole number, 0 or more")
	b.get(page).send(page+"/revoke", b).want(200, "Revoked")
	if forms := b.get(page).forms(); len(forms) != 0 {
		t.Errorf("a revoked key has the forms %v", forms)
	}

	b.get(org+"/members").send(org+"/members", b, "email", "stranger@example.com", "role", "viewer").want(200, "The member's role is set", "stranger@example.com")
	b.get(org+"/members").send(org+"/members", b, "email", "nosuch@example.com").want(404, "not found")
	b.get(org+"/members").send(org+"/members/"+w.users["stranger"]+"/remove", b).want(200, "The member is removed")
	b.get(org+"/sessions").send(org+"/sessions/proxy1-acme/kill", b).want(200, "The session is ended")
	if !slices.Equal(w.live.ended, []string{"proxy1-acme"}) {
		t.Errorf("ended %v", w.live.ended)
	}
	b.get("/console/users").send("/console/users/"+w.users["viewer"]+"/disable", b).want(200, "The user is disabled", "Disabled")
	b.get("/console/users").send("/console/users/"+w.users["viewer"]+"/enable", b).want(200, "The user is enabled")
	b.get("/console/account").send("/console/account/password", b, "old", "wrong", "new", password+"!").want(403, "The old password is wrong")
	w.browser(t).get("/console/sign-in").want(200)
	b.post("/console/organizations/acme", nil).want(405, "does not take such requests")
	b.get(org + "/keys").want(405)
}

// TestTheme: light or dark stays, and leads back to the page.
func TestTheme(t *testing.T) {
	w := newWorld(t)
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

// TestAudit filters events and goes from page to page.
func TestAudit(t *testing.T) {
	w := newWorld(t)
	b := w.as(t, "owner")
	for range perPage + 5 {
		must[tenant.Key](t)(w.control.UpdateKey(t.Context(), operator(), w.key.ID, control.Change[tenant.Key]{Apply: func(k *tenant.Key) error { k.MaxConnections++; return nil }}))
	}
	path := "/console/organizations/acme/audit"
	first := b.get(path + "?action=key.update")
	next := find(first.root, func(n *html.Node) bool { return attr(n, "rel") == "next" })
	if next == nil {
		t.Fatal("there is no next page")
	}
	second := b.get(path + attr(next, "href"))
	if a, z := strings.Count(first.text, "<code>key.update"), strings.Count(second.text, "<code>key.update"); a != perPage || z != 5 {
		t.Errorf("the pages have %d and %d events, want %d and 5", a, z, perPage)
	}
	b.get(path+"?action=key.create").want(200, "web-of-acme", "Done")
	b.get(path+"?action=key.create&from=2001-01-01&to=2001-01-02").want(200, "No event is like that")
	b.get(path+"?from=yesterday").want(422, "2026-01-31")
	b.get(path + "?after=x").want(404)
	for _, e := range must[[]tenant.Event](t)(w.store.Events(t.Context(), store.EventFilter{}, store.Page{})) {
		if !slices.Contains(actions, e.Action) || !slices.Contains(targets, e.Target) {
			t.Errorf("one cannot choose %s on %s", e.Action, e.Target)
		}
	}
}

// TestPages: what no page has room for is on the next.
func TestPages(t *testing.T) {
	w := newWorld(t)
	for i := range perPage {
		must[tenant.Instance](t)(w.store.CreateInstance(t.Context(), "acme", "shard-"+string(rune('a'+i/26))+string(rune('a'+i%26)), "redis://10.0.0.7:6379/0"))
	}
	b := w.as(t, "viewer")
	first := b.get("/console/organizations/acme")
	next := find(first.root, func(n *html.Node) bool { return attr(n, "rel") == "next" })
	if next == nil {
		t.Fatal("there is no next page")
	}
	second := b.get("/console/organizations/acme"+attr(next, "href")).want(200, "shard-bx")
	if strings.Contains(first.words(), "shard-bx") || strings.Contains(second.words(), "shard-aa") {
		t.Error("the pages have the same instances")
	}
}

// TestLive gets the events of an instance for as long as one may.
func TestLive(t *testing.T) {
	w := newWorld(t)
	const path = "/console/organizations/acme/instances/cache/events"
	w.as(t, "stranger").get(path).want(404)
	open := func(b *browser) (*bufio.Reader, func()) {
		t.Helper()
		r := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), http.MethodGet, w.server.URL+path, nil))
		res := must[*http.Response](t)(b.client.Do(r))
		if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" || res.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("got %d %v", res.StatusCode, res.Header)
		}
		return bufio.NewReader(res.Body), func() { _ = res.Body.Close() }
	}
	line := func(r *bufio.Reader) string {
		for {
			text, err := r.ReadString('\n')
			if text = strings.TrimSpace(text); text != "" || err != nil {
				return text
			}
		}
	}
	b := w.as(t, "viewer")
	events, done := open(b)
	if got := line(events); got != "retry: 3000" {
		t.Errorf("the first line is %q", got)
	}
	if got := line(events); !strings.HasPrefix(got, `data: {"proxy":"proxy1","hot_commands":[{"command":"get"`) {
		t.Errorf("the first event is %q", got)
	}
	w.live.points <- control.Point{At: time.Unix(1001, 0).UTC(), Commands: 4711}
	if got := line(events); !strings.Contains(got, `"commands_per_second":4711`) {
		t.Errorf("the next event is %q", got)
	}
	b.get("/console/").send("/console/sign-out", b).want(200)
	w.live.points <- control.Point{At: time.Unix(1002, 0).UTC(), Commands: 4712}
	if got := line(events); got != "" {
		t.Errorf("who has signed out gets %q", got)
	}
	done()

	events, done = open(w.as(t, "viewer"))
	defer done()
	_, _ = line(events), line(events)
	w.console.Close()
	if got := line(events); got != "" {
		t.Errorf("when the console closes one gets %q", got)
	}
}

// TestWatchersAreBounded: beyond the bound one is told to come again.
func TestWatchersAreBounded(t *testing.T) {
	w := newWorld(t)
	for range maxWatchers {
		w.console.watchers.free <- struct{}{}
	}
	s := w.as(t, "viewer").get("/console/organizations/acme/instances/cache/events").want(503, "Too many are watching")
	if s.header.Get("Retry-After") == "" {
		t.Error("it is not said when")
	}
}

// TestStatic: what pages need is there, and kept for as long as it is the same.
func TestStatic(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	for n := range b.get("/console/sign-in").root.Descendants() {
		for _, link := range []string{attr(n, "src"), attr(n, "href")} {
			if !strings.HasPrefix(link, staticPath) {
				continue
			}
			s := b.get(link).want(200)
			if s.header.Get("Cache-Control") != "max-age=31536000, immutable" || s.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s: %v", link, s.header)
			}
		}
	}
	if got := b.get(staticPath + "console.css").want(200).header.Get("Cache-Control"); got != "no-cache" {
		t.Errorf("without its version it is kept: %s", got)
	}
	b.get(staticPath + "nosuch").want(404)
	b.get(staticPath + "..%2fconsole.go").want(404)
}

// TestStoreAway: while the store cannot be asked a page says so, and when to try again.
func TestStoreAway(t *testing.T) {
	w := newWorld(t)
	b := w.as(t, "operator")
	must[struct{}](t)(struct{}{}, w.store.Close())
	s := b.get("/console/").want(503, "The database cannot be asked", "few seconds")
	if s.header.Get("Retry-After") != "5" {
		t.Errorf("Retry-After is %q", s.header.Get("Retry-After"))
	}
}
