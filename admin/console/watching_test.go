package console

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/internal/testbed/stores"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// testAudit filters events and goes from page to page.
func testAudit(t *testing.T, open stores.Opener) {
	w := newWorld(t, open)
	b := w.as(t, "owner")
	for range perPage + 5 {
		must[tenant.Key](t)(w.control.UpdateKey(t.Context(), operator(), w.key.ID, control.Change[tenant.Key]{Apply: func(k *tenant.Key) error { k.MaxConnections++; return nil }}))
	}
	if same := must[bool](t)(w.control.CompareURL(t.Context(), operator(), "acme", "cache", "redis://10.0.0.1:6379")); same {
		t.Error("it is another URL")
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
	if !slices.Contains(actions, "instance.move") {
		t.Error("one cannot choose instance.move, which the command line leaves")
	}
	for _, e := range must[[]tenant.Event](t)(w.store.Events(t.Context(), store.EventFilter{}, store.Page{})) {
		if !slices.Contains(actions, e.Action) || !slices.Contains(targets, e.Target) {
			t.Errorf("one cannot choose %s on %s", e.Action, e.Target)
		}
	}
}

// testPages: what no page has room for is on the next.
func testPages(t *testing.T, open stores.Opener) {
	w := newWorld(t, open)
	for i := range perPage {
		must[tenant.Instance](t)(w.store.CreateInstance(t.Context(), tenant.Instance{Org: "acme", Name: "shard-" + string(rune('a'+i/26)) + string(rune('a'+i%26)), URL: "redis://10.0.0.7:6379/0"}))
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

// testLive gets the events of an instance for as long as one may.
func testLive(t *testing.T, open stores.Opener) {
	w := newWorld(t, open)
	const path = "/console/organizations/acme/instances/cache/events"
	w.as(t, "stranger").get(path).want(404)
	follow := func(b *browser) (*bufio.Reader, func()) {
		t.Helper()
		r := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), http.MethodGet, w.server.URL+path, nil))
		res, err := b.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = res.Body.Close() })
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
	events, done := follow(b)
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

	events, done = follow(w.as(t, "viewer"))
	defer done()
	_, _ = line(events), line(events)
	w.console.Close()
	if got := line(events); got != "" {
		t.Errorf("when the console closes one gets %q", got)
	}
}

// testLiveOfAnOperatorNoMore: who is an operator no more sees an organization of others no
// longer, on a page that is open too.
func testLiveOfAnOperatorNoMore(t *testing.T, open stores.Opener) {
	w := newWorld(t, open)
	b := w.as(t, "root")
	r := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), http.MethodGet, w.server.URL+"/console/organizations/acme/instances/cache/events", nil))
	res, err := b.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	events := bufio.NewScanner(res.Body)
	for !strings.HasPrefix(events.Text(), "data:") && events.Scan() {
	}
	must[tenant.User](t)(w.control.UpdateUser(t.Context(), operator(), w.users["root"], control.Change[tenant.User]{Apply: func(u *tenant.User) error { u.Operator = false; return nil }}))
	w.live.points <- control.Point{At: time.Unix(1001, 0).UTC()}
	events.Scan() // the line that ends the first
	if events.Scan() {
		t.Errorf("got %q", events.Text())
	}
}

// testLiveOutlastsTimeouts: events come for longer than requests and answers may take.
func testLiveOutlastsTimeouts(t *testing.T, open stores.Opener) {
	w := newWorld(t, open)
	b := w.as(t, "viewer")
	server := httptest.NewUnstartedServer(w.server.Config.Handler)
	server.Config.ReadTimeout, server.Config.WriteTimeout = time.Second, time.Second
	server.Start()
	defer server.Close()
	defer w.console.Close()
	r := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/console/organizations/acme/instances/cache/events", nil))
	res, err := b.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	events := bufio.NewScanner(res.Body)
	for began := time.Now(); time.Since(began) < 2500*time.Millisecond; {
		for !strings.HasPrefix(events.Text(), "data:") {
			if !events.Scan() {
				t.Fatalf("the events end after %v: %v", time.Since(began), events.Err())
			}
		}
		events.Scan()
		w.live.points <- control.Point{At: time.Unix(1001, 0).UTC()}
	}
}

// testWatchersAreBounded: beyond the bounds one is told to come again, and one person does not
// keep all others out.
func testWatchersAreBounded(t *testing.T, open stores.Opener) {
	w := newWorld(t, open)
	const path = "/console/organizations/acme/instances/cache/events"
	refused := func(who string) {
		t.Helper()
		if s := w.as(t, who).get(path).want(503, "Too many are watching"); s.header.Get("Retry-After") == "" {
			t.Error("it is not said when")
		}
	}
	all := w.console.watchers
	for range maxWatchersOfOne {
		if !all.enter(w.users["viewer"]) {
			t.Fatal("there is no room")
		}
	}
	refused("viewer")
	for range maxWatchers - maxWatchersOfOne {
		if !all.enter("") {
			t.Fatal("one person takes all the room")
		}
	}
	refused("owner")
	all.leave(w.users["viewer"])
	if !all.enter(w.users["owner"]) {
		t.Error("there is no room after one has left")
	}
}
