package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/internal/testbed/stores"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

var pageAll = store.Page{}

// testEntityTags: a change is made of what its maker has seen, or not at all.
func testEntityTags(t *testing.T, open stores.Opener) {
	w := newWorld(t, open, Config{})
	key := w.key(t).ID
	w.user(t, "bob")
	for _, c := range []struct{ path, patch string }{
		{"/organizations/acme", `{"max_members":%d}`},
		{"/organizations/acme/instances/cache", `{"url":"redis://10.0.0.%d:6379"}`},
		{"/keys/" + key, `{"rate":%d}`},
		{"/users/" + w.users["bob"], `{"name":"Bob %d"}`},
	} {
		t.Run(c.path, func(t *testing.T) {
			get := func(header map[string]string) *httptest.ResponseRecorder {
				t.Helper()
				return w.do(t, request{who: "operator", call: "GET " + c.path, header: header})
			}
			change := func(n int, tag string) int {
				t.Helper()
				rec := w.do(t, request{who: "operator", call: "PATCH " + c.path, body: fmt.Sprintf(c.patch, n), header: map[string]string{"If-Match": tag}})
				checkForm(t, rec)
				return rec.Code
			}
			first := get(nil).Header().Get("ETag")
			if !regexp.MustCompile(`^"[0-9]+-[A-Za-z0-9_-]{12}"$`).MatchString(first) {
				t.Fatalf("ETag %q", first)
			}
			for _, known := range []string{first, `"x", ` + first, "W/" + first, "*"} {
				if rec := get(map[string]string{"If-None-Match": known}); rec.Code != 304 || rec.Body.Len() > 0 || rec.Header().Get("ETag") != first {
					t.Errorf("If-None-Match %s: got %d %s, want 304", known, rec.Code, rec.Body)
				}
			}
			if got := change(9, first); got != 200 {
				t.Errorf("the first change: got %d, want 200", got)
			}
			if got := change(10, first); got != 412 {
				t.Errorf("one of what was changed: got %d, want 412", got)
			}
			if rec := get(map[string]string{"If-None-Match": first}); rec.Code != 200 || rec.Header().Get("ETag") == first {
				t.Errorf("what was changed: got %d with ETag %s, want 200 with another", rec.Code, rec.Header().Get("ETag"))
			}
			for tag, want := range map[string]int{"*": 200, "": 200, "W/" + first: 412, `"x"`: 412, "x": 400, `"1", "2"`: 400} {
				if got := change(11, tag); got != want {
					t.Errorf("If-Match %s: got %d, want %d", tag, got, want)
				}
			}
			if c.path == "/organizations/acme" {
				return // it is needed
			}
			if rec := w.do(t, request{who: "operator", call: "DELETE " + c.path + force(c.path), header: map[string]string{"If-Match": first}}); rec.Code != 412 {
				t.Errorf("delete what was changed: got %d, want 412", rec.Code)
			}
			last := get(nil).Header().Get("ETag")
			if strings.HasPrefix(c.path, "/keys/") {
				last = revoked(t, w, c.path, first, last)
			}
			if strings.HasPrefix(c.path, "/organizations/acme/instances") {
				return // the key needs it
			}
			if rec := w.do(t, request{who: "operator", call: "DELETE " + c.path, header: map[string]string{"If-Match": last}}); rec.Code != 204 {
				t.Errorf("delete what was seen: got %d %s, want 204", rec.Code, rec.Body)
			}
		})
	}
}

// revoked rotates and revokes a key by its entity tags, and returns what it has then.
func revoked(t *testing.T, w *world, path, old, last string) string {
	t.Helper()
	for _, c := range []struct{ what, body string }{{"/rotate", `{"overlap_seconds":60}`}, {"/revoke", ""}} {
		try := func(tag string, want int) *httptest.ResponseRecorder {
			t.Helper()
			rec := w.do(t, request{who: "admin", call: "POST " + path + c.what, body: c.body, header: map[string]string{"If-Match": tag}})
			checkForm(t, rec)
			if rec.Code != want {
				t.Errorf("%s with If-Match %s: got %d %s, want %d", c.what, tag, rec.Code, rec.Body, want)
			}
			return rec
		}
		try(old, 412)
		next := try(last, 200).Header().Get("ETag")
		try(last, 412)
		old, last = last, next
	}
	return last
}

// testAtOnce: of many who change, make or end the same thing at the same time, one does, and
// the others are told why they did not.
func testAtOnce(t *testing.T, open stores.Opener) {
	w := newWorld(t, open, Config{})
	w.user(t, "bob")
	key := "/keys/" + w.key(t).ID
	if rec := w.do(t, request{who: "operator", call: "POST /organizations/acme/instances", body: `{"name":"lone","url":"redis://10.0.0.5"}`}); rec.Code != 201 {
		t.Fatal(rec.Body)
	}
	for _, c := range []struct {
		call, body, seen string // of what is seen before
		done, refused    int
	}{
		{"PATCH /organizations/acme", `{"max_members":100}`, "/organizations/acme", 200, 412},
		{"PATCH /organizations/acme/instances/lone", `{"url":"redis://10.0.0.6"}`, "/organizations/acme/instances/lone", 200, 412},
		{"PATCH " + key, `{"rate":7}`, key, 200, 412},
		{"PATCH /users/" + w.users["bob"], `{"name":"Bob"}`, "/users/" + w.users["bob"], 200, 412},
		{"POST " + key + "/rotate", `{"overlap_seconds":0}`, key, 200, 412},
		{"POST " + key + "/revoke", "", key, 200, 412},
		{"POST /organizations", `{"name":"same"}`, "", 201, 409},
		{"POST /organizations/acme/instances", `{"name":"same","url":"redis://10.0.0.5"}`, "", 201, 409},
		{"POST /users", `{"email":"same@example.com"}`, "", 201, 409},
		{"DELETE " + key, "", "", 204, 404},
		{"DELETE /organizations/acme/instances/lone", "", "", 204, 404},
		{"DELETE /users/" + w.users["bob"], "", "", 204, 404},
	} {
		header := map[string]string{}
		if c.seen != "" {
			header["If-Match"] = w.do(t, request{who: "operator", call: "GET " + c.seen}).Header().Get("ETag")
		}
		const many = 8
		var wg sync.WaitGroup
		answers := make(chan int, many)
		for range many {
			wg.Go(func() { answers <- w.do(t, request{who: "operator", call: c.call, body: c.body, header: header}).Code })
		}
		wg.Wait()
		got := map[int]int{}
		for range many {
			got[<-answers]++
		}
		if got[c.done] != 1 || got[c.refused] != many-1 {
			t.Errorf("%s: answers by status %v, want %d once and else %d", c.call, got, c.done, c.refused)
		}
	}
}

