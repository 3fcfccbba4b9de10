package proxy

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/respgate/respgate/loop"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/ratelimit"
)

// desk is a session without a socket: the test is its client, its backend and its
// clock.
type desk struct {
	t       testing.TB
	core    *Core
	session *Session
	out     []byte
	in      []byte // given and not consumed
	paused  bool
	again   int   // how often the rest was to wait a turn
	ended   error // why it was closed
	drained bool  // closed once all was sent
	timers  []*alarm
	passed  time.Duration // since the desk was made
	links   map[pool.Key]*pool.Link
	wires   map[*pool.Link]*wire
	refuse  error // what dialling ends with
}

type alarm struct {
	desk    *desk
	after   time.Duration
	at      time.Duration // of the desk's time
	fn      func()
	stopped bool
}

func (a *alarm) Stop()                 { a.stopped = true }
func (a *alarm) Reset(d time.Duration) { a.after, a.at, a.stopped = d, a.desk.passed+d, false }

// wire is the backend's end of a link.
type wire struct {
	got    []byte
	unsent []byte // of that, what the kernel has not taken
}

func (w *wire) Write(b []byte)    { w.got = append(w.got, b...) }
func (w *wire) Unsent() int       { return len(w.unsent) }
func (w *wire) Tail(n int) []byte { return w.unsent[len(w.unsent)-n:] }
func (w *wire) Close(error)       {}

// The desk is the session's Output.
func (d *desk) Write(b []byte)   { d.out = append(d.out, b...) }
func (d *desk) Unsent() int      { return len(d.out) }
func (d *desk) Held() int        { return len(d.in) + len(d.out) }
func (d *desk) Again()           { d.again++ }
func (d *desk) Arrived() int     { return len(d.in) }
func (d *desk) Want(int)         {}
func (d *desk) Pause()           { d.paused = true }
func (d *desk) Resume()          { d.paused = false }
func (d *desk) CloseAfterFlush() { d.drained = true }
func (d *desk) Close(err error)  { d.ended = err }

// The desk is the clock, and where links come from.
func (d *desk) Now() time.Time { return time.Unix(1, 0).Add(d.passed) }
func (d *desk) Nanos() int64   { return 1 + int64(d.passed) }

func newDesk(t testing.TB, st fixed) *desk {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	m, service := parts(t, st, log)
	l, err := loop.New(log) // never run: only the pool's constructor wants it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Stop(); l.Run() })
	d := &desk{t: t, links: map[pool.Key]*pool.Link{}, wires: map[*pool.Link]*wire{}}
	d.core = &Core{
		Ctx: t.Context(), Clock: d, Auth: service, Limiters: ratelimit.New(ratelimit.Defaults{RPS: 100}), Metrics: m.Loop(0), SlowLog: newBook(t),
		IDs: new(atomic.Int64), Log: log, Left: func() {},
		Limits: Limits{MaxCommand: 1 << 20, MaxOutput: 1 << 20, AuthTimeout: 10 * time.Second},
		After: func(after time.Duration, fn func()) Timer {
			d.timers = append(d.timers, &alarm{desk: d, after: after, at: d.passed + after, fn: fn})
			return d.timers[len(d.timers)-1]
		},
		Background: func(work func() func()) { work()() },
	}
	made := pool.New(t.Context(), pool.Config{}, l, pool.NewSlots(1, 1), pool.NewDialer(pool.DialConfig{}, log, m), m, d.core.Meter, log)
	d.core.Links = &desked{d, made}
	d.session = d.core.Open(d, Peer{Addr: netip.MustParseAddrPort("127.0.0.1:1"), Local: netip.MustParseAddrPort("127.0.0.1:2")})
	return d
}

// desked gives links whose other end is the desk.
type desked struct {
	*desk
	made *pool.Pool
}

func (d *desked) Shared(key pool.Key) *pool.Link {
	l := d.made.Shared(key)
	if d.wires[l] == nil && d.refuse == nil {
		w := &wire{}
		d.wires[l], d.links[key] = w, l
		l.Up(w, pool.Hello{Version: "7.0.15", Mode: "standalone", Role: "master"})
	} else if d.refuse != nil {
		l.Down(d.refuse)
	}
	return l
}

func (d *desked) Connected(key pool.Key) bool { return d.links[key] != nil }

func (d *desked) Borrow(_ pool.Key, _ pool.Kind, then func(*pool.Link, *pool.Error)) func() {
	then(nil, pool.ErrBusy)
	return func() {}
}

// send gives the session bytes as they may come: what it does not consume is given
// again, with more.
func (d *desk) send(text string) {
	d.in = append(d.in, text...)
	for len(d.in) > 0 && !d.paused && !d.drained && d.ended == nil {
		n := d.session.Data(d.in)
		d.in = d.in[n:]
		if n == 0 {
			return
		}
	}
}

// reply has every backend answer each command that it got with its own words.
func (d *desk) reply() {
	for l, w := range d.wires {
		got := w.got
		w.got = nil
		for range strings.Count(string(got), "*") {
			l.Data([]byte("+backend\r\n"))
		}
	}
	if !d.paused && len(d.in) > 0 {
		d.send("")
	}
}

