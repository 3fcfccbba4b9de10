package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/resp"
)

// TestCacheGivesInPieces: what a client asks for at once is given as fast as it reads, and is not
// more than it may leave unread.
func TestCacheGivesInPieces(t *testing.T) {
	server := testbed.Redis(t)
	p := startNear(t, server.Addr, 1<<20)
	if err := server.Client().Set(t.Context(), "k", strings.Repeat("x", 60_000), 0).Err(); err != nil {
		t.Fatal(err)
	}
	c := p.call("2")
	p.hot(c, "GET", "k")
	p.on(func(*nearCache) {
		p.core.SetLimits(Limits{MaxCommand: 1 << 20, MaxOutput: 8 << 20, AuthTimeout: time.Minute})
	})
	many := append([]string{"MGET"}, strings.Fields(strings.Repeat("k ", 16))...)
	var all []byte
	for range batchSize {
		all = resp.AppendCommand(all, many...)
	}
	if _, err := c.Write(all); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "some of it is given", func() bool { return p.totals().Hits > 3 })
	p.on(func(*nearCache) {}) // the turn is over
	for i := range batchSize {
		if _, err := c.in.Discard(len("*16\r\n") + 16*(len("$60000\r\n\r\n")+60_000)); err != nil {
			t.Fatalf("reply %d: %v", i, err)
		}
	}
}
