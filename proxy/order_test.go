package proxy

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/resp"
)

// TestLostLinkKeepsOrder loses a link of which a client's last commands are unsent, one of
// them with a reply that is made over: each is answered in its turn.
func TestLostLinkKeepsOrder(t *testing.T) {
	const lost = "-ERR backend connection lost: the command may have been executed|"
	const held = "-ERR backend unavailable: connection closed|"
	st := fixed{}
	d := newDesk(t, st)
	key := st.grant("acme", "127.0.0.1:1", 0, "+@all")
	d.send("AUTH " + key + "\r\n")
	d.out = nil
	d.send("SET a 1\r\nCOMMAND COUNT\r\nGET a\r\n")
	link := d.session.link
	w := d.wires[link]
	w.unsent = append(resp.AppendCommand(nil, "COMMAND"), resp.AppendCommand(nil, "GET", "a")...)
	if !strings.HasSuffix(string(w.got), string(w.unsent)) {
		t.Fatalf("the backend was sent %q", w.got)
	}
	link.Closed(errors.New("away"))
	link.Up(&wire{}, pool.Hello{})
	link.Data([]byte("*0\r\n"))
	if got, want := d.said(), lost+held+held; got != want {
		t.Errorf("the client is told %q, want %q", got, want)
	}
}

// TestWaitingCallsStayBehind has two commands with the same key wait to be sent again, to a node
// that is not connected and whose link takes the second, smaller one only.
func TestWaitingCallsStayBehind(t *testing.T) {
	x := newTable(t)
	two := x.cluster.Addrs[1]
	x.send("GET a\r\n")
	x.answers(two, "$1|a|")
	x.got(two, pool.Plain)
	link := x.link(two, pool.Plain)
	link.Closed(errors.New("away"))
	link.Down(errors.New("away"))
	first := "SET a " + strings.Repeat("1", 100)
	for line := range strings.Lines(first + "\nSET a 2") {
		raw := resp.AppendCommand(nil, strings.Fields(line)...)
		x.session.newCall(command.Lookup([]byte("set")), x.session, raw, pool.Slot([]byte("a"))).send(link)
	}
	link.Up(&wire{}, pool.Hello{})
	link.Closed(errors.New("away")) // and is being connected to
	filler := make([]byte, 64<<20-50)
	if _, err := link.Send(unheard{}, filler, command.Other, 0); err != nil {
		t.Fatal(err)
	}
	x.later()
	next := &wire{}
	x.wires[link] = next
	link.Up(next, pool.Hello{})
	x.later()
	next.got = next.got[len(filler):]
	if got, want := x.got(two, pool.Plain), first+" SET a 2"; got != want {
		t.Errorf("sent again: %q, want %q", got, want)
	}
}

// TestTornPush loses a subscriber's link in the middle of a message while another node owes a
// reply: the client is closed at once, since it would take that for the message's end.
func TestTornPush(t *testing.T) {
	x := newTable(t)
	one := x.cluster.Addrs[0]
	x.send("GET b\r\n")
	x.answers(one, "$1|b|")
	x.send("GET a\r\n")
	s := x.session
	s.pin.link, s.pin.listening = x.link(one, pool.Plain), true
	s.Pushed([]byte(">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$10\r\nhalf"), true)
	s.Lost(errors.New("away"))
	if !errors.Is(x.ended, errTorn) {
		t.Errorf("the client is closed with %v, want %v", x.ended, errTorn)
	}
}

// TestLostBeforeBegun loses a link of the session's own on which nothing has begun: what the
// client was told before holds, and nothing of its transaction is executed by itself.
func TestLostBeforeBegun(t *testing.T) {
	for name, c := range map[string]struct {
		pin  pinned
		want string
	}{
		"MULTI, which the node has refused": {pinned{tx: pending, err: &pool.Error{Reason: "it answered LOADING"}}, "-ERR backend unavailable: it answered LOADING|-EXECABORT Transaction discarded because of previous errors.|"},
		"a MULTI that was refused here":     {pinned{tx: refused}, "-EXECABORT Transaction not begun: MULTI was refused. EXEC or DISCARD ends this state.|-EXECABORT Transaction discarded because of previous errors.|"},
	} {
		t.Run(name, func(t *testing.T) {
			x := newTable(t)
			one := x.cluster.Addrs[0]
			x.send("GET b\r\n")
			x.answers(one, "$1|b|")
			x.says("$1|b|")
			c.pin.link = x.link(one, pool.Plain)
			x.session.pin = c.pin
			x.session.Lost(errors.New("away"))
			x.send("SET b 1\r\nEXEC\r\n")
			x.says(c.want)
		})
	}
}

// TestScanIsBounded has the reply to SCAN come in pieces: it is counted, and drops a client for
// whom it is too much.
func TestScanIsBounded(t *testing.T) {
	x := newTable(t)
	p := &purse{room: math.MaxInt64}
	x.core.Memory = p
	x.core.Limits.MaxOutput = 1024
	x.send("SCAN 0 COUNT 1000000\r\n")
	sent := p.held
	x.answers(x.cluster.Addrs[0], "*2|$1|0|*1|$2000|")
	if p.held <= sent {
		t.Error("a part of the reply is kept, and not counted")
	}
	x.answers(x.cluster.Addrs[0], strings.Repeat("x", 1100))
	if !errors.Is(x.ended, errOutput) {
		t.Errorf("the client is dropped with %v, want %v", x.ended, errOutput)
	}
}

// TestAllNodesAreAskedWhileSlotsMove has a node's lowest slot move away, and that come to
// light: what is for all nodes still goes to each of them once.
func TestAllNodesAreAskedWhileSlotsMove(t *testing.T) {
	x := newTable(t)
	one, two := x.cluster.Addrs[0], x.cluster.Addrs[1]
	lowest := x.session.group.topology.Layout().Lowest[1]
	x.send("GET a\r\n")
	x.got(two, pool.Plain)
	x.answers(two, "$1|a|")
	x.session.group.topology.Moved(lowest, one)
	x.send("FLUSHDB\r\n")
	for _, addr := range []string{one, two} {
		if got := x.got(addr, pool.Plain); got != "FLUSHDB" {
			t.Errorf("the node at %s got %q, want FLUSHDB once", addr, got)
		}
	}
}

// lending keeps wishes for links open until the test answers them.
type lending struct {
	*desked
	wishes []func(*pool.Link, *pool.Error)
}

func (l *lending) Borrow(_ pool.Key, _ pool.Kind, then func(*pool.Link, *pool.Error)) func() {
	l.wishes = append(l.wishes, then)
	return func() {}
}

// TestKeyChangesDuringSSubscribe gives the client's key another instance while a link for a
// shard channel is waited for: the client is told, and goes on.
func TestKeyChangesDuringSSubscribe(t *testing.T) {
	x := newTable(t)
	links := &lending{desked: x.core.Links.(*desked)}
	x.core.Links = links
	x.send("SSUBSCRIBE a\r\n")
	if len(links.wishes) != 1 {
		t.Fatalf("%d links are wished for, want 1", len(links.wishes))
	}
	x.session.group.topology = x.core.Topologies.Of("other", "acme/other", x.session.backend)
	links.wishes[0](nil, pool.ErrBusy)
	x.says("-ERR backend unavailable: the key has been changed, try again|")
	if x.paused {
		t.Error("the client is not looked at any more")
	}
}