// said returns what the client has been sent, with '|' for line ends.
func (d *desk) said() string { return strings.ReplaceAll(string(d.out), "\r\n", "|") }

// TestSession has conversations with a session and with backends that answer
// "backend" to everything, once in one piece and once byte by byte.
func TestSession(t *testing.T) {
	st := fixed{}
	key := st.grant("acme", "127.0.0.1:1", 3, "+get +select +auth")
	free := st.grant("free", "127.0.0.1:2", 0, "")
	for _, c := range []struct{ name, in, want string }{
		{"not authenticated", "GET a\r\nPING\r\nCLIENT ID\r\n", "-NOAUTH Authentication required.|-NOAUTH Authentication required.|-NOAUTH Authentication required.|"},
		{"AUTH with the key", "AUTH KEY\r\nGET a\r\n", "+OK|+backend|"},
		{"AUTH default", "AUTH default KEY\r\nGET a\r\n", "+OK|+backend|"},
		{"AUTH with the instance", "AUTH cache KEY\r\nGET a\r\n", "+OK|+backend|"},
		{"AUTH with another instance", "AUTH other KEY\r\nGET a\r\n", "-WRONGPASS invalid username-password pair or user is disabled.|-NOAUTH Authentication required.|"},
		{"AUTH with anything", "AUTH x\r\nAUTH\r\nAUTH a b c\r\n", "-WRONGPASS invalid username-password pair or user is disabled.|-ERR wrong number of arguments for 'auth' command|-ERR syntax error|"},
		{"a good key stays when a bad one follows", "AUTH KEY\r\nAUTH x\r\nGET a\r\n", "+OK|-WRONGPASS invalid username-password pair or user is disabled.|+backend|"},
		{"HELLO", "HELLO 3 AUTH default KEY SETNAME me\r\nCLIENT GETNAME\r\n", "%7|$6|server|$5|redis|$7|version|$6|7.0.15|$5|proto|:3|$2|id|:1|$4|mode|$10|standalone|$4|role|$6|master|$7|modules|*0|$2|me|"},
		{"HELLO 2", "HELLO 2 AUTH cache KEY\r\n", "*14|$6|server|$5|redis|$7|version|$6|7.0.15|$5|proto|:2|$2|id|:1|$4|mode|$10|standalone|$4|role|$6|master|$7|modules|*0|"},
		{"HELLO of another version", "HELLO 4\r\nHELLO 03\r\nHELLO x\r\n", "-NOPROTO unsupported protocol version|-ERR Protocol version is not an integer or out of range|-ERR Protocol version is not an integer or out of range|"},
		{"what the key may not", "AUTH KEY\r\nSET a b\r\nGET a\r\nNOSUCH\r\n", "+OK|-NOPERM this key has no permissions to run the 'set' command|+backend|-NOPERM this key has no permissions to run the 'nosuch' command|"},
		{"beyond the limit", "AUTH KEY\r\nGET a\r\nGET a\r\nGET a\r\nGET a\r\nGET a\r\n", "+OK|+backend|+backend|+backend|-RATELIMIT 3 commands/s exceeded for this key, retry after 334 ms|-RATELIMIT 3 commands/s exceeded for this key, retry after 334 ms|"},
		{"answers in between", "AUTH FREE\r\nGET a\r\nCLIENT ID\r\nGET b\r\nCLIENT GETNAME\r\nPING\r\nQUIT\r\n", "+OK|+backend|:1|+backend|$-1|+backend|+OK|"},
		{"SELECT", "AUTH FREE\r\nGET a\r\nSELECT 1\r\nGET a\r\nSELECT x\r\nSELECT 01\r\nSELECT -1\r\nSELECT 99999999999\r\n", "+OK|+backend|+OK|+backend|-ERR value is not an integer or out of range|-ERR value is not an integer or out of range|-ERR DB index is out of range|-ERR value is out of range, value must between -2147483648 and 2147483647|"},
		{"CLIENT", "AUTH FREE\r\nCLIENT SETNAME me\r\nCLIENT GETNAME\r\nCLIENT SETNAME \"a b\"\r\nCLIENT SETINFO lib-name x\r\nCLIENT SETINFO nosuch x\r\n", "+OK|+OK|$2|me|-ERR Client names cannot contain spaces, newlines or special characters.|+OK|-ERR Unrecognized option 'nosuch'|"},
		{"RESET", "AUTH FREE\r\nCLIENT SETNAME me\r\nRESET\r\nGET a\r\nAUTH FREE\r\nCLIENT GETNAME\r\n", "+OK|+OK|+RESET|-NOAUTH Authentication required.|+OK|$-1|"},
		{"PING and ECHO are the backend's", "AUTH FREE\r\nPING\r\nECHO x\r\n", "+OK|+backend|+backend|"},
		{"QUIT", "AUTH FREE\r\nGET a\r\nQUIT\r\nGET a\r\n", "+OK|+backend|+OK|"},
		{"nothing", "\r\n\r\n*0\r\n*-1\r\nAUTH FREE\r\n\r\n*0\r\nGET a\r\n", "+OK|+backend|"},
		{"broken", "AUTH FREE\r\nGET a\r\n*1\r\n\rx\r\nGET a\r\n", "+OK|+backend|-ERR Protocol error: expected '$', got ' '|"},
		{"broken after a reply that was skipped", "AUTH FREE\r\nCLIENT REPLY SKIP\r\nCLIENT ID\r\nGET a\r\n*1\r\n\rx\r\n", "+OK|+backend|-ERR Protocol error: expected '$', got ' '|"},
		{"two keys", "AUTH KEY\r\nGET a\r\nAUTH FREE\r\nSET a b\r\n", "+OK|+backend|+OK|+backend|"},
	} {
		in := strings.NewReplacer("KEY", key, "FREE", free).Replace(c.in)
		for _, piece := range []int{len(in), 1} {
			t.Run(fmt.Sprintf("%s/%d", c.name, piece), func(t *testing.T) {
				d := newDesk(t, st)
				for rest := in; len(rest) > 0; rest = rest[min(piece, len(rest)):] {
					d.send(rest[:min(piece, len(rest))])
				}
				for range 10 {
					d.reply()
				}
				if got := d.said(); got != c.want {
					t.Errorf("got  %s\nwant %s", got, c.want)
				}
				if ends := strings.Contains(in, "QUIT") || strings.HasPrefix(c.name, "broken"); ends != d.drained {
					t.Errorf("it ends: %v, want %v", d.drained, ends)
				}
			})
		}
	}
}

