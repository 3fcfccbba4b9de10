package pool

import (
	"errors"
	"testing"

	"github.com/respgate/respgate/command"
)

// TestReplacedLink has a link's connection replaced while it owes replies: what is sent
// meanwhile waits for the next one, and every client gets its own replies in order.
func TestReplacedLink(t *testing.T) {
	l, dials, _ := newLink()
	old, next := &wire{}, &wire{}
	l.Up(old, Hello{})
	var a, b client
	sendAll(t, l, &a, "A1", "A2")
	send(t, l, &b, "B1")
	l.replace()
	sendAll(t, l, &b, "B2", "B3") // like B1 before it
	send(t, l, &a, "A3")
	if string(old.unsent) != "A1A2B1" || old.closed != nil || *dials != 0 {
		t.Errorf("with replies to come: sent %q, closed with %v, dialled %d times; want A1A2B1, not closed, not dialled", old.unsent, old.closed, *dials)
	}
	l.Data([]byte("+a1\r\n$9\r\na2"))
	l.Data([]byte("3456789\r\n"))
	l.Data([]byte("+b1\r\n"))
	if !errors.Is(old.closed, errReplaced) || *dials != 1 {
		t.Errorf("after the last reply: closed with %v, dialled %d times; want it replaced, once", old.closed, *dials)
	}
	expect(t, "b", &b, "1:+b1|")
	expect(t, "a", &a, "1:+a1|", "0:$9|a2...", "1:3456789|")
	l.Up(next, Hello{})
	if string(next.unsent) != "B2B3A3" {
		t.Errorf("the next connection is sent %q, want B2B3A3", next.unsent)
	}
	l.Data([]byte("+b2\r\n+b3\r\n+a3\r\n"))
	expect(t, "b", &b, "2:+b2|+b3|")
	expect(t, "a", &a, "1:+a3|")
}

// TestReplacedLinkThatOwesNothing closes at once, and connects again when somebody wants it.
func TestReplacedLinkThatOwesNothing(t *testing.T) {
	for clients, want := range []int{0, 1} {
		l, dials, _ := newLink()
		w := &wire{}
		l.Up(w, Hello{})
		l.clients = clients
		l.replace()
		if w.closed == nil || *dials != want {
			t.Errorf("with %d clients: closed with %v, dialled %d times, want %d", clients, w.closed, *dials, want)
		}
	}
}

// TestReplacedLinkTakesNoReplyForTheNext: what a connection says beyond what it owes is
// nobody's, and closes it.
func TestReplacedLinkTakesNoReplyForTheNext(t *testing.T) {
	l, _, _ := newLink()
	w, next := &wire{}, &wire{}
	l.Up(w, Hello{})
	var a client
	send(t, l, &a, "A1")
	l.replace()
	send(t, l, &a, "A2")
	l.Data([]byte("+a1\r\n+intruder\r\n"))
	l.Up(next, Hello{})
	l.Data([]byte("+a2\r\n"))
	expect(t, "a", &a, "1:+a1|", "1:+a2|")
}

// TestReplacedLinkIsLost before it has answered: what it may have executed fails, and so do
// the same client's later commands, which wait; others' go on.
func TestReplacedLinkIsLost(t *testing.T) {
	l, dials, _ := newLink()
	w, next := &wire{}, &wire{}
	l.Up(w, Hello{})
	var a, b, c client
	send(t, l, &a, "A1")
	w.flush(-1)
	send(t, l, &b, "B1")
	l.replace()
	send(t, l, &a, "A2")
	send(t, l, &c, "C1")
	l.Data([]byte("-"))
	l.Closed(nil)
	lost := (&Error{Sent: true}).Error()
	expect(t, "a", &a, lost, "backend unavailable: connection closed")
	l.Up(next, Hello{})
	if string(next.unsent) != "B1C1" || *dials != 1 {
		t.Errorf("the next connection is sent %q after %d dials, want B1C1 after one", next.unsent, *dials)
	}
	l.Data([]byte("+b\r\n+c\r\n"))
	expect(t, "b", &b, "1:+b|")
	expect(t, "c", &c, "1:+c|")
}

