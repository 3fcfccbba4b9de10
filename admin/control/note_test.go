package control

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/respgate/respgate/internal/testbed/stores"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// brokenAudit keeps nothing.
type brokenAudit struct{}

func (brokenAudit) AppendEvents(context.Context, []tenant.Event) error {
	return errors.New("the disk is full")
}

// testUnkeptEvents: what was done stays done where its event cannot be kept, which the
// process's log has then, without secrets.
func testUnkeptEvents(t *testing.T, open stores.Opener) {
	w := newWorld(t, open, func(c *Config) { c.Audit = brokenAudit{} })
	o := w.org(t)
	if _, err := w.CreateInstance(t.Context(), w.actors["admin"], tenant.Instance{Org: o.Name, Name: "cache", URL: testURL}); err != nil {
		t.Errorf("got %v, want it done", err)
	}
	for _, word := range []string{"level=ERROR", "the disk is full", "action=instance.create", "org=" + o.Name, "name=cache", "actor_id=" + w.actors["admin"].User.ID} {
		if !strings.Contains(w.log.String(), word) {
			t.Errorf("the log has no %q:\n%s", word, &w.log)
		}
	}
	w.checkSecrets(t)
}

// testNotedWhenCancelled: who hangs up while something is done is noted all the same.
func testNotedWhenCancelled(t *testing.T, open stores.Opener) {
	w := newWorld(t, open)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.CreateOrganization(ctx, w.actors["shell"], tenant.Organization{Name: "acme"}); err == nil {
		t.Error("created with a context that has ended")
	}
	if e := w.last(t); e.Outcome != tenant.Failed || e.Name != "acme" || e.Detail == "" {
		t.Errorf("event %+v, want it failed", e)
	}
}

// testNotedIsBounded: an event has what anybody wrote, and takes no more room than it
// should.
func testNotedIsBounded(t *testing.T, open stores.Opener) {
	w := newWorld(t, open)
	for _, name := range []string{strings.Repeat("ä", 1<<20), "a\x00b\xff", "'; DROP TABLE audit; --"} {
		_, err := w.CreateOrganization(t.Context(), w.actors["viewer"], tenant.Organization{Name: name})
		if answer(err) != "no" {
			t.Errorf("answered %v", err)
		}
		if err := w.DeleteKey(t.Context(), w.actors["operator"], name, 0); answer(err) != "none" {
			t.Errorf("answered %v", err)
		}
	}
	for _, e := range w.events(t) {
		raw, err := json.Marshal(ViewEvent(e))
		if err != nil || len(raw) > 2000 || strings.Contains(string(raw), "\\u0000") {
			t.Errorf("event of %d bytes, %v: %.300s", len(raw), err, raw)
		}
	}
	if n := len(w.events(t)); n != 6 {
		t.Errorf("%d events, want 6", n)
	}
}

// testNotedBeforeAndAfter: an event has what was and what is.
func testNotedBeforeAndAfter(t *testing.T, open stores.Opener) {
	ctx := t.Context()
	w := newWorld(t, open)
	k, a := w.key(t), w.actors["admin"]
	rate := 7
	changed := must[tenant.Key](t)(w.UpdateKey(ctx, a, k.ID, Change[tenant.Key]{Apply: func(k *tenant.Key) error { k.Limits.Rate = &rate; return nil }}))
	check := func(name string, e tenant.Event, before, after any) {
		t.Helper()
		for what, tt := range map[string]struct {
			got  json.RawMessage
			want any
		}{"before": {e.Before, before}, "after": {e.After, after}} {
			want := ""
			if tt.want != nil {
				want = string(noted(tt.want))
			}
			if string(tt.got) != want {
				t.Errorf("%s: %s is %s, want %s", name, what, tt.got, want)
			}
		}
		if e.Org != k.Org || e.OrgID == "" || e.ActorName != a.User.Email {
			t.Errorf("%s: %+v, want its organization and its actor", name, e)
		}
	}
	e := w.last(t)
	check("update", e, ViewKey(k), ViewKey(changed))
	if e.Target != "key" || e.TargetID != k.ID || e.Name != k.Name {
		t.Errorf("update of %s %s %s", e.Target, e.TargetID, e.Name)
	}
	_, err := w.UpdateKey(ctx, a, k.ID, renamed("NOT A NAME", keyName))
	if e := w.last(t); answer(err) != "invalid" || e.Outcome != tenant.Failed || !strings.Contains(e.Detail, "NOT A NAME") {
		t.Errorf("failed: %v, %+v", err, e)
	}
	check("failed", w.last(t), ViewKey(changed), nil)
	in := must[tenant.Instance](t)(w.store.Instance(ctx, k.Org, k.Instances[0]))
	if err := w.DeleteInstance(ctx, a, k.Org, in.Name, store.Deletion{Force: true}); err != nil {
		t.Error(err)
	}
	check("delete", w.last(t), ViewInstance(in), nil)
	back := must[tenant.Instance](t)(w.RestoreInstance(ctx, a, k.Org, in.ID))
	check("restore", w.last(t), nil, ViewInstance(back))
}
