package auth

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/respgate/respgate/tenant"
)

// TestApplied: a change counts as applied once the handles that it concerns follow, and not
// while the store is away; how many instances are being moved is told with each answer.
func TestApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := makeKey("main", "cache")
		st := newFakeStore(k.grant)
		w := newWorld(t, Config{}, st)
		h := w.open("", k)
		time.Sleep(live)
		before := w.Applied()
		rename := func(g *tenant.Grant) { g.Key.Name = "renamed" }
		st.with(func() { st.moves, st.err = 1, errors.New("away") })
		st.change(k.ID, rename)
		time.Sleep(live)
		if got := w.Applied(); got != before {
			t.Errorf("applied %d, want %d while the store is away", got, before)
		}
		st.with(func() { st.err = nil })
		time.Sleep(live)
		if got := w.Applied(); got != before+1 || h.Principal() == nil || h.Principal().KeyName != "renamed" {
			t.Errorf("applied %d, want %d, and the principal is %+v", got, before+1, h.Principal())
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.moves != 1 {
			t.Errorf("told of %d moves, want 1", w.moves)
		}
	})
}
