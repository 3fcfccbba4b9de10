package proxy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/loop"
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

// watchedDesk is a desk with a key, and an observer that wants to see what watch says.
func watchedDesk(t *testing.T, watch tenant.Watch) (d *desk, key string, n *notebook) {
	t.Helper()
	st := fixed{}
	key = st.grant("acme", "127.0.0.1:1", 0, "")
	d, n = newDesk(t, st), &notebook{watch: watch}
	d.core.Observers = []Observer{n}
	return d, key, n
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

// TestCommandsOfClientsThatHaveLeftAreSeen has one give up before its command is answered.
func TestCommandsOfClientsThatHaveLeftAreSeen(t *testing.T) {
	d, key, n := watchedDesk(t, tenant.Watch{Every: 1, Slow: -1})
	d.send("AUTH " + key + "\r\nGET a\r\n")
	link := d.session.link
	d.session.Closed(nil)
	link.Data([]byte("+1\r\n"))
	n.expect(t, `acme/cache 1 get "*2\r\n$3\r\nGET\r\n$1\r\na\r\n" 20/4  refused=false`)
	if n.written != 1 {
		t.Errorf("told %d times that it is over, want once", n.written)
	}
}

// clumsy is an observer that fails to look at what begins with a word.
type clumsy struct{ word string }

func (clumsy) Watch(*tenant.Route) tenant.Watch { return tenant.Watch{Every: 1, Slow: -1} }

func (c clumsy) Saw(o *tenant.Observed) func(time.Time) {
	if strings.Contains(string(o.Begins), c.word) {
		panic("clumsy")
	}
	return nil
}

// TestObserverPanics at the second of two replies that have come together: the first has not
// been handed out yet, and the client must not take what it is told next for it.
func TestObserverPanics(t *testing.T) {
	st := fixed{}
	key := st.grant("acme", "127.0.0.1:1", 0, "")
	d := newDesk(t, st)
	d.core.Observers = []Observer{clumsy{"second"}}
	d.send("AUTH " + key + "\r\nGET first\r\nGET second\r\nGET third\r\n")
	d.out = nil
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is not the loop's to tell of")
			}
		}()
		d.session.link.Data([]byte("+1\r\n+2\r\n+3\r\n"))
	}()
	if !errors.Is(d.ended, loop.ErrPanic) {
		t.Errorf("told %q, and ended with %v; want it ended with %v", d.said(), d.ended, loop.ErrPanic)
	}
}

// TestWaitingInVainIsNotTheNextCommands: that a command waited for a connection, and got none,
// is not told of a later one.
func TestWaitingInVainIsNotTheNextCommands(t *testing.T) {
	for _, c := range []struct{ name, meanwhile, want string }{
		{"refused", "", "-ERR backend unavailable: all connections for transactions and blocking commands are in use|"},
		{"over the limit by now", "GET a\r\n", "-RATELIMIT 1 commands/s exceeded for this key, retry after 500 ms|"},
	} {
		st := fixed{}
		key := st.grant("acme", "127.0.0.1:1", 1, "")
		d := newDesk(t, st)
		links := &lending{desked: d.core.Links.(*desked)}
		d.core.Links = links
		d.send("AUTH " + key + "\r\nBLPOP a 0\r\n")
		d.beside().send("AUTH " + key + "\r\n" + c.meanwhile)
		d.out = nil
		d.passed += time.Second / 2
		links.wishes[0](nil, pool.ErrBusy)
		wantTold(t, c.name, d, c.want)
		if left := d.session.pin.waited; left != 0 {
			t.Errorf("%s: %v are left for the next command, want none", c.name, left)
		}
	}
}

// TestAwaitedIsBounded has a client not read.
func TestAwaitedIsBounded(t *testing.T) {
	d, key, n := watchedDesk(t, tenant.Watch{Every: 1, Slow: -1})
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
	d, key, n := watchedDesk(t, tenant.Unwatched())
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
	d, key, n := watchedDesk(t, tenant.Watch{Every: 1, Slow: -1})
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
