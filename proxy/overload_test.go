package proxy

import (
	"errors"
	"strings"
	"testing"

	"github.com/respgate/respgate/pool"
)

// purse is the memory of a process.
type purse struct {
	held int
	room int64
}

func (p *purse) Hold(n int)  { p.held += n }
func (p *purse) Room() int64 { return p.room }

// newPursedDesk is newDesk for a process with a bound, whose client has authenticated.
func newPursedDesk(t *testing.T, room int64) (*desk, *purse) {
	t.Helper()
	st := fixed{}
	key := st.grant("acme", "127.0.0.1:1", 0, "")
	d := newDesk(t, st)
	p := &purse{room: room}
	d.core.Memory = p
	d.core.Limits.MaxOutput = 64 << 20
	d.send("AUTH " + key + "\r\nGET k\r\n")
	d.reply()
	d.out = nil
	return d, p
}

// backendSays has the link that owes the session answer with text.
func (d *desk) backendSays(text string) { d.session.link.Data([]byte(text)) }

const get = "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"

func TestClientThatFallsBehindIsPaused(t *testing.T) {
	for _, c := range []struct {
		name   string
		room   int64
		unread int
		paused bool
	}{
		{"little unread, no room", 0, readAhead, false},
		{"more unread, no room", 0, readAhead + 1, true},
		{"more unread, much room", 1 << 40, readAhead + 1, false},
		{"its share of the room", 16 << 20, 2 << 20, false},
		{"more than that", 16 << 20, 2<<20 + 1, true},
		{"half of what drops it", 1 << 40, 32<<20 + 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, _ := newPursedDesk(t, c.room)
			d.session.write(make([]byte, c.unread), 0)
			timers := len(d.timers)
			d.send(get)
			if d.paused != c.paused || (len(d.in) > 0) != c.paused {
				t.Fatalf("paused: %v with %d bytes kept, want %v", d.paused, len(d.in), c.paused)
			}
			if !c.paused {
				return
			}
			d.out = d.out[:10] // it reads
			patience := d.timers[timers]
			if patience.fn(); d.ended != nil {
				t.Fatalf("a client that reads was dropped: %v", d.ended)
			}
			if d.timers[len(d.timers)-1].fn(); !errors.Is(d.ended, errOutput) {
				t.Errorf("a client that goes on reading nothing: %v, want %v", d.ended, errOutput)
			}
		})
	}
}

func TestClientThatHasReadGoesOn(t *testing.T) {
	d, _ := newPursedDesk(t, 0)
	d.session.write(make([]byte, 2<<20), 0)
	d.send(get)
	patience := d.timers[len(d.timers)-1]
	d.out = nil
	d.session.Drained()
	if d.paused || !patience.stopped {
		t.Fatalf("paused: %v, watched: %v, want neither", d.paused, !patience.stopped)
	}
	d.send("")
	d.backendSays("+v\r\n")
	if got := d.said(); got != "+v|" {
		t.Errorf("then it got %q", got)
	}
}

// TestAnswersThatWaitAreBounded has a client whose backend is silent ask for what is
// answered here: that has to wait, and must not grow without end.
func TestAnswersThatWaitAreBounded(t *testing.T) {
	d, p := newPursedDesk(t, 1<<40)
	name := strings.Repeat("n", 32<<10)
	d.send("CLIENT SETNAME " + name + "\r\n")
	d.out = nil
	d.send(get)
	const asked = 200
	for range asked {
		d.send("CLIENT GETNAME\r\n")
	}
	if limit := readAhead + 2*len(name); !d.paused || d.session.kept > limit+len(name) || p.held != d.session.kept {
		t.Errorf("paused: %v with %d bytes kept, %d counted, want at most %d", d.paused, d.session.kept, p.held, limit)
	}
	d.backendSays("+v\r\n")
	d.send("")
	if got := strings.Count(d.said(), name); got != asked || !strings.HasPrefix(d.said(), "+v|$32768|") {
		t.Errorf("it got %d answers of %d, after %.20q", got, asked, d.said())
	}
	if p.held != len(name) {
		t.Errorf("%d bytes are counted, want those of the name", p.held)
	}
	d.session.Closed(nil)
	if p.held != 0 {
		t.Errorf("%d bytes are counted in the end", p.held)
	}
}

