package proxy

import (
	"errors"
	"strings"
	"testing"

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
