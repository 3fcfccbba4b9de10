package pool

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/tenant"
)

// words says which reasons hold.
func words(why tenant.Why) string {
	var all []string
	for i, word := range []string{"sampled", "slow", "failed", "big"} {
		if why&(1<<i) != 0 {
			all = append(all, word)
		}
	}
	return strings.Join(all, "+")
}

// timed is a link whose clock a test sets, in milliseconds.
func timed(w tenant.Watch) (l *Link, m *tally, at func(ms int64)) {
	l, _, m = newLink()
	var now int64
	l.nanos = func() int64 { return now }
	m.watch = w
	l.count(m)
	return l, m, func(ms int64) { now = ms * 1e6 }
}

func sendAt(t *testing.T, l *Link, c *client, raw string) {
	t.Helper()
	if _, err := l.Send(c, []byte(raw), command.Other, l.nanos()); err != nil {
		t.Fatalf("sending %q: %v", raw, err)
	}
}

func (m *tally) expectSeen(t *testing.T, want ...string) {
	t.Helper()
	if fmt.Sprint(m.seen) != fmt.Sprint(want) {
		t.Errorf("saw\n%s\nwant\n%s", strings.Join(m.seen, "\n"), strings.Join(want, "\n"))
	}
	m.seen = nil
}

func TestSlowCommandsAreSeen(t *testing.T) {
	l, m, at := timed(tenant.Watch{Slow: 10 * time.Millisecond})
	var a, b client
	sendAt(t, l, &a, "FIRST") // while there is no connection
	at(4)
	l.Up(&wire{}, Hello{})
	at(10)
	l.Data([]byte("+1\r\n"))
	m.expectSeen(t)

	sendAt(t, l, &a, "SLOW")
	at(15)
	sendAt(t, l, &b, "BEHIND")
	at(17)
	sendAt(t, l, &b, "LATER")
	at(30)
	l.Data([]byte("+2\r\n+3\r"))
	m.expectSeen(t,
		`slow "SLOW" of 4: "+2\r\n" of 4, waited 0s, own 20ms`)
	at(31)
	l.Data([]byte("\n+4\r\n"))
	m.expectSeen(t,
		`slow "BEHIND" of 6: "\n" of 4, waited 0s, own 1ms`,
		`slow "LATER" of 5: "+4\r\n" of 4, waited 0s, own 0s`)
}

func TestWaitingForAConnectionIsSeen(t *testing.T) {
	l, m, at := timed(tenant.Watch{Every: 1, Slow: -1})
	var a client
	sendAt(t, l, &a, "EARLY")
	at(7)
	l.Up(&wire{}, Hello{})
	at(8)
	l.Data([]byte("+1\r\n"))
	m.expectSeen(t, `sampled "EARLY" of 5: "+1\r\n" of 4, waited 7ms, own 1ms`)
}

func TestFailedAndBigCommandsAreSeen(t *testing.T) {
	l, m, _ := timed(tenant.Watch{Slow: -1, Failed: true, Big: 20})
	l.Up(&wire{}, Hello{})
	var a client
	for _, raw := range []string{"SMALL", "WRONG", "BIG REPLY", strings.Repeat("B", 300)} {
		sendAt(t, l, &a, raw)
	}
	l.Data([]byte("+1\r\n-OOPS x\r\n$20\r\n0123456789"))
	l.Data([]byte("0123456789\r\n+2\r\n"))
	m.expectSeen(t,
		`failed "WRONG" of 5: "-OOPS x\r\n" of 9, waited 0s, own 0s`,
		`big "BIG REPLY" of 9: "0123456789\r\n" of 27, waited 0s, own 0s`,
		fmt.Sprintf(`big %q of 300: "+2\r\n" of 4, waited 0s, own 0s`, strings.Repeat("B", tapePart)))
}

func TestWhatIsNotKnownOfCommands(t *testing.T) {
	l, m, _ := timed(tenant.Watch{Every: 1, Slow: -1})
	w := &wire{}
	l.Up(w, Hello{})
	var a, b client
	sendAt(t, l, &a, "SENT")
	w.flush(-1)
	sendAt(t, l, &b, "UNSENT")
	l.Closed(nil)
	l.Up(&wire{}, Hello{})
	sendAt(t, l, &b, "NEXT")
	l.Data([]byte("+1\r\n+2\r\n"))
	m.expectSeen(t,
		`sampled "" of 6: "+1\r\n" of 4, waited 0s, own 0s`, // its connection was lost meanwhile
		`sampled "NEXT" of 4: "+2\r\n" of 4, waited 0s, own 0s`)
}

func TestTheProxysOwnCommandsAreNotSeen(t *testing.T) {
	l, m, _ := timed(tenant.Watch{Every: 1, Slow: 0, Failed: true, Big: 1})
	l.Up(&wire{}, Hello{})
	var a client
	if _, err := l.SendAsking(&a, []byte("GET k"), command.Lookup([]byte("get")), 0); err != nil {
		t.Fatal(err)
	}
	l.Data([]byte("+OK\r\n$1\r\nv\r\n"))
	m.expectSeen(t, `sampled+slow+big "GET k" of 5: "$1\r\nv\r\n" of 7, waited 0s, own 0s`)
	if m.answered != 1 {
		t.Errorf("%d commands were answered, want 1: ASKING is no tenant's", m.answered)
	}
}

