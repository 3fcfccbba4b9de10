package proxy

import (
	"testing"
	"time"
)

// TestHeldUpClientsThatLeaveAreForgotten has clients come, be held up by a CLIENT PAUSE and
// leave: nothing of them stays for as long as it lasts.
func TestHeldUpClientsThatLeaveAreForgotten(t *testing.T) {
	st := fixed{}
	key := st.grant("acme", "127.0.0.1:1", 0, "+@all")
	d := newDesk(t, st)
	d.core.holdUp(holdKey{"acme", byClient}, time.Hour, letsNothing)
	for range 3 {
		d.session = d.core.Open(d, Peer{})
		d.send("AUTH " + key + "\r\nGET a\r\n")
		if !d.session.heldUp {
			t.Fatal("the client is not held up")
		}
		d.session.Closed(nil)
		d.in, d.paused = nil, false
	}
	if n := len(d.core.holds[holdKey{"acme", byClient}].waiting); n != 0 {
		t.Errorf("%d clients are waited for that have left", n)
	}
}
