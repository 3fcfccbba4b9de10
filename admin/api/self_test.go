package api

import (
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/internal/testbed/stores"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// testFor: a process's own requests need no token, whatever it is, and are noted as the
// actor's.
func testFor(t *testing.T, open stores.Opener) {
	w := newWorld(t, open, Config{})
	h := For(control.Actor{Kind: tenant.ByShell, Name: "ann"}, w.control, w.store, slog.New(slog.DiscardHandler))
	ask := func(method, path, body, token string) *httptest.ResponseRecorder {
		t.Helper()
		r := httptest.NewRequest(method, Prefix+path, strings.NewReader(body))
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		return rec
	}
	for _, c := range []struct {
		name, call, body, token string
		status                  int
		part                    string
	}{
		{"who it is", "GET /me", "", "", 200, `{"actor":"shell","operator":true`},
		{"a token is not looked at", "GET /me", "", "rgt_nosuch", 200, `"actor":"shell"`},
		{"a change", "POST /organizations", `{"name":"hooli"}`, "", 201, `"name":"hooli"`},
		{"what is wrong", "GET /organizations/nosuch", "", "", 404, `organization \"nosuch\" not found`},
		{"a path that names something else", "GET /organizations/x/../globex", "", "", 404, "nothing at this path"},
	} {
		method, path, _ := strings.Cut(c.call, " ")
		rec := ask(method, path, c.body, c.token)
		if rec.Code != c.status || !strings.Contains(rec.Body.String(), c.part) {
			t.Errorf("%s: got %d %s, want %d with %s", c.name, rec.Code, rec.Body, c.status, c.part)
		}
		if rec.Header().Get("RateLimit") != "" {
			t.Errorf("%s: it is limited", c.name)
		}
	}
	events := must[[]tenant.Event](t)(w.store.Events(t.Context(), store.EventFilter{Action: "organization.create"}, store.Page{}))
	if len(events) == 0 || events[0].Actor != tenant.ByShell || events[0].ActorName != "ann" {
		t.Errorf("the events are %+v, want the newest by the shell's ann", events)
	}
	_ = w.store.Close()
	if rec := ask("GET", "/organizations", "", ""); rec.Code != 503 || !strings.Contains(rec.Body.String(), "closed") {
		t.Errorf("with the store closed: got %d %s, want what is wrong with it", rec.Code, rec.Body)
	}
}
