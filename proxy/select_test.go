package proxy

import (
	"testing"
	"time"

	"github.com/respgate/respgate/pool"
)

// TestLackOfDatabases: what a server has said that it lacks is remembered for a second, for
// that server, and for higher databases too.
func TestLackOfDatabases(t *testing.T) {
	clock := &desk{}
	c := &Core{Clock: clock}
	one, other := pool.Backend{Addr: "one"}, pool.Backend{Addr: "other"}
	for _, step := range []struct {
		name    string
		passes  time.Duration
		says    int // that it lacks; 0 is nothing
		server  pool.Backend
		db      int
		unasked bool
	}{
		{"nothing is known", 0, 0, one, 99, false},
		{"that database", 0, 20, one, 20, true},
		{"a higher one", 0, 0, one, 21, true},
		{"a lower one", 0, 0, one, 19, false},
		{"another server", 0, 0, other, 99, false},
		{"the lowest counts", 0, 16, one, 16, true},
		{"a higher one said since", 0, 30, one, 17, true},
		{"soon after", lackTime - 1, 0, one, 16, true},
		{"a second later", 1, 0, one, 16, false},
		{"asked again", 0, 40, one, 30, false},
	} {
		clock.passed += step.passes
		if step.says > 0 {
			c.lacking(one, step.says)
		}
		if got := c.lacks(step.server, step.db); got != step.unasked {
			t.Errorf("%s: got %t, want %t", step.name, got, step.unasked)
		}
	}
	if len(c.lack) != 1 {
		t.Errorf("%d servers are remembered, want one", len(c.lack))
	}
}
