package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/internal/testbed/stores"
	"github.com/respgate/respgate/tenant"
)

// testForgedForms: a form counts only with the token of its session, whoever has the cookie.
func testForgedForms(t *testing.T, open stores.Opener) {
	w := newWorld(t, open)
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

// testSignIn: cookies, words, and where one comes to.
func testSignIn(t *testing.T, open stores.Opener) {
	w := newWorld(t, open)
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

// testSessionCookie: what it is like, and that what is no session's is none.
func testSessionCookie(t *testing.T, open stores.Opener) {
	w := newWorld(t, open)
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
	guess := w.browser(t)
	try := func() *seen { return guess.get("/console/sign-in").send("/console/sign-in/token", guess, "token", "x") }
	try().want(401, "token is not valid", "try again")
	s := try()
	for tried := 0; s.status == 401 && tried < 50; tried++ {
		s = try()
	}
	if s.want(429, "Not done", "Try again in"); s.header.Get("Retry-After") == "" {
		t.Error("who guesses too often is not told when to try again")
	}
}

// testStrangers: who sends cookies that are nobody's is counted, and the store is not asked
// about the next ones.
func testStrangers(t *testing.T, open stores.Opener) {
	w := newWorld(t, open)
	b := w.as(t, "viewer")
	b.get("/console/").want(200)
	if w.strangers != 0 {
		t.Errorf("%d strangers have signed in", w.strangers)
	}
	guess := w.browser(t)
	guess.client.Jar.SetCookies(must[*url.URL](t)(url.Parse(w.server.URL+"/console/")), []*http.Cookie{{Name: sessionCookie, Value: "rgt_x", Path: "/console"}})
	guess.get("/console/sign-in").want(200)
	if w.strangers != 1 {
		t.Errorf("%d strangers were counted, want 1", w.strangers)
	}
	w.wait = 3 * time.Second
	if s := guess.get("/console/").want(429, "Try again in 3 s"); s.header.Get("Retry-After") != "3" {
		t.Errorf("Retry-After is %q", s.header.Get("Retry-After"))
	}
	w.browser(t).get("/console/sign-in").want(200)
}

// testFromAnotherSite: a link of another site leads to the page, though the cookie is not
// sent with it.
func testFromAnotherSite(t *testing.T, open stores.Opener) {
	w := newWorld(t, open)
	b := w.browser(t)
	const path = "/console/organizations/acme/audit?action=key.create"
	r := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), http.MethodGet, w.server.URL+path, nil))
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if s := b.do(r).want(200, "The page follows"); s.header.Get("Refresh") != "0; url="+path || len(s.header.Values("Set-Cookie")) > 0 {
		t.Errorf("got %v", s.header)
	}
}

// testNext: one is led to the console's pages and nowhere else, whatever browsers make of
// backslashes, which are slashes to them.
func testNext(t *testing.T, open stores.Opener) {
	w := newWorld(t, open)
	b := w.as(t, "viewer")
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	leads := func(query, body string) string {
		t.Helper()
		r := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), http.MethodGet, w.server.URL+"/console/sign-in"+query, strings.NewReader(body)))
		r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
		res, err := b.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.Header.Get("Location")
	}
	for _, c := range []struct{ next, leads string }{
		{"", "/console/"},
		{"/console/", "/console/"},
		{"/console/organizations/acme?keys=x", "/console/organizations/acme?keys=x"},
		{`/console/audit?id=a\b/../c`, `/console/audit?id=a\b/../c`},
		{"https://evil.example/console/", "/console/"},
		{"//evil.example/console/", "/console/"},
		{`/console/../\evil.example`, "/console/"},
		{`/console/..\..\\evil.example`, "/console/"},
		{"/console/..//evil.example", "/console/"},
		{"/console/../api/v1/docs", "/console/"},
		{"/consoles/", "/console/"},
	} {
		if got := leads("?next="+url.QueryEscape(c.next), ""); got != c.leads {
			t.Errorf("%q leads to %q, want %q", c.next, got, c.leads)
		}
		s := b.post("/console/theme", url.Values{csrfField: {b.csrf()}, "next": {c.next}})
		if got := s.header.Get("Location"); s.status != 303 || got != c.leads {
			t.Errorf("a form with %q leads to %q with %d, want %q", c.next, got, s.status, c.leads)
		}
	}
	if got := leads("", "--x\r\nContent-Disposition: form-data; name=next\r\n\r\n/console/account\r\n--x--\r\n"); got != "/console/" {
		t.Errorf("the body of a GET is read: it leads to %q", got)
	}
}

// testOriginOverPlainHTTP: browsers that say nothing else, as over plain HTTP, say a form's
// origin. It is "null" for pages whose policy is that no referrer is sent, so that theirs,
// which checkPage looks at, is another (https://fetch.spec.whatwg.org/#append-a-request-origin-header).
func testOriginOverPlainHTTP(t *testing.T, open stores.Opener) {
	w := newWorld(t, open)
	b := w.as(t, "viewer")
	sent := url.Values{csrfField: {b.csrf()}, "theme": {"dark"}}
	b.post("/console/theme", sent, "Origin", w.server.URL).want(200)
	b.post("/console/theme", sent, "Origin", "null").want(403, "by another site")
}

// TestKeptTokens: who signs in with tokens again and again signs nobody else out.
func TestKeptTokens(t *testing.T) {
	k, now := newKept(), time.Now()
	operators := k.keep("operator", "", now)
	first := k.keep("a", "ann", now)
	for i := range 2 * maxKept {
		k.keep("b", "bob", now.Add(time.Duration(i+1)))
	}
	for name, place := range map[string]string{"the operator": operators, "Ann": first} {
		if _, ok := k.find(place, now); !ok {
			t.Errorf("Bob has signed %s out", name)
		}
	}
	if n := len(k.of); n != 2+maxKeptOfOne {
		t.Errorf("%d are kept, want %d", n, 2+maxKeptOfOne)
	}
	for i := range 2 * maxKept {
		k.keep("c", "", now.Add(time.Duration(i+1)))
	}
	if _, ok := k.find(operators, now); ok || len(k.of) != maxKept {
		t.Errorf("%d are kept, the first of them: %v; want %d without", len(k.of), ok, maxKept)
	}
}