func force(path string) string {
	if strings.Contains(path, "/instances/") {
		return "?force=true"
	}
	return ""
}

// testPages: going from page to page shows everything once, in order.
func testPages(t *testing.T, open stores.Opener) {
	w := newWorld(t, open, Config{})
	for i := range 7 {
		name := fmt.Sprintf("org%d", i)
		must[tenant.Organization](t)(w.store.CreateOrganization(t.Context(), tenant.Organization{Name: name}))
		must[tenant.Instance](t)(w.store.CreateInstance(t.Context(), tenant.Instance{Org: name, Name: "i", URL: "redis://10.0.0.5"}))
		w.live.All = append(w.live.All, tenant.Session{ID: fmt.Sprintf("proxy1-%d", 10+i), Org: name})
		w.user(t, "user"+name)
		w.key(t)
		must[tenant.Membership](t)(w.store.SetMember(t.Context(), "acme", w.users["user"+name], tenant.Viewer))
		must[control.NewToken](t)(w.control.CreateToken(t.Context(), operator(), tenant.Token{UserID: w.users["owner"]}))
		for range 2 {
			must[tenant.Organization](t)(w.store.CreateOrganization(t.Context(), tenant.Organization{Name: "gone"}))
			must[tenant.Instance](t)(w.store.CreateInstance(t.Context(), tenant.Instance{Org: "acme", Name: "gone", URL: "redis://10.0.0.5"}))
			if err := errors.Join(w.store.DeleteOrganization(t.Context(), "gone", store.Deletion{}), w.store.DeleteInstance(t.Context(), "acme", "gone", store.Deletion{})); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, list := range []string{"/organizations", "/instances", "/organizations/acme/keys", "/keys", "/users", "/audit", "/sessions", "/organizations?deleted=true",
		"/organizations/acme/members", "/organizations/acme/instances?deleted=true", "/audit?action=token.create", "/users/" + w.users["owner"] + "/tokens"} {
		t.Run(list, func(t *testing.T) {
			items := func(path string) (all []any, next, link string) {
				rec := w.do(t, request{who: "operator", call: "GET " + path})
				page := fields(t, rec)
				all, _ = page["items"].([]any)
				next, _ = page["next"].(string)
				return all, next, rec.Header().Get("Link")
			}
			and := "?"
			if strings.Contains(list, "?") {
				and = "&"
			}
			want, next, link := items(list + and + "limit=1000")
			if next != "" || link != "" || len(want) == 0 {
				t.Fatalf("%d in all, next %q, Link %q", len(want), next, link)
			}
			var got []any
			path := list + and + "limit=2"
			for range len(want) {
				page, next, link := items(path)
				got = append(got, page...)
				if next == "" {
					if link != "" {
						t.Errorf("the last page has the Link %s", link)
					}
					break
				}
				target, ok := strings.CutSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
				if len(page) != 2 || !ok || !strings.Contains(target, "cursor="+url.QueryEscape(next)) {
					t.Fatalf("a page of %d, Link %s", len(page), link)
				}
				path = target
			}
			if !slices.EqualFunc(got, want, func(a, b any) bool { return fmt.Sprint(a) == fmt.Sprint(b) }) {
				t.Errorf("by pages: %v\nat once:  %v", got, want)
			}
		})
	}
}

// testLargeBodies are refused, and who sends them reads so, over a real connection.
func testLargeBodies(t *testing.T, open stores.Opener) {
	w := newWorld(t, open, Config{})
	srv := httptest.NewServer(w.handler)
	defer srv.Close()
	defer http.DefaultClient.CloseIdleConnections()
	const size = 10 << 20
	for _, c := range []struct {
		name, expect string
		body         io.Reader
	}{
		{"with its length", "", strings.NewReader(strings.Repeat("x", size))},
		{"with its length, asked for", "100-continue", strings.NewReader(strings.Repeat("x", size))},
		{"in pieces", "", io.LimitReader(endless{}, size)},
		{"in pieces, asked for", "100-continue", io.LimitReader(endless{}, size)},
	} {
		r := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), "POST", srv.URL+Prefix+"/organizations", c.body))
		r.Header.Set("Authorization", "Bearer "+adminToken.Reveal())
		r.Header.Set("Content-Type", "application/json")
		if c.expect != "" {
			r.Header.Set("Expect", c.expect)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		res.Body.Close()
		if res.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: got %d, want 413", c.name, res.StatusCode)
		}
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}
