package proxy

import (
	"errors"
	"strings"
	"testing"

	"github.com/respgate/respgate/pool"
)

// TestNotExecutedIsSentAgain: what a server says that it has not executed is sent again,
// unless something later of the session may have run, or a script may have said so.
func TestNotExecutedIsSentAgain(t *testing.T) {
	for _, word := range []string{"TRYAGAIN", "CLUSTERDOWN", "LOADING", "READONLY", "MASTERDOWN"} {
		refusal := "-" + word + " not now|"
		for _, c := range []struct{ name, send, answers, says, again string }{
			{"alone", "SET a 1", refusal, "", "SET a 1"},
			{"the first of two with the same key", "SET a 1\r\nSET a 2", refusal + "+OK|", refusal + "+OK|", ""},
			{"the last of two with the same key", "SET a 1\r\nSET a 2", "+OK|" + refusal, "+OK|", "SET a 2"},
			{"another node's is under way", "SET a 1\r\nSET b 2", refusal, "", "SET a 1"},
		} {
			t.Run(word+"/"+c.name, func(t *testing.T) {
				x := newTable(t)
				two := x.cluster.Addrs[1]
				x.send(c.send + "\r\n")
				x.got(two, pool.Plain)
				x.answers(two, c.answers)
				x.says(c.says)
				if got := x.got(two, pool.Plain); got != "" {
					t.Fatalf("sent again at once: %q", got)
				}
				x.later()
				if got := x.got(two, pool.Plain); got != c.again {
					t.Errorf("sent again: %q, want %q", got, c.again)
				}
			})
		}
		t.Run(word+"/a script's", func(t *testing.T) {
			x := newTable(t)
			x.send("EVAL x 1 a\r\n")
			two := x.link(x.cluster.Addrs[1], pool.Scripts)
			two.Data([]byte(strings.ReplaceAll(refusal, "|", "\r\n")))
			x.says(refusal)
		})
	}
}

// TestLostReadIsSentAgain: of what may have been executed only the last command is sent
// again, and only if it changes nothing.
func TestLostReadIsSentAgain(t *testing.T) {
	const lost = "-ERR backend connection lost: the command may have been executed|"
	for _, c := range []struct{ name, send, says, again string }{
		{"a read", "GET a", "", "GET a"},
		{"a write", "SET a 1", lost, ""},
		{"a script that reads", "EVAL_RO x 1 a", "", ""},
		{"a read before another", "GET a\r\nGET a", lost, "GET a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newTable(t)
			x.send(c.send + "\r\n")
			lane := pool.Plain
			if strings.HasPrefix(c.send, "EVAL") {
				lane, c.says = pool.Scripts, lost
			}
			link := x.link(x.cluster.Addrs[1], lane)
			x.got(x.cluster.Addrs[1], lane)
			link.Closed(errors.New("away"))
			x.says(c.says)
			next := &wire{}
			x.wires[link] = next
			link.Up(next, pool.Hello{})
			x.later()
			if got := x.got(x.cluster.Addrs[1], lane); got != c.again {
				t.Errorf("sent again: %q, want %q", got, c.again)
			}
		})
	}
}

// TestRetriesHaveABudget: a server that refuses everything is not asked without end.
func TestRetriesHaveABudget(t *testing.T) {
	x := newTable(t)
	two := x.cluster.Addrs[1]
	x.send("GET a\r\n")
	x.answers(two, "$-1|")
	x.says("$-1|")
	x.session.meter.retries = 2
	const refusal = "-TRYAGAIN not now|"
	x.send("SET a 1\r\n")
	for range 2 {
		x.answers(two, refusal)
		x.says("")
		x.later()
	}
	x.answers(two, refusal)
	x.says(refusal)
	for range 10 {
		x.session.meter.earn()
	}
	x.send("SET a 1\r\n")
	x.answers(two, refusal)
	x.says("")
	x.later()
	x.answers(two, "+OK|")
	x.says("+OK|")
}