// TestTapeIsBounded has a link owe more than its tape holds.
func TestTapeIsBounded(t *testing.T) {
	l, m, _ := timed(tenant.Watch{Every: 1, Slow: -1})
	l.Up(&wire{}, Hello{})
	var a client
	raw := strings.Repeat("x", 1000)
	const fit = tapeMax / tapePart
	for range fit + 10 {
		sendAt(t, l, &a, raw)
	}
	if n := len(l.tape.buf) - l.tape.head; n != tapeMax {
		t.Errorf("the tape has %d bytes, want %d", n, tapeMax)
	}
	l.Data([]byte(strings.Repeat("+1\r\n", fit+10)))
	known := 0
	for _, s := range m.seen {
		if strings.Contains(s, strings.Repeat("x", tapePart)) {
			known++
		}
	}
	if len(m.seen) != fit+10 || known != fit {
		t.Errorf("saw %d commands, of which %d are known, want %d and %d", len(m.seen), known, fit+10, fit)
	}
	l.rest(math.MaxInt64)
	if l.tape.buf != nil {
		t.Errorf("a link that owes nothing keeps %d bytes", cap(l.tape.buf))
	}
}

// TestFullTapeCostsNothing: a link that owes more than its tape holds, for long, leaves no
// garbage.
func TestFullTapeCostsNothing(t *testing.T) {
	for _, size := range []int{40, 1000} {
		l, m, _ := timed(tenant.Watch{Slow: time.Hour})
		l.Up(&sink{}, Hello{})
		owner, raw, at := &sink{}, []byte(strings.Repeat("x", size)), l.nanos()
		for range tapeMax/recorded(size) + 1 {
			sendTo(t, l, owner, raw, at)
		}
		reply := []byte("+1\r\n")
		if n := testing.AllocsPerRun(5000, func() {
			l.Data(reply)
			sendTo(t, l, owner, raw, at)
		}); n != 0 {
			t.Errorf("%v allocations for each command of %d bytes", n, size)
		}
		known := 0
		for pos := l.q.head; pos != l.q.tail; pos++ {
			if l.q.at(pos).taped {
				known++
			}
		}
		if known == 0 || len(m.seen) != 0 {
			t.Errorf("%d commands of %d bytes are kept and %d were seen, want some and none", known, size, len(m.seen))
		}
	}
}

func sendTo(t *testing.T, l *Link, owner Owner, raw []byte, at int64) {
	t.Helper()
	if _, err := l.Send(owner, raw, command.Other, at); err != nil {
		t.Fatal(err)
	}
}

// TestTapeFollowsTheQueue sends and answers at random, and looks whether each command is
// still known by what it began with.
func TestTapeFollowsTheQueue(t *testing.T) {
	l, m, _ := timed(tenant.Watch{Every: 1, Slow: -1})
	l.Up(&wire{}, Hello{})
	owners := make([]client, 3)
	var sent []string
	rnd := rand.New(rand.NewPCG(1, 2))
	number := 0
	for range 3000 {
		if rnd.IntN(2) == 0 || len(sent) == 0 {
			var batch []string
			size := 1 + rnd.IntN(400)
			for range 1 + rnd.IntN(4) {
				number++
				name := fmt.Sprintf("c%05d", number)
				batch = append(batch, name+strings.Repeat(".", size))
				sent = append(sent, (name + strings.Repeat(".", size))[:min(len(name)+size, tapePart)])
			}
			sendAll(t, l, &owners[rnd.IntN(len(owners))], batch...)
			continue
		}
		n := 1 + rnd.IntN(len(sent))
		l.Data([]byte(strings.Repeat("+1\r\n", n)))
		for i, want := range sent[:n] {
			if !strings.Contains(m.seen[i], fmt.Sprintf("%q", want)) {
				t.Fatalf("saw %s, want %q", m.seen[i], want)
			}
		}
		m.seen, sent = nil, sent[n:]
	}
}

func TestSamplesAreOneInSoMany(t *testing.T) {
	l, m, _ := timed(tenant.Watch{Every: 10, Slow: -1})
	l.Up(&wire{}, Hello{})
	var a client
	for range 10000 {
		sendAt(t, l, &a, "x")
		l.Data([]byte("+1\r\n"))
	}
	if n := len(m.seen); n < 900 || n > 1100 { // the deviation is about 20
		t.Errorf("saw %d of 10000 commands, want about 1000", n)
	}
	m.seen, m.watch.Every = nil, 0
	for range 3000 {
		sendAt(t, l, &a, "x")
		l.Data([]byte("+1\r\n"))
	}
	m.expectSeen(t)
	m.watch.Every = 1
	for range 2000 {
		sendAt(t, l, &a, "x")
		l.Data([]byte("+1\r\n"))
	}
	if n := len(m.seen); n < 900 {
		t.Errorf("saw %d of 2000 commands since all are wanted, want about 1000 or more", n)
	}
}
