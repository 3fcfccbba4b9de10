package proxy

import (
	"errors"
	"slices"
	"testing"
	"time"
)

func TestProxyPause(t *testing.T) {
	c := newConsole(t)
	c.client.send("GET a\r\n")
	c.send("PROXY PAUSE acme/cache 5000\r\n")
	wantTold(t, "while a command is under way", c.desk, "")
	c.client.send("GET b\r\n")
	wantTold(t, "a command after the pause", c.client, "")
	c.client.reply()
	wantTold(t, "the command before it", c.client, "+backend|")
	c.ring(quietInterval)
	wantTold(t, "when it is quiet", c.desk, "+OK|")
	c.send("GET x\r\n")
	c.reply()
	wantTold(t, "another instance's client", c.desk, "+backend|")
	c.send("PROXY RESUME acme/cache\r\n")
	wantTold(t, "RESUME", c.desk, "+OK|")
	c.client.send("")
	c.client.reply()
	wantTold(t, "then", c.client, "+backend|")
	if want := []string{"acme/cache true", "acme/cache false"}; !slices.Equal(c.paused, want) {
		t.Errorf("the gauge was told %q, want %q", c.paused, want)
	}
	c.ring(5 * time.Second)
	if n := len(c.paused); n != 2 {
		t.Errorf("the pause that was ended ends again: %q", c.paused)
	}
}

func TestProxyPauseEndsByItself(t *testing.T) {
	c := newConsole(t)
	c.send("PROXY PAUSE acme/cache\r\n")
	wantTold(t, "PAUSE", c.desk, "+OK|")
	c.client.send("GET a\r\n")
	wantTold(t, "meanwhile", c.client, "")
	c.ring(defaultPause)
	c.client.send("")
	c.client.reply()
	wantTold(t, "when its time is over", c.client, "+backend|")
	if want := []string{"acme/cache true", "acme/cache false"}; !slices.Equal(c.paused, want) {
		t.Errorf("the gauge was told %q, want %q", c.paused, want)
	}
}

func TestProxyPauseThatWaitsInVain(t *testing.T) {
	c := newConsole(t)
	c.client.send("GET a\r\nGET b\r\n")
	c.send("PROXY PAUSE acme/cache\r\n")
	c.passed += time.Second
	c.ring(quietInterval)
	wantTold(t, "at the end of its patience", c.desk, "-ERR 'acme/cache' is paused, and 2 of its commands and transactions have not ended yet|")
	c.client.reply()
	c.client.send("GET c\r\n")
	wantTold(t, "the pause stays", c.client, "+backend|+backend|")
}

// TestProxyPauseAndClientPause: what one has begun the other does not end.
func TestProxyPauseAndClientPause(t *testing.T) {
	c := newConsole(t)
	c.client.send("CLIENT PAUSE 60000\r\n")
	c.send("PROXY PAUSE acme/cache\r\nPROXY RESUME acme/cache\r\n")
	wantTold(t, "PAUSE and RESUME", c.desk, "+OK|+OK|")
	c.client.send("GET a\r\n")
	wantTold(t, "CLIENT PAUSE holds", c.client, "+OK|")
	c.send("PROXY PAUSE acme/cache\r\n")
	other := c.beside()
	other.send("AUTH wrong\r\n")
	wantTold(t, "who comes new may say who it is", other, "-WRONGPASS invalid username-password pair or user is disabled.|")
	c.core.release(holdKey{"acme", byClient})
	c.client.send("")
	wantTold(t, "PROXY PAUSE holds", c.client, "")
	c.send("PROXY RESUME cache\r\nPROXY RESUME acme/cache\r\n")
	c.client.send("")
	c.client.reply()
	wantTold(t, "then", c.client, "+backend|")
}

// TestProxyPauseWhileTheServerIsAway: who comes new waits for the end of the pause, rather
// than be told that there is no server.
func TestProxyPauseWhileTheServerIsAway(t *testing.T) {
	c := newConsole(t)
	c.send("PROXY PAUSE acme/cache\r\n")
	wantTold(t, "PAUSE", c.desk, "+OK|")
	c.refuse = errors.New("away")
	for l := range c.wires {
		if l.Key().Instance == "acme" {
			delete(c.wires, l)
		}
	}
	fresh, gone := c.beside(), c.beside()
	fresh.send("HELLO 3 AUTH default " + c.key + "\r\nCLIENT GETNAME\r\n")
	gone.send("HELLO 3 AUTH default " + c.key + "\r\n")
	wantTold(t, "while it is away", fresh, "")
	gone.session.Closed(nil)
	if n := len(c.core.holds[holdKey{"acme", byOperator}].waiting); n != 1 {
		t.Errorf("%d clients are waited for, want the one that is there", n)
	}
	c.send("PROXY RESUME acme/cache\r\n")
	wantTold(t, "after the pause", fresh, "-ERR backend unavailable: cannot connect|-NOAUTH Authentication required.|")
}

// TestProxyPauseAgain: who waits for the end of a pause while the server is away waits for the
// end of the one that takes its place.
func TestProxyPauseAgain(t *testing.T) {
	c := newConsole(t)
	c.send("PROXY PAUSE acme/cache 5000\r\n")
	c.refuse = errors.New("away")
	for l := range c.wires {
		if l.Key().Instance == "acme" {
			delete(c.wires, l)
		}
	}
	fresh := c.beside()
	fresh.send("HELLO 3 AUTH default " + c.key + "\r\n")
	c.client.send("GET a\r\n")
	c.send("PROXY PAUSE acme/cache 7000\r\n")
	c.ring(5 * time.Second)
	wantTold(t, "PAUSE, twice", c.desk, "+OK|+OK|")
	wantTold(t, "who comes new, in the second pause", fresh, "")
	wantTold(t, "who was there, in the second pause", c.client, "")
	if n := len(c.core.holds[holdKey{"acme", byOperator}].waiting); n != 2 {
		t.Errorf("%d clients wait, want 2", n)
	}
	c.ring(7 * time.Second)
	wantTold(t, "after it", fresh, "-ERR backend unavailable: cannot connect|")
}