// TestSilentSessionsEnd has clients that do not authenticate, or not again after RESET.
func TestSilentSessionsEnd(t *testing.T) {
	st := fixed{}
	key := st.grant("acme", "127.0.0.1:1", 0, "")
	for _, c := range []struct {
		name, in string
		armed    bool
	}{
		{"silent", "", true}, {"wrong key", "AUTH x\r\n", true}, {"authenticated", "AUTH " + key + "\r\n", false},
		{"reset", "AUTH " + key + "\r\nRESET\r\n", true}, {"again", "AUTH " + key + "\r\nRESET\r\nAUTH " + key + "\r\n", false},
	} {
		d := newDesk(t, st)
		d.send(c.in)
		armed := 0
		for _, a := range d.timers {
			if !a.stopped {
				armed++
				a.fn()
			}
		}
		if want := map[bool]int{true: 1}[c.armed]; armed != want {
			t.Errorf("%s: %d timers run, want %d", c.name, armed, want)
		}
		if c.armed != errors.Is(d.ended, errAuthTimeout) {
			t.Errorf("%s: ended by %v", c.name, d.ended)
		}
	}
}

// TestStrangersReadWhatTheyAreTold has a client that has not authenticated complained to
// more than it reads: the rest of what it says is looked at when it has read.
func TestStrangersReadWhatTheyAreTold(t *testing.T) {
	st := fixed{}
	d := newDesk(t, st)
	const n, complaint = 10_000, "-NOAUTH Authentication required.\r\n"
	d.send(strings.Repeat("PING\r\n", n) + "AUTH " + st.grant("acme", "127.0.0.1:1", 0, "") + "\r\n")
	var read string
	for !strings.HasSuffix(read, "+OK\r\n") {
		if !d.paused && len(d.out) == 0 || len(d.out) > maxStrange+len(complaint) {
			t.Fatalf("after %d bytes %d more wait to be read, of at most %d; paused: %v", len(read), len(d.out), maxStrange+len(complaint), d.paused)
		}
		read += string(d.out)
		d.out = nil
		d.session.Drained()
		d.send("")
	}
	if want := strings.Repeat(complaint, n) + "+OK\r\n"; read != want {
		t.Errorf("got %d bytes, want %d: a complaint to each PING, and the key's welcome", len(read), len(want))
	}
}

// TestHelloIsWholeOrNothing has the backend away: HELLO changes nothing then.
func TestHelloIsWholeOrNothing(t *testing.T) {
	st := fixed{}
	d := newDesk(t, st)
	d.refuse = errors.New("away")
	d.send("HELLO 3 AUTH default " + st.grant("acme", "127.0.0.1:1", 0, "") + " SETNAME me\r\nCLIENT GETNAME\r\n")
	if got, want := d.said(), "-ERR backend unavailable: cannot connect|-NOAUTH Authentication required.|"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestBlocks(t *testing.T) {
	for _, c := range []struct {
		in   string
		want bool
	}{
		{"XREAD STREAMS block 0", false}, {"XREAD COUNT 1 BLOCK 0 STREAMS s 0", true},
		{"XREADGROUP GROUP streams c BLOCK 0 STREAMS s >", true}, {"XREADGROUP GROUP g block STREAMS s >", false},
		{"XREADGROUP GROUP block streams COUNT 1 NOACK STREAMS s >", false}, {"XREAD GROUP", false},
	} {
		d := newDesk(t, fixed{})
		items, _, _ := d.session.frame([]byte(c.in+"\r\n"), batchSize)
		if got := blocks(&items[0]); got != c.want {
			t.Errorf("%s: blocks %v, want %v", c.in, got, c.want)
		}
	}
}
