package main

import (
	"testing"
	"time"

	"github.com/respgate/respgate/store"
)

func TestKeptSince(t *testing.T) {
	now := time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC)
	var c Config
	c.Store.Grace = 24 * time.Hour
	want := store.PurgeBefore{Deleted: now.Add(-24 * time.Hour), Idempotency: now.Add(-24 * time.Hour), Tokens: now.Add(-720 * time.Hour), Proxies: now.Add(-7 * 24 * time.Hour)}
	if got := c.keptSince(now); got != want {
		t.Errorf("for ever: got %+v, want %+v", got, want)
	}
	c.Audit.Keep, c.Usage.Keep = time.Hour, 2*time.Hour
	want.Audit, want.Usage = now.Add(-time.Hour), now.Add(-2*time.Hour)
	if got := c.keptSince(now); got != want {
		t.Errorf("for a while: got %+v, want %+v", got, want)
	}
}
