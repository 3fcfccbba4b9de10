package proxy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/tenant"
)

// notebook is an observer that notes what it is told.
type notebook struct {
	watch   tenant.Watch
	notes   []string
	written int // how often it was told that the client has it all
}

func (n *notebook) Watch(*tenant.Route) tenant.Watch { return n.watch }

func (n *notebook) Saw(o *tenant.Observed) func(time.Time) {
	n.notes = append(n.notes, fmt.Sprintf("%s %d %s %q %d/%d %s refused=%v", o.Principal.Route.Label, o.Session, command.ID(o.Command).Info().Name, o.Begins, o.Size, o.ReplySize, o.Code, o.Refused))
	return func(time.Time) { n.written++ }
}

func (n *notebook) expect(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(n.notes, want) {
		t.Errorf("noted\n%s\nwant\n%s", strings.Join(n.notes, "\n"), strings.Join(want, "\n"))
	}
	n.notes = nil
}

// TestObserversSeeCommands has one observer that wants to see everything and one that wants
// what fails.
func TestObserversSeeCommands(t *testing.T) {
	st := fixed{}
	key := st.grant("acme", "127.0.0.1:1", 3, "+@all -set")
	d := newDesk(t, st)
	every, failed := &notebook{watch: tenant.Watch{Every: 1, Slow: -1}}, &notebook{watch: tenant.Watch{Slow: -1, Failed: true}}
	d.core.Observers = []Observer{every, failed}
	d.send("AUTH " + key + "\r\nGET a\r\nSET a b\r\n")
	both := []string{`acme/cache 1 set "" 0/0 NOPERM refused=true`}
	failed.expect(t, both...)
	d.reply()
	every.expect(t, append(both, `acme/cache 1 get "*2\r\n$3\r\nGET\r\n$1\r\na\r\n" 20/10  refused=false`)...)
	failed.expect(t, `acme/cache 1 get "*2\r\n$3\r\nGET\r\n$1\r\na\r\n" 20/10  refused=false`)

	d.send("GET wrong\r\n")
	d.session.link.Data([]byte("-WRONGTYPE x\r\n"))
	failed.expect(t, `acme/cache 1 get "*2\r\n$3\r\nGET\r\n$5\r\nwrong\r\n" 24/14 WRONGTYPE refused=false`)
	d.send("GET a\r\nGET a\r\nGET a\r\n")
	failed.expect(t, `acme/cache 1 get "" 0/0 RATELIMIT refused=true`, `acme/cache 1 get "" 0/0 RATELIMIT refused=true`)
	d.session.link.Closed(nil)
	failed.expect(t, `acme/cache 1 get "" 0/0 backend_lost refused=true`)
	if failed.written != 0 {
		t.Errorf("told %d times that the client has it all, before it has", failed.written)
	}
	d.session.Drained()
	if failed.written != 6 {
		t.Errorf("told %d times that the client has it all, want 6", failed.written)
	}
}

// TestAwaitedIsBounded has a client not read.
func TestAwaitedIsBounded(t *testing.T) {
	st := fixed{}
	key := st.grant("acme", "127.0.0.1:1", 0, "")
	d := newDesk(t, st)
	n := &notebook{watch: tenant.Watch{Every: 1, Slow: -1}}
	d.core.Observers = []Observer{n}
	d.send("AUTH " + key + "\r\n" + strings.Repeat("GET a\r\n", 3*maxAwaited))
	d.reply()
	if len(d.session.awaited) > maxAwaited {
		t.Errorf("%d observers wait, want at most %d", len(d.session.awaited), maxAwaited)
	}
	d.session.Closed(nil)
	if n.written != 3*maxAwaited {
		t.Errorf("told of %d commands that it is over, want %d", n.written, 3*maxAwaited)
	}
}

// TestObserversMayChangeTheirMind has an observer that wants to see more.
func TestObserversMayChangeTheirMind(t *testing.T) {
	st := fixed{}
	key := st.grant("acme", "127.0.0.1:1", 0, "")
	d := newDesk(t, st)
	n := &notebook{watch: tenant.Unwatched()}
	d.core.Observers = []Observer{n}
	d.send("AUTH " + key + "\r\nGET a\r\n")
	d.reply()
	n.expect(t)
	n.watch.Failed = true
	d.core.Rewatch()
	d.send("GET a\r\n")
	d.session.link.Data([]byte("-OOPS x\r\n"))
	n.expect(t, `acme/cache 1 get "*2\r\n$3\r\nGET\r\n$1\r\na\r\n" 20/9 other refused=false`)
}

// TestSightsOfOthersAreLeft has replies come that are no session's, or of an instance that it has left.
func TestSightsOfOthersAreLeft(t *testing.T) {
	st := fixed{}
	key := st.grant("acme", "127.0.0.1:1", 0, "")
	d := newDesk(t, st)
	n := &notebook{watch: tenant.Watch{Every: 1, Slow: -1}}
	d.core.Observers = []Observer{n}
	d.send("AUTH " + key + "\r\n")
	m := d.session.meter
	m.Saw(&pool.Sight{Owner: unheard{}, Why: tenant.WhySampled, Reply: []byte("+OK\r\n"), ReplySize: 5})
	d.core.meter("other/cache").Saw(&pool.Sight{Owner: d.session, Why: tenant.WhySampled, Reply: []byte("+OK\r\n"), ReplySize: 5})
	n.expect(t)
}

func TestWatchesAreJoined(t *testing.T) {
	none := tenant.Unwatched()
	for _, c := range []struct {
		name       string
		a, b, want tenant.Watch
	}{
		{"nothing", none, none, none},
		{"one of them", none, tenant.Watch{Every: 8, Slow: 0, Big: 5}, tenant.Watch{Every: 8, Slow: 0, Big: 5}},
		{"the least", tenant.Watch{Every: 2, Slow: 7, Big: 9}, tenant.Watch{Every: 8, Slow: 5, Big: 5, Failed: true}, tenant.Watch{Every: 2, Slow: 5, Big: 5, Failed: true}},
	} {
		if got := c.a.And(c.b); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
		if got := c.b.And(c.a); got != c.want {
			t.Errorf("%s, the other way round: got %+v, want %+v", c.name, got, c.want)
		}
	}
}
