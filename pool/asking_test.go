package pool

import (
	"errors"
	"strings"
	"testing"

	"github.com/respgate/respgate/command"
)

// TestAskingIsForOneCommand: where that is not sent, ASKING is not either, since another
// client's command would be served in its place.
func TestAskingIsForOneCommand(t *testing.T) {
	t.Run("held back with its command", func(t *testing.T) {
		l, _, _ := newLink()
		w, next := &wire{}, &wire{}
		l.Up(w, Hello{})
		var a, b client
		send(t, l, &a, "A1")
		w.flush(-1)
		if _, err := l.SendAsking(&a, []byte("A2"), command.Other, 0); err != nil {
			t.Fatal(err)
		}
		send(t, l, &b, "B1")
		l.Closed(errors.New("away"))
		l.Up(next, Hello{})
		if got := string(next.unsent); got != "B1" {
			t.Errorf("the next connection is sent %q, want %q", got, "B1")
		}
		expect(t, "a", &a, "backend connection lost: the command may have been executed", "backend unavailable: connection closed")
	})
	t.Run("too much waits already", func(t *testing.T) {
		l, _, _ := newLink()
		l.memory = &purse{room: 0}
		var a client
		send(t, l, &a, strings.Repeat("x", leastShare-len(askingCommand)))
		if _, err := l.SendAsking(&a, []byte("A2"), command.Other, 0); err == nil {
			t.Error("more is taken than there is room for")
		}
		w := &wire{}
		l.Up(w, Hello{})
		if strings.Contains(string(w.unsent), "ASKING") {
			t.Error("ASKING is sent without its command")
		}
	})
	t.Run("its reply is nobody's", func(t *testing.T) {
		l, _, _ := newLink()
		w := &wire{}
		l.Up(w, Hello{})
		var a client
		if _, err := l.SendAsking(&a, []byte("A1"), command.Other, 0); err != nil {
			t.Fatal(err)
		}
		if got, want := string(w.unsent), "*1\r\n$6\r\nASKING\r\nA1"; got != want {
			t.Errorf("sent %q, want %q", got, want)
		}
		l.Data([]byte("+OK\r\n:1\r\n"))
		expect(t, "a", &a, "1::1|")
	})
}
