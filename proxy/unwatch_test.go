package proxy

import (
	"strings"
	"testing"

	"github.com/respgate/respgate/internal/testbed"
)

// Redis refuses UNWATCH to a RESP2 connection that is subscribed: what it watched stays
// watched, and must not fail the transaction of the next who gets its link.
func TestUnwatchWhileSubscribed(t *testing.T) {
	st := fixed{}
	key := st.grant("acme", testbed.Redis(t).Addr, 0, "+@all")
	addr := startProxy(t, st)
	for range 3 {
		got := talk(t, addr, "AUTH "+key+"\r\nWATCH k\r\nSUBSCRIBE c\r\nUNWATCH\r\nUNSUBSCRIBE c\r\nQUIT\r\n")
		if !strings.Contains(got, "Can't execute 'unwatch'") {
			t.Errorf("the backend does not refuse UNWATCH: %q", got)
		}
		got = talk(t, addr, "AUTH "+key+"\r\nSET k v\r\nMULTI\r\nEXEC\r\nQUIT\r\n")
		if want := "+OK|+OK|+OK|*0|+OK|"; got != want {
			t.Errorf("the next transaction: got %q, want %q", got, want)
		}
	}
}
