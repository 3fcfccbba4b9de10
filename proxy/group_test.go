package proxy

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/resp"
	"github.com/respgate/respgate/tenant"
)

// table is a desk before a cluster of two nodes: the first has the slots of b and c, the
// second those of a and d. The nodes only tell who they are; the test is the other end of
// the links to them.
type table struct {
	*desk
	cluster *testbed.ScriptedCluster
}

func newTable(t testing.TB) *table {
	t.Helper()
	cluster := testbed.NewScriptedCluster(t, 2, func(int, []string) string { return "" })
	st := fixed{}
	key := st.grantAt("acme", tenant.Secret(cluster.URL()), 0, "+@all")
	d := newDesk(t, st)
	looked := make(chan *pool.Topology, 100)
	d.core.Topologies = pool.NewTopologies(t.Context(), pool.DialConfig{Timeout: time.Second}, slog.New(slog.DiscardHandler), nil,
		func(t *pool.Topology, _ []pool.Backend) { looked <- t })
	d.send("AUTH " + key + "\r\n")
	d.core.Looked(<-looked)
	x := &table{d, cluster}
	x.says("+OK|")
	return x
}

// link is the session's link to the node at addr.
func (x *table) link(addr string, lane pool.Lane) *pool.Link {
	x.t.Helper()
	for key, l := range x.links {
		if key.Backend.Addr == addr && key.Lane == lane {
			return l
		}
	}
	x.t.Fatalf("there is no link to %s", addr)
	return nil
}

// got returns the commands that a node has been sent, without their lengths.
func (x *table) got(addr string, lane pool.Lane) string {
	x.t.Helper()
	w := x.wires[x.link(addr, lane)]
	text := string(w.got)
	w.got = nil
	words := []string{}
	for line := range strings.SplitSeq(text, "\r\n") {
		if line != "" && line[0] != '*' && line[0] != '$' {
			words = append(words, line)
		}
	}
	return strings.Join(words, " ")
}

// answers has a node say something, with '|' for line ends.
func (x *table) answers(addr, text string) {
	x.t.Helper()
	x.link(addr, pool.Plain).Data([]byte(strings.ReplaceAll(text, "|", "\r\n")))
	x.send("")
}

// says checks what the client has been sent since.
func (x *table) says(want string) {
	x.t.Helper()
	if got := x.said(); got != want {
		x.t.Fatalf("the client is told %q, want %q", got, want)
	}
	x.out = nil
}

// later has the timers run out that are for sending again.
func (x *table) later() {
	timers := x.timers
	x.timers = nil
	for _, a := range timers {
		if !a.stopped && a.after < time.Second {
			a.fn()
		}
	}
}

// TestRepliesOfTwoNodes come in the order of the commands.
func TestRepliesOfTwoNodes(t *testing.T) {
	x := newTable(t)
	x.send("GET a\r\nGET b\r\nGET c\r\nGET d\r\n")
	x.answers(x.cluster.Addrs[0], "$1|b|$1|c|")
	x.says("")
	x.answers(x.cluster.Addrs[1], "$1|")
	x.says("$1|")
	x.answers(x.cluster.Addrs[1], "a|")
	x.says("a|$1|b|$1|c|")
	x.answers(x.cluster.Addrs[1], "$1|d|")
	x.says("$1|d|")
	if x.session.kept != 0 {
		t.Errorf("%d bytes are kept", x.session.kept)
	}
}

// TestSentToAnother follows MOVED and then ASK.
func TestSentToAnother(t *testing.T) {
	x := newTable(t)
	one, two := x.cluster.Addrs[0], x.cluster.Addrs[1]
	x.send("SET a 1\r\nSET a 2\r\nGET b\r\n")
	x.got(one, pool.Plain)
	x.answers(two, "-MOVED 15495 "+one+"|-MOVED 15495 "+one+"|")
	if got := x.got(one, pool.Plain); got != "SET a 1 SET a 2" {
		t.Errorf("the other node got %q", got)
	}
	x.answers(one, "$1|b|-ASK 15495 127.0.0.1:3|-ASK 15495 127.0.0.1:3|")
	if got := x.got("127.0.0.1:3", pool.Plain); got != "ASKING SET a 1 ASKING SET a 2" {
		t.Errorf("the third node got %q", got)
	}
	x.says("")
	x.answers("127.0.0.1:3", "+OK|+OK|+OK|")
	x.says("+OK|")
	x.answers("127.0.0.1:3", "+OK|")
	x.says("+OK|$1|b|")
}

