package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/respgate/respgate/internal/testbed/stores"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// testWhoSeesWhat gets every page as everybody. What somebody may not see is not there, in
// the same words as what is nowhere, and who has not signed in is asked to.
func testWhoSeesWhat(t *testing.T, open stores.Opener) {
	w := newWorld(t, open)
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
			switch want {
			case "in":
				got, want = s.path, "/console/sign-in?next="+url.QueryEscape(p.path)
			case "404":
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

// testWhoChangesWhat: pages have the forms that whoever looks may use, and a form that is
// sent nevertheless changes nothing.
func testWhoChangesWhat(t *testing.T, open stores.Opener) {
	w := newWorld(t, open)
	org, key := "/console/organizations/acme", "/console/keys/"+w.key.ID
	forms := map[string]string{ // by the page; who may use them is the last column of rights
		org + "/instances":              "admin " + org,
		org + "/keys":                   "admin " + org,
		org + "/instances/cache":        "admin " + org + "/instances/cache",
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
	if in := must[tenant.Instance](t)(w.store.Instance(t.Context(), "acme", "cache")); in.Version != 1 {
		all = append(all, "the instance")
	}
	if n := len(must[[]tenant.Membership](t)(w.store.Members(t.Context(), "acme", store.Page{}))); n != 3 {
		all = append(all, "the members")
	}
	if len(w.live.Ended) > 0 {
		all = append(all, "a session")
	}
	if n := len(must[[]tenant.Organization](t)(w.store.Organizations(t.Context(), store.Page{}))); n != 2 {
		all = append(all, "the organizations")
	}
	return all
}
