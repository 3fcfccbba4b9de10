package proxy

import (
	"math"
	"strings"
	"testing"

	"github.com/respgate/respgate/resp"
)

// TestQueueIsBounded has a client fill a transaction that has no key yet: what waits is
// counted, and no more of it is taken than may be.
func TestQueueIsBounded(t *testing.T) {
	x := newTable(t)
	p := &purse{room: math.MaxInt64}
	x.core.Memory = p
	x.core.Limits.MaxCommand = 4 * maxQueued
	x.core.after = nil
	x.session.framer.SetLimits(x.core.limitsAfter())
	x.send("MULTI\r\nECHO hello\r\n")
	x.says("+OK|+QUEUED|")
	if p.held == 0 {
		t.Error("what waits for the first key is not counted")
	}
	before := p.held
	x.send(string(resp.AppendCommand(nil, "ECHO", strings.Repeat("x", maxQueued))))
	x.says("-ERR too much is in the transaction before its first key|")
	if p.held != before {
		t.Errorf("%d bytes are held, want %d", p.held, before)
	}
	x.send("EXEC\r\n")
	x.says("-EXECABORT Transaction discarded because of previous errors.|")
	x.send("MULTI\r\nECHO hello\r\nRESET\r\n")
	x.says("+OK|+QUEUED|+RESET|")
	if p.held != 0 {
		t.Errorf("%d bytes are held in the end", p.held)
	}
}