// TestLanesKeepOrder has a script and a plain command of one client, which go over
// different links: the second waits for the first.
func TestLanesKeepOrder(t *testing.T) {
	for _, c := range []struct{ name, first, second string }{
		{"a command with a key", "EVAL x 1 a", "GET a"},
		{"one in parts", "EVAL x 1 a", "MGET a b"},
		{"one for all nodes", "EVAL x 0", "DBSIZE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newTable(t)
			two := x.cluster.Addrs[1]
			x.send("GET a\r\nGET b\r\n")
			x.answers(two, "$1|a|")
			x.answers(x.cluster.Addrs[0], "$1|b|")
			x.got(two, pool.Plain)
			x.send(c.first + "\r\n" + c.second + "\r\n")
			if got := x.got(two, pool.Plain); got != "" {
				t.Fatalf("%q is sent before the reply to the script", got)
			}
			for key, l := range x.links {
				if w := x.wires[l]; key.Lane == pool.Scripts && len(w.got) > 0 {
					l.Data([]byte(":1\r\n"))
				}
			}
			x.send("")
			if got := x.got(two, pool.Plain); got == "" {
				t.Fatalf("%s is not sent after the reply to the script", c.second)
			}
		})
	}
}

// TestJoinedErrorsAreNobodyElses has commands in parts fail, and others be answered after
// that: each with its own reply.
func TestJoinedErrorsAreNobodyElses(t *testing.T) {
	x := newTable(t)
	one, two := x.cluster.Addrs[0], x.cluster.Addrs[1]
	for round := range 5 {
		x.out = nil
		x.send("DBSIZE\r\n")
		x.answers(one, fmt.Sprintf("-ERR %d|", round))
		x.answers(two, fmt.Sprintf("-ERR %d|", round))
		x.says(fmt.Sprintf("-ERR %d|", round))
		x.send("GET b\r\nGET a\r\nGET d\r\nGET a\r\n")
		x.answers(two, fmt.Sprintf("$2|x%d|$2|y%d|$2|z%d|", round, round, round))
		x.answers(one, fmt.Sprintf("$2|w%d|", round))
		x.says(fmt.Sprintf("$2|w%[1]d|$2|x%[1]d|$2|y%[1]d|$2|z%[1]d|", round))
		x.send("KEYS *\r\n")
		x.answers(one, "*1|:1|")
		x.answers(two, "+what|")
		x.says("-ERR the cluster's answer is not understood|")
	}
}

// TestTornReplyOfManyPieces loses a node in the middle of a reply that is made over: what
// comes after it is told all the same.
func TestTornReplyOfManyPieces(t *testing.T) {
	x := newTable(t)
	one, two := x.cluster.Addrs[0], x.cluster.Addrs[1]
	x.send("SCAN 0\r\nGET a\r\n")
	x.answers(two, "$1|a|")
	x.answers(one, "*2|$1|0|")
	x.says("")
	x.link(one, pool.Plain).Closed(errors.New("away"))
	x.says("-ERR backend connection lost: the command may have been executed|$1|a|")
}

// TestLostNode loses the link to a node while commands are under way.
func TestLostNode(t *testing.T) {
	const lost = "-ERR backend connection lost: the command may have been executed|"
	for _, c := range []struct {
		name, in, unsent string
		after            string // what is told at once
		again            string // what is sent over the next connection
		then             string // what is told once that is answered
	}{
		{"a write that was sent", "SET a 1\r\nGET b\r\n", "", lost + "$1|b|", "", ""},
		{"a write that was not", "SET a 1\r\nGET b\r\n", "SET a 1\r\n", "", "SET a 1", "+OK|$1|b|"},
		{"one of each", "SET a 1\r\nSET a 2\r\nGET b\r\n", "SET a 2\r\n", lost + "-ERR backend unavailable: connection closed|$1|b|", "", ""},
		{"a read that was sent", "GET b\r\nGET a\r\n", "", "$1|b|", "GET a", "+OK|"},
		{"a read that something follows", "GET a\r\nGET b\r\n", "", lost + "$1|b|", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newTable(t)
			one, two := x.cluster.Addrs[0], x.cluster.Addrs[1]
			for line := range strings.Lines(c.in) {
				x.send(string(resp.AppendCommand(nil, strings.Fields(line)...)))
			}
			x.answers(one, "$1|b|")
			link := x.link(two, pool.Plain)
			w := x.wires[link]
			for line := range strings.Lines(c.unsent) {
				w.unsent = append(w.unsent, resp.AppendCommand(nil, strings.Fields(line)...)...)
			}
			link.Closed(errors.New("away"))
			x.says(c.after)
			next := &wire{}
			x.wires[link] = next
			link.Up(next, pool.Hello{})
			x.later()
			if got := x.got(two, pool.Plain); got != c.again {
				t.Fatalf("the next connection is sent %q, want %q", got, c.again)
			}
			if c.again != "" {
				x.answers(two, "+OK|")
			}
			x.says(c.then)
			if x.session.owed() != 0 || x.session.kept != 0 {
				t.Errorf("%d replies are owed, %d bytes kept", x.session.owed(), x.session.kept)
			}
		})
	}
}

