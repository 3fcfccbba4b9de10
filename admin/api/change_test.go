package api

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

var pageAll = store.Page{}

// TestEntityTags: a change is made of what its maker has seen, or not at all.
func TestEntityTags(t *testing.T) {
	w := newWorld(t, Config{})
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
			if strings.HasPrefix(c.path, "/organizations/acme/instances") {
				return // the key needs it
			}
			if rec := w.do(t, request{who: "operator", call: "DELETE " + c.path, header: map[string]string{"If-Match": last}}); rec.Code != 204 {
				t.Errorf("delete what was seen: got %d %s, want 204", rec.Code, rec.Body)
			}
		})
	}
}

func force(path string) string {
	if strings.Contains(path, "/instances/") {
		return "?force=true"
	}
	return ""
}

// TestPages: going from page to page shows everything once, in order.
func TestPages(t *testing.T) {
	w := newWorld(t, Config{})
	for i := range 7 {
		name := fmt.Sprintf("org%d", i)
		must[tenant.Organization](t)(w.store.CreateOrganization(t.Context(), tenant.Organization{Name: name}))
		must[tenant.Instance](t)(w.store.CreateInstance(t.Context(), name, "i", "redis://10.0.0.5"))
		w.live.all = append(w.live.all, tenant.Session{ID: fmt.Sprintf("proxy1-%d", 10+i), Org: name})
		w.user(t, "user"+name)
		w.key(t)
	}
	for _, list := range []string{"/organizations", "/instances", "/organizations/acme/keys", "/keys", "/users", "/audit", "/sessions", "/organizations?deleted=true",
		"/organizations/acme/members", "/audit?action=token.create", "/users/" + w.users["owner"] + "/tokens"} {
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

// TestLargeBodies are refused, and who sends them reads so, over a real connection.
func TestLargeBodies(t *testing.T) {
	w := newWorld(t, Config{})
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
