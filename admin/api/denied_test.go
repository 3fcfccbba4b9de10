package api

import (
	"strings"
	"testing"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/internal/testbed/stores"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// testDeniedIsNoted: who tries to end what is another's leaves an event, however it is named.
func testDeniedIsNoted(t *testing.T, open stores.Opener) {
	w := newWorld(t, open, Config{})
	viewer := w.users["viewer"]
	token, _, _ := strings.Cut(strings.TrimPrefix(w.tokens["viewer"].Reveal(), "rgt_"), "_")
	for _, c := range []struct{ call, action string }{
		{"DELETE /users/" + viewer + "/tokens/" + token, "token.revoke"},
		{"DELETE /organizations/acme/members/viewer@example.com", "member.remove"},
		{"DELETE /organizations/acme/members/" + viewer, "member.remove"},
	} {
		if rec := w.do(t, request{who: "stranger", call: c.call}); rec.Code != 404 {
			t.Errorf("%s: got %d, %s, want 404", c.call, rec.Code, rec.Body)
		}
		all := must[[]tenant.Event](t)(w.control.Events(t.Context(), operator(), control.EventQuery{}, store.Page{Limit: 1}))
		if len(all) != 1 || all[0].Action != c.action || all[0].Outcome != tenant.Denied || all[0].ActorID != w.users["stranger"] {
			t.Errorf("%s: the last event is %+v, want %s, denied to the stranger", c.call, all, c.action)
		}
	}
}