// TestWaitingCallsKeepOrder has a command wait to be sent again, and a later one with the
// same key be sent to the same node: it waits too.
func TestWaitingCallsKeepOrder(t *testing.T) {
	x := newTable(t)
	one, two := x.cluster.Addrs[0], x.cluster.Addrs[1]
	x.send("GET b\r\n")
	x.answers(one, "$1|b|")
	x.says("$1|b|")
	x.send("SET a 1\r\nSET a 2\r\n")
	x.got(one, pool.Plain)
	link := x.link(one, pool.Plain)
	link.Closed(errors.New("away"))
	link.Down(errors.New("away")) // what is sent now is refused
	x.answers(two, "-MOVED 15495 "+one+"|")
	next := &wire{}
	x.wires[link] = next
	link.Up(next, pool.Hello{})
	x.answers(two, "-MOVED 15495 "+one+"|")
	if got := x.got(one, pool.Plain); got != "" {
		t.Fatalf("the second command overtakes the first: %q", got)
	}
	x.later()
	if got := x.got(one, pool.Plain); got != "SET a 1 SET a 2" {
		t.Errorf("sent again: %q", got)
	}
}

// TestChasedCallsKeepOrder has a command be sent to and fro, and a later one with the same
// key be sent to where the first one was: it does not overtake it.
func TestChasedCallsKeepOrder(t *testing.T) {
	x := newTable(t)
	one, two := x.cluster.Addrs[0], x.cluster.Addrs[1]
	x.send("SET a 1\r\nSET a 2\r\n")
	x.got(two, pool.Plain)
	x.answers(two, "-MOVED 15495 "+one+"|")
	x.answers(one, "-MOVED 15495 "+two+"|")
	x.answers(two, "-MOVED 15495 "+one+"|")
	if got := x.got(one, pool.Plain); got != "SET a 1" {
		t.Fatalf("the first node got %q", got)
	}
	for range 70 {
		x.later()
		for _, a := range x.timers {
			if a.after < firstRetry/2 {
				t.Fatalf("what waits for another command is looked at again after %v", a.after)
			}
		}
	}
	x.answers(two, "+OK|")
	x.says("+OK|")
	x.later()
	if got := x.got(one, pool.Plain); got != "SET a 2" {
		t.Errorf("the first node got %q", got)
	}
	x.answers(one, "+OK|")
	x.says("+OK|")
}

// TestScriptsWordsAreNotBelieved has a script say what a server says of a slot that it does
// not have: only where the server itself says the same is the script sent on.
func TestScriptsWordsAreNotBelieved(t *testing.T) {
	for _, c := range []struct {
		name, script, server string
		moves                bool
	}{
		{"the server's word", "-MOVED 15495 127.0.0.1:3|", "-MOVED 15495 127.0.0.1:3|", true},
		{"the script's, of a slot that is there", "-MOVED 15495 127.0.0.1:3|", ":1|", false},
		{"the script's, of a slot that has moved since", "-MOVED 1 127.0.0.1:9|", "-MOVED 15495 127.0.0.1:3|", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newTable(t)
			two := x.cluster.Addrs[1]
			x.send("EVAL x 1 a\r\n")
			link := x.link(two, pool.Scripts)
			x.got(two, pool.Scripts)
			link.Data([]byte(strings.ReplaceAll(c.script, "|", "\r\n")))
			if got := x.got(two, pool.Scripts); got != "EXISTS a" {
				t.Fatalf("the server is asked %q", got)
			}
			link.Data([]byte(strings.ReplaceAll(c.server, "|", "\r\n")))
			to := slices.Collect(func(yield func(string) bool) {
				for key := range x.links {
					if key.Lane == pool.Scripts && key.Backend.Addr != two {
						yield(key.Backend.Addr)
					}
				}
			})
			if c.moves != (len(to) > 0) {
				t.Errorf("it is sent to %v", to)
			}
			if !c.moves {
				x.says(c.script)
			}
		})
	}
}

// TestCommandsAreNoOutput: what a client has sent, and calls keep, does not count as replies
// that it has not read.
func TestCommandsAreNoOutput(t *testing.T) {
	for _, tt := range []struct{ name, send, want string }{
		{"a pipeline to two nodes", "SET a $\r\nSET b $\r\n", "+OK|+OK|"},
		{"a command in two parts", "MSET a $ b $\r\n", "+OK|"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := newTable(t)
			x.core.Limits.MaxOutput = 1024
			x.send(strings.ReplaceAll(tt.send, "$", strings.Repeat("x", 2048)))
			x.answers(x.cluster.Addrs[0], "+OK|")
			x.answers(x.cluster.Addrs[1], "+OK|")
			x.says(tt.want)
			if x.session.kept != 0 || x.session.group.commands != 0 {
				t.Errorf("%d bytes are kept, %d of them commands", x.session.kept, x.session.group.commands)
			}
		})
	}
}
