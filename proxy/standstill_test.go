package proxy

import (
	"errors"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
)

// TestStandstill has an instance's move go through its phases: what goes on in each, and that
// nothing does once the proxy has not heard from the store for too long.
func TestStandstill(t *testing.T) {
	const none = ""
	for _, c := range []struct {
		name          string
		phase         MovePhase
		over          bool
		command, want string // +backend|: it is sent on; nothing: it waits
	}{
		{"a read when the move is announced", MoveAnnounced, false, "GET a", "+backend|"},
		{"a write when the move is announced", MoveAnnounced, false, "SET a 1", "+backend|"},
		{"a read when the lease is over", MoveAnnounced, true, "GET a", none},
		{"a write when the lease is over", MoveAnnounced, true, "SET a 1", none},
		{"a read while what is under way ends", MoveDraining, false, "GET a", none},
		{"a write while what is under way ends", MoveDraining, false, "SET a 1", none},
		{"a read in the standstill", MoveStill, false, "GET a", "+backend|"},
		{"a PING in the standstill", MoveStill, false, "PING", "+backend|"},
		{"a write in the standstill", MoveStill, false, "SET a 1", none},
		{"a script in the standstill", MoveStill, false, "EVAL x 0", none},
		{"a script that only reads in the standstill", MoveStill, false, "EVAL_RO x 0", none},
		{"a message in the standstill", MoveStill, false, "PUBLISH a b", none},
		{"an unknown command in the standstill", MoveStill, false, "FOO.SET a", none},
		{"a transaction in the standstill", MoveStill, false, "MULTI", none},
		{"a watch in the standstill", MoveStill, false, "WATCH a", none},
		{"a command that blocks in the standstill", MoveStill, false, "BLPOP a 0", none},
		{"a read in the standstill when the lease is over", MoveStill, true, "GET a", none},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newConsole(t)
			lease := NewLease(b.core.Clock.Now())
			lease.Renew(b.core.Clock.Now().Add(time.Second))
			b.core.Standstill("acme", c.phase, lease)
			if c.over {
				lease.Renew(b.core.Clock.Now())
			}
			b.client.send(c.command + "\r\n")
			b.client.reply()
			wantTold(t, "while it lasts", b.client, c.want)
			if held := len(b.core.holds[holdKey{"acme", byMove}].waiting) == 1; held != (c.want == none) {
				t.Errorf("the client waits = %v", held)
			}
			b.send("GET other\r\n")
			b.reply()
			wantTold(t, "another instance's client", b.desk, "+backend|")
		})
	}
}

// TestStandstillGoesOn: who waits in one phase looks again in the next, and goes on when the
// move is over.
func TestStandstillGoesOn(t *testing.T) {
	c := newConsole(t)
	lease := NewLease(c.core.Clock.Now())
	lease.Renew(c.core.Clock.Now().Add(time.Hour))
	reader, writer := c.client, c.beside()
	writer.send("AUTH " + c.key + "\r\n")
	wantTold(t, "AUTH", writer, "+OK|")
	reader.send("GET a\r\n")
	c.core.Standstill("acme", MoveDraining, lease)
	if n := c.core.UnderWay("acme"); n != 1 {
		t.Errorf("%d commands are under way, want 1", n)
	}
	reader.reply()
	wantTold(t, "what was under way", reader, "+backend|")
	if n := c.core.UnderWay("acme"); n != 0 {
		t.Errorf("%d commands are under way, want none", n)
	}
	reader.send("GET a\r\n")
	writer.send("SET a 1\r\n")
	c.core.Standstill("acme", MoveStill, lease)
	reader.send("")
	reader.reply()
	wantTold(t, "the reader in the standstill", reader, "+backend|")
	wantTold(t, "the writer in the standstill", writer, "")
	c.core.Moved("acme")
	writer.send("")
	writer.reply()
	wantTold(t, "the writer after it", writer, "+backend|")
	if len(c.core.holds) != 0 {
		t.Errorf("%d holds are left", len(c.core.holds))
	}
}

// TestStandstillCutsOff: when the lease of a move is over what is under way ends, and clients that
// have stayed are served again when the store answers.
func TestStandstillCutsOff(t *testing.T) {
	p := startNear(t, testbed.Redis(t).Addr, 0)
	c, blocked := p.call("2"), p.call("2")
	if got := c.do("SET", "k", "1"); got != "+OK|" {
		t.Fatalf("SET: %s", got)
	}
	blocked.send("BLPOP", "q", "0")
	testbed.Eventually(t, "a command is under way", func() bool {
		return p.onLoop(func() int { return p.core.UnderWay("acme") }) == 1
	})
	p.onLoop(func() int { p.core.CutOff("acme"); return 0 })
	if got, want := blocked.next(), "-ERR backend connection lost: the command may have been executed|"; got != want {
		t.Errorf("what was under way is answered %q, want %q", got, want)
	}
	if got := c.do("GET", "k"); got != "$1|1|" {
		t.Errorf("a client that has stayed is answered %q", got)
	}
}

// TestStandstillEndsTransactions: who is in a transaction and says nothing is disconnected.
func TestStandstillEndsTransactions(t *testing.T) {
	c := newConsole(t)
	c.client.session.pin.tx = opened
	c.core.EndTransactions("acme")
	if !errors.Is(c.client.ended, errMoved) || c.ended != nil {
		t.Errorf("the client's connection ended with %v, another instance's with %v", c.client.ended, c.ended)
	}
}

// TestMovedAfterRefusal: a MULTI that was refused dooms what comes behind it, also when the
// instance has another backend by then: nothing of a transaction is executed by itself.
func TestMovedAfterRefusal(t *testing.T) {
	const notBegun, aborted = "-EXECABORT Transaction not begun: MULTI was refused. EXEC or DISCARD ends this state.|", "-EXECABORT Transaction discarded because of previous errors.|"
	for _, c := range []struct {
		name, commands, before, refusal string
		after, want                     string
	}{
		{"a MULTI by the limit", "+@all", "GET a\r\nMULTI\r\n", "+backend|-RATELIMIT 1 commands/s exceeded for this key, retry after 1000 ms|", "SET a 1\r\nEXEC\r\n", notBegun + aborted},
		{"a MULTI by the key's rules", "+@all -multi", "MULTI\r\n", "-NOPERM this key has no permissions to run the 'multi' command|", "SET a 1\r\nEXEC\r\n", notBegun + aborted},
		{"a MULTI that is discarded", "+@all -multi", "MULTI\r\n", "-NOPERM this key has no permissions to run the 'multi' command|", "DISCARD\r\nGET a\r\n", "+OK|+backend|"},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := fixed{}
			d := newDesk(t, st)
			d.send("AUTH " + st.grant("acme", "127.0.0.1:1", 1, c.commands) + "\r\n")
			d.told()
			d.send(c.before)
			d.reply()
			wantTold(t, "before", d, c.refusal)
			p := *d.session.principal
			p.Route.URL = "redis://127.0.0.1:2"
			if err := d.session.adopt(d.session.handle, &p); err != nil {
				t.Fatal(err)
			}
			d.passed += time.Minute
			d.send(c.after)
			d.reply()
			wantTold(t, "at the new backend", d, c.want)
		})
	}
}