// TestReplacedLinkForgetsWhoHasLeft: commands that wait for the next connection are
// disowned, those that the old one owes are answered.
func TestReplacedLinkForgetsWhoHasLeft(t *testing.T) {
	l, _, _ := newLink()
	w, next := &wire{}, &wire{}
	l.Up(w, Hello{})
	var a, b client
	send(t, l, &a, "A1")
	send(t, l, &b, "B1")
	l.replace()
	send(t, l, &a, "A2")
	send(t, l, &b, "B2")
	waiting := 0
	l.EachWaiting(func(_ Owner, bytes int) { waiting += bytes })
	if waiting != 4 {
		t.Errorf("%d bytes wait, want 4", waiting)
	}
	l.Disown(func(o Owner) bool { return o == Owner(&a) })
	l.Data([]byte("+a1\r\n+b1\r\n"))
	l.Up(next, Hello{})
	if string(next.unsent) != "B2" {
		t.Errorf("the next connection is sent %q, want B2", next.unsent)
	}
	l.Data([]byte("+b2\r\n"))
	expect(t, "a", &a, "1:+a1|")
	expect(t, "b", &b, "1:+b1|", "1:+b2|")
}

// TestReplacedLinkIsFull when so much waits that clients have to be held up.
func TestReplacedLinkIsFull(t *testing.T) {
	l, _, _ := newLink()
	l.Up(&wire{}, Hello{})
	var a client
	send(t, l, &a, "A1")
	l.replace()
	big := make([]byte, fullAt+1)
	if _, err := l.Send(&a, big, command.Other, 0); err != nil || !l.Full() {
		t.Errorf("error %v, full %v; want none, and full", err, l.Full())
	}
	room := 0
	l.WhenRoom(func() { room++ })
	l.Data([]byte("+a1\r\n"))
	l.Up(&wire{}, Hello{})
	if room != 1 {
		t.Errorf("who waits for room is told %d times, want once", room)
	}
}

// TestReplacedLinkIsNotUp: who wants to know when a link is up is told once it has its next
// connection, and not when the old one has taken what was sent.
func TestReplacedLinkIsNotUp(t *testing.T) {
	l, _, _ := newLink()
	l.Up(&wire{}, Hello{})
	var a client
	send(t, l, &a, "A1")
	l.replace()
	up, room := 0, 0
	l.WhenUp(func(*Error) { up++ })
	l.WhenRoom(func() { room++ })
	l.Drained()
	if up != 0 || room != 1 {
		t.Errorf("with the old connection: told %d times that it is up and %d that there is room, want 0 and 1", up, room)
	}
	l.Data([]byte("+a1\r\n"))
	l.clients = 1
	l.Up(&wire{}, Hello{})
	if up != 1 {
		t.Errorf("with the next one: told %d times that it is up, want once", up)
	}
}

// FuzzReplacedLink: a connection that is to be replaced gives clients what one gives them
// that is owed the same and nothing else; commands that wait for the next get none of it.
func FuzzReplacedLink(f *testing.F) {
	f.Add([]byte("+1\r\n$5\r\nhello\r\n-ERR x\r\n*2\r\n:1\r\n$-1\r\n"), uint8(3), []byte{0, 1, 1, 2}, []byte{2, 0})
	f.Add([]byte("+1\r\n+too many\r\n"), uint8(40), []byte{2}, []byte{2, 2})
	f.Add([]byte("+1\r\n>2\r\n+a\r\n+b\r\n+2\r\n"), uint8(2), []byte{0, 1}, []byte{1})
	f.Add([]byte("$100\r\ntorn"), uint8(1), []byte{0}, []byte{0})
	f.Fuzz(func(t *testing.T, in []byte, piece uint8, before, after []byte) {
		if len(before) == 0 {
			return
		}
		var heard [2][3]hearer
		var closed [2]error
		for i := range heard {
			l, _, _ := newLink()
			w := &wire{}
			l.Up(w, Hello{})
			ask := func(owners []byte) {
				for _, o := range owners {
					if _, err := l.SendAll(&heard[i][o%3], []byte("C"), []Part{{command.Other, 1}}, 0); err != nil {
						t.Fatal(err)
					}
				}
			}
			ask(before)
			if i == 1 {
				l.replace()
				ask(after)
			}
			feed(l, w, in, int(piece)+1)
			closed[i] = w.closed
		}
		answered := 0
		for who := range heard[0] {
			plain, replaced := heard[0][who], heard[1][who]
			answered += replaced.done
			if replaced.done != plain.done || replaced.whole != plain.whole || closed[0] == nil && replaced.torn != plain.torn {
				t.Errorf("client %d is given %d: %q %q, want %d: %q %q", who, replaced.done, replaced.whole, replaced.torn, plain.done, plain.whole, plain.torn)
			}
		}
		if replaced := errors.Is(closed[1], errReplaced); replaced != (answered == len(before)) {
			t.Errorf("of %d commands %d are answered, and it is replaced: %v", len(before), answered, replaced)
		}
	})
}
