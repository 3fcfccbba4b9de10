package proxy

import (
	"strings"
	"testing"
	"time"
)

// alarms runs the timers that are due at once.
func (d *desk) alarms() {
	for len(d.timers) > 0 {
		a := d.timers[0]
		d.timers = d.timers[1:]
		if !a.stopped && a.after <= d.passed {
			a.fn()
		}
	}
}

// TestDrain has a proxy drain at a point of a conversation that lasts for two seconds: what
// had arrived by then is answered, and nothing of what came later executed.
func TestDrain(t *testing.T) {
	st := fixed{}
	key := st.grant("acme", "127.0.0.1:1", 0, "")
	for _, c := range []struct {
		name           string
		before, unread string // what has been looked at, and what is in the socket
		fresh          bool   // the client has just connected
		after          string // what comes later, in pieces
		want           string
		ends           bool
	}{
		{name: "between commands", before: "GET a\r\n", after: "GET b\r\n", want: "+backend|", ends: true},
		{name: "nothing said", after: "GET b\r\n", ends: true},
		{name: "a command unread", before: "GET a\r\n", unread: "GET b\r\n", after: "GET c\r\n", want: "+backend|+backend|", ends: true},
		{name: "a pipeline unread", unread: strings.Repeat("GET b\r\n", 200), after: "GET c\r\n", want: strings.Repeat("+backend|", 200), ends: true},
		{name: "half a command", before: "GET a\r\n*2\r\n$3\r\nGET", after: "\r\n$1\r\nb\r\n|GET c\r\n", want: "+backend|+backend|", ends: true},
		{name: "half a command and no more", before: "GET a\r\n*2\r\n$3\r\nGET", after: "\r\n", want: "+backend|"},
		{name: "just connected", fresh: true, after: "GET b\r\n|GET c\r\n", want: "+backend|", ends: true},
		{name: "just connected, half a command", fresh: true, after: "GET |b\r\n|GET c\r\n", want: "+backend|", ends: true},
		{name: "just connected and silent", fresh: true},
		{name: "QUIT unread", unread: "GET b\r\nQUIT\r\n", want: "+backend|+OK|", ends: true},
		{name: "malformed", unread: "*x\r\n", want: "-ERR Protocol error: invalid multibulk length|", ends: true},
		{name: "a refused MULTI", before: "MULTI\r\n", after: "GET b\r\n|EXEC\r\n|GET c\r\n",
			want: "-ERR backend unavailable: all connections for transactions and blocking commands are in use|-EXECABORT Transaction not begun: MULTI was refused. EXEC or DISCARD ends this state.|-EXECABORT Transaction discarded because of previous errors.|", ends: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, st)
			d.send("AUTH " + key + "\r\n")
			d.out, d.timers = nil, nil
			if !c.fresh {
				d.passed = 2 * time.Second
			}
			d.send(c.before)
			d.reply()
			d.in = append(d.in, c.unread...)
			d.core.Drain()
			for range 5 {
				d.send("")
				d.alarms()
				d.reply()
			}
			for piece := range strings.SplitSeq(c.after, "|") {
				d.alarms()
				d.send(piece)
				d.reply()
			}
			d.alarms()
			if got := d.said(); got != c.want {
				t.Errorf("it says %s\nwant %s", got, c.want)
			}
			if d.drained != c.ends {
				t.Errorf("it ends: %v, want %v", d.drained, c.ends)
			}
		})
	}
}

// TestDrainOfSilentClient: one that has just connected has a second to say something.
func TestDrainOfSilentClient(t *testing.T) {
	d := newDesk(t, fixed{})
	d.core.Drain()
	if d.drained {
		t.Fatal("it is closed at once")
	}
	last := d.timers[len(d.timers)-1]
	if d.passed = last.after; d.passed != time.Second {
		t.Errorf("it is looked at again after %v, want a second", d.passed)
	}
	last.fn()
	if !d.drained {
		t.Error("it is not closed")
	}
}
