package control

import (
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed/stores"
	"github.com/respgate/respgate/tenant"
)

// testWatch: each picture follows on the one before, until the viewer may no longer see it.
func testWatch(t *testing.T, open stores.Opener) {
	w := newWorld(t, open)
	in := w.instance(t)
	viewer := w.actors["viewer"]
	var seen []Picture
	for p, err := range w.Watch(t.Context(), viewer, in.Org, in.Name) {
		if len(seen) == 3 {
			wantError(t, err, tenant.ErrNotFound, "organization")
			seen = append(seen, p)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if want := (time.Time{}).Add(time.Duration(len(seen)+1) * time.Second); !p.Points[0].At.Equal(want) || p.Hot[0].Command != "get of "+in.Label() {
			t.Errorf("picture %d: got %+v, want the point of %v of %s", len(seen), p, want, in.Label())
		}
		if seen = append(seen, p); len(seen) == 3 {
			if err := w.store.RemoveMember(t.Context(), in.Org, viewer.User.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(seen) != 4 {
		t.Errorf("got %d pictures, want 3 and an error", len(seen))
	}
}

// testPicturesOfNoProxy: where no clients are served there is nothing to see.
func testPicturesOfNoProxy(t *testing.T, open stores.Opener) {
	w := newWorld(t, open, func(c *Config) { c.Pictures = nil })
	in := w.instance(t)
	_, err := w.Live(t.Context(), w.actors["viewer"], in.Org, in.Name)
	wantError(t, err, ErrUnavailable, "serves no clients")
	_, err = w.Live(t.Context(), w.actors["stranger"], in.Org, in.Name)
	wantError(t, err, tenant.ErrNotFound, "organization")
}
