package auth

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestStaleKeysEnd(t *testing.T) {
	for _, tt := range []struct {
		name      string
		most      time.Duration
		away      time.Duration
		wantEnded bool
	}{
		{"away for less than the bound", time.Hour, 59 * time.Minute, false},
		{"away for longer", time.Hour, time.Hour + live, true},
		{"without a bound", 0, 3 * time.Hour, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := makeKey()
				w := newWorld(t, Config{}, newFakeStore(k.grant))
				w.SetMaxStale(tt.most)
				h := w.open("", k)
				time.Sleep(live)
				w.store.with(func() { w.store.err = errors.New("away") })
				time.Sleep(tt.away)
				if got := h.Principal() == nil; got != tt.wantEnded {
					t.Errorf("ended = %v, want %v", got, tt.wantEnded)
				}
				if got := w.Stale(); got < tt.away-live || got > tt.away+live {
					t.Errorf("Stale() = %v, want %v", got, tt.away)
				}
				_, err := w.Authenticate(t.Context(), home, "", k.text())
				if got := errors.Is(err, ErrUnavailable); got != tt.wantEnded {
					t.Errorf("Authenticate: %v, want unavailable = %v", err, tt.wantEnded)
				}
				if _, cached, _ := w.Status(); (cached == 0) != tt.wantEnded {
					t.Errorf("%d keys are cached", cached)
				}
				w.store.with(func() { w.store.err = nil })
				time.Sleep(live)
				if _, err := w.Authenticate(t.Context(), home, "", k.text()); err != nil || w.Stale() != 0 {
					t.Errorf("when the store is back: %v, stale for %v", err, w.Stale())
				}
			})
		})
	}
}
