package proxy

import (
	"errors"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/respgate/respgate/tenant"
)

// TestSessions looks at the clients of a loop, by organization.
func TestSessions(t *testing.T) {
	st := fixed{}
	key := map[string]string{}
	for _, org := range []string{"acme", "globex"} {
		key[org] = st.grant(org, "127.0.0.1:1", 0, "")
		g := st[key[org][3:15]]
		g.Key.Name, g.Seats.OrgID = "web", org+"-id"
		st[key[org][3:15]] = g
	}
	d := newDesk(t, st)
	first := d.session
	d.send("AUTH " + key["acme"] + "\r\nCLIENT SETNAME me\r\nCLIENT SETINFO lib-name lib\r\nCLIENT SETINFO lib-ver 1\r\nGET a\r\n")
	d.reply()
	d.passed = 5 * time.Second
	others := 2*surveyTurn + 10
	for i := range others {
		d.session = d.core.Open(d, Peer{Addr: netip.MustParseAddrPort("10.0.0.1:7"), TLS: true})
		switch i {
		case 0: // it has not authenticated
		case 1:
			d.send("AUTH " + key["globex"] + "\r\nMULTI\r\n")
		default:
			d.send("AUTH " + key["globex"] + "\r\n")
		}
	}
	d.timers = nil
	look := func(org string, most int) (found []tenant.Session) {
		calls := 0
		d.core.Sessions(org, most, func(s []tenant.Session) { found, calls = s, calls+1 })
		for calls == 0 && len(d.timers) > 0 {
			next := d.timers[0]
			d.timers = d.timers[1:]
			next.fn()
		}
		if calls != 1 {
			t.Fatalf("%d answers, want one", calls)
		}
		return found
	}
	got := look("acme-id", 10)
	at := d.Now()
	want := tenant.Session{
		ID: "1", KeyID: key["acme"][3:15], KeyName: "web", OrgID: "acme-id", Org: "acme", InstanceID: "acme", Instance: "cache", Address: "127.0.0.1:1",
		Name: "me", LibName: "lib", LibVersion: "1", Protocol: 2, ConnectedAt: at.Add(-d.passed), ActiveAt: at.Add(-d.passed), Command: "get", Unsent: len(d.out),
	}
	if !reflect.DeepEqual(got, []tenant.Session{want}) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if n := len(look("", 1_000_000)); n != others {
		t.Errorf("%d sessions in all, want %d", n, others)
	}
	if n := len(look("globex-id", 300)); n != 300 {
		t.Errorf("%d sessions, want no more than the 300 asked for", n)
	}
	if n := len(look("nosuch", 10)); n != 0 {
		t.Errorf("an organization without clients has %d", n)
	}
	if !look("globex-id", 1)[0].TLS {
		t.Error("a client that speaks TLS is said not to")
	}

	if d.core.Kill(999_999, "") {
		t.Error("a client is killed that is not there")
	}
	if d.core.Kill(1, "globex-id") {
		t.Error("another organization ended the session")
	}
	if !d.core.Kill(1, "acme-id") || !errors.Is(d.ended, errKilled) {
		t.Errorf("the first client was not killed: ended by %v", d.ended)
	}
	first.Closed(errKilled)
	if n := len(look("acme-id", 10)); n != 0 || d.core.Kill(1, "") {
		t.Errorf("%d sessions are left after it was killed, or it is killed twice", n)
	}
}