// TestTurn has clients send more commands than one may have looked at in a turn.
func TestTurn(t *testing.T) {
	d, _ := newPursedDesk(t, 1<<40)
	for _, c := range []struct {
		name, command string
		taken         int
	}{{"relayed", get, maxTurn}, {"answered here", "CLIENT ID\r\n", maxTurn / (1 + answering)}, {"refused", "CONFIG GET x\r\n", maxTurn / (1 + answering)}} {
		t.Run(c.name, func(t *testing.T) {
			d.core.turn, d.again = 0, 0 // another turn
			long := []byte(strings.Repeat(c.command, 3*maxTurn))
			if got, want := d.session.Data(long), c.taken*len(c.command); got != want || d.again != 1 {
				t.Errorf("%d bytes of commands looked at, to be offered again %d times, want %d and once", got, d.again, want)
			}
			d.core.looked = busyTurn
			if got, want := d.session.Data(long), busyBatch*len(c.command); got != want {
				t.Errorf("%d bytes of commands looked at in a busy turn, want %d", got, want)
			}
			d.reply()
			d.out = nil
			d.session.Drained()
		})
	}
}

// TestHoldings has clients hold something everywhere.
func TestHoldings(t *testing.T) {
	d, _ := newPursedDesk(t, 1<<40)
	a := d.session
	a.rename(&a.name, strings.Repeat("a", 100))
	other := &desk{t: t, core: d.core, links: d.links, wires: d.wires}
	b := d.core.Open(other, Peer{})
	other.session = b
	b.adopt(a.handle, a.principal)
	other.send(get)
	d.reply()
	other.out = make([]byte, 1000)
	held := func() map[*Session]int {
		all := map[*Session]int{}
		for _, h := range d.core.Holdings(1) {
			all[h.Session] = h.Bytes
		}
		return all
	}
	if got := held(); got[a] != 100 || got[b] != 1000 {
		t.Errorf("they hold %d and %d bytes, want 100 and 1000", got[a], got[b])
	}

	link := a.link
	link.Closed(nil)
	if _, err := link.Send(b, make([]byte, 5000), 0, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := link.Send(&truth{Session: a}, make([]byte, 300), 0, 0); err != nil {
		t.Fatal(err)
	}
	if got := held(); got[a] != 400 || got[b] != 6000 {
		t.Errorf("with commands that wait for a connection %d and %d bytes, want 400 and 6000", got[a], got[b])
	}
	if got := d.core.Holdings(401); len(got) != 1 || got[0].Session != b {
		t.Errorf("those who hold more than 400 bytes: %v, want the second client", got)
	}
	b.DropForMemory()
	if !errors.Is(other.ended, errMemory) {
		t.Errorf("it ended with %v, want %v", other.ended, errMemory)
	}
	if link.Backlog() != 300 {
		t.Errorf("%d bytes wait for a connection, want the first client's 300", link.Backlog())
	}
	w := &wire{}
	link.Up(w, pool.Hello{})
	if len(w.got) != 300 {
		t.Errorf("%d bytes were sent, want 300", len(w.got))
	}
}

// TestRepliesThatAreLookedThroughAreCounted has a reply come in pieces, and not come.
func TestRepliesThatAreLookedThroughAreCounted(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(d *desk)
	}{
		{"answered", func(d *desk) { d.backendSays("d\r\n") }},
		{"lost", func(d *desk) { d.session.link.Closed(nil) }},
		{"nobody there any more", func(d *desk) { link := d.session.link; d.session.Closed(nil); link.Data([]byte("d\r\n")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, p := newPursedDesk(t, 1<<40)
			d.send("COMMAND\r\n")
			d.backendSays("*1\r\n$4\r\nabc")
			if p.held == 0 {
				t.Error("a part of a reply is kept, and not counted")
			}
			if c.end(d); p.held != 0 {
				t.Errorf("%d bytes are counted in the end", p.held)
			}
		})
	}
}
