package pool

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/tenant"
)

// wire is a connection that keeps what is written and sends it on request.
type wire struct {
	sent, unsent []byte
	closed       error
}

func (w *wire) Write(b []byte)    { w.unsent = append(w.unsent, b...) }
func (w *wire) Unsent() int       { return len(w.unsent) }
func (w *wire) Tail(n int) []byte { return append([]byte(nil), w.unsent[len(w.unsent)-n:]...) }
func (w *wire) Close(err error)   { w.closed = err }

// flush sends n bytes, or all when n is negative.
func (w *wire) flush(n int) {
	if n < 0 {
		n = len(w.unsent)
	}
	w.sent = append(w.sent, w.unsent[:n]...)
	w.unsent = w.unsent[n:]
}

// client keeps what its link gives it, deliveries apart.
type client struct{ got []string }

func (c *client) Replies(b []byte, done int, partial bool) {
	c.got = append(c.got, fmt.Sprintf("%d:%s%s", done, strings.ReplaceAll(string(b), "\r\n", "|"), map[bool]string{true: "...", false: ""}[partial]))
}
func (c *client) Failed(_ command.ID, err *Error) { c.got = append(c.got, err.Error()) }

// tally counts what a link reports.
type tally struct {
	answered, waited int
	refused          []string
	watch            tenant.Watch
	seen             []string
}

func (m *tally) Answered(_ command.ID, _ int64, n int) { m.answered += n }
func (m *tally) Waited(_ int64, n int)                 { m.waited += n }
func (m *tally) Watch() *tenant.Watch                  { return &m.watch }
func (m *tally) Saw(s *Sight) {
	m.seen = append(m.seen, fmt.Sprintf("%s %q of %d: %q of %d, waited %v, own %v", words(s.Why), s.Command, s.Size, s.Reply, s.ReplySize, s.Waited, s.Own()))
}
func (m *tally) Refused(_ Owner, _ command.ID, code []byte) {
	m.refused = append(m.refused, string(code))
}

// newLink returns a link, how often it dials, and what it counts.
func newLink() (l *Link, dials *int, m *tally) {
	dials, m = new(int), new(tally)
	l = &Link{nanos: func() int64 { return 0 }, redial: func(*Link) { *dials++ }, onIdle: func(*Link) {}, memory: &purse{room: math.MaxInt64}}
	m.watch.Slow = -1
	l.count(m)
	return l, dials, m
}

func send(t *testing.T, l *Link, c *client, raw string) uint64 {
	t.Helper()
	pos, err := l.Send(c, []byte(raw), command.Other, 0)
	if err != nil {
		t.Fatalf("sending %q: %v", raw, err)
	}
	return pos
}

// sendAll sends commands at one go.
func sendAll(t *testing.T, l *Link, c *client, commands ...string) uint64 {
	t.Helper()
	var parts []Part
	for _, raw := range commands {
		parts = append(parts, Part{command.Other, len(raw)})
	}
	pos, err := l.SendAll(c, []byte(strings.Join(commands, "")), parts, 0)
	if err != nil {
		t.Fatalf("sending %q: %v", commands, err)
	}
	return pos
}

func expect(t *testing.T, who string, c *client, want ...string) {
	t.Helper()
	if fmt.Sprint(c.got) != fmt.Sprint(want) {
		t.Errorf("%s got %q, want %q", who, c.got, want)
	}
	c.got = nil
}

func TestRepliesGoToTheirOwners(t *testing.T) {
	l, _, m := newLink()
	w := &wire{}
	l.Up(w, Hello{})
	var a, b client
	send(t, l, &a, "A1")
	send(t, l, &a, "A2")
	send(t, l, &b, "B1")
	send(t, l, &a, "A3")
	l.Data([]byte("+1\r\n+2\r\n+3\r\n-OOPS x\r\n"))
	expect(t, "a", &a, "2:+1|+2|", "1:-OOPS x|")
	expect(t, "b", &b, "1:+3|")
	if m.answered != 4 || fmt.Sprint(m.refused) != "[OOPS]" {
		t.Errorf("counted %d answers, refused %v", m.answered, m.refused)
	}
	if string(w.unsent) != "A1A2B1A3" {
		t.Errorf("sent %q", w.unsent)
	}
}

func TestCutDeliversApart(t *testing.T) {
	l, _, _ := newLink()
	l.Up(&wire{}, Hello{})
	var a client
	pos := send(t, l, &a, "A1")
	send(t, l, &a, "A2")
	l.Cut(pos)
	l.Cut(pos + 7) // unknown positions are ignored
	l.Data([]byte("+1\r\n+2\r\n"))
	expect(t, "a", &a, "1:+1|", "1:+2|")
}

func TestPartialReplies(t *testing.T) {
	l, _, _ := newLink()
	l.Up(&wire{}, Hello{})
	var a, b client
	send(t, l, &a, "A1")
	send(t, l, &b, "B1")
	l.Data([]byte("$5\r\nhe"))
	l.Data([]byte("llo\r\n+B"))
	l.Data([]byte("\r\n"))
	expect(t, "a", &a, "0:$5|he...", "1:llo|")
	expect(t, "b", &b, "0:+B...", "1:|")
}

func TestUnexpectedDataClosesTheConnection(t *testing.T) {
	for name, data := range map[string]string{"a reply too many": "+1\r\n+2\r\n", "garbage": "@@@\r\n", "a push": "+1\r\n>1\r\n+x\r\n"} {
		t.Run(name, func(t *testing.T) {
			l, _, _ := newLink()
			w := &wire{}
			l.Up(w, Hello{})
			var a client
			send(t, l, &a, "A1")
			l.Data([]byte(data))
			if !errors.Is(w.closed, errGarbage) {
				t.Errorf("closed with %v, want %v", w.closed, errGarbage)
			}
		})
	}
}

const lost = "backend connection lost: the command may have been executed"

func TestLostConnection(t *testing.T) {
	l, dials, _ := newLink()
	w := &wire{}
	l.Up(w, Hello{})
	var a, b client
	send(t, l, &a, "A1")
	w.flush(-1)
	send(t, l, &b, "B-torn")
	w.flush(1)
	send(t, l, &a, "A2")
	var c client
	send(t, l, &c, "C1")
	l.Closed(nil)
	expect(t, "a", &a, lost, "backend unavailable: connection closed")
	expect(t, "b", &b, lost)
	expect(t, "c", &c)
	if *dials != 1 {
		t.Fatalf("dialled %d times, want once", *dials)
	}
	w = &wire{}
	l.Up(w, Hello{})
	if string(w.unsent) != "C1" {
		t.Errorf("sent again %q, want only what was certainly not sent", w.unsent)
	}
	l.Data([]byte("+1\r\n"))
	expect(t, "c", &c, "1:+1|")
}

func TestEveryCommandIsAnsweredOnceWhereverTheConnectionBreaks(t *testing.T) {
	const n = 12 // commands of two bytes
	for _, together := range []int{1, 4} {
		for sent := 0; sent <= 2*n; sent++ {
			for answered := 0; answered <= sent/2; answered++ {
				l, _, _ := newLink()
				w := &wire{}
				l.Up(w, Hello{})
				clients := make([]client, 3)
				for i := range n / together {
					sendAll(t, l, &clients[i%3], slices.Repeat([]string{"C."}, together)...)
				}
				w.flush(sent)
				l.Data([]byte(strings.Repeat("+x\r\n", answered)))
				l.Closed(nil)
				w = &wire{}
				l.Up(w, Hello{})
				l.Data([]byte(strings.Repeat("+x\r\n", len(w.unsent)/2)))
				for i := range clients {
					got := strings.Count(fmt.Sprint(clients[i].got), "+x") + strings.Count(fmt.Sprint(clients[i].got), "backend")
					if got != n/3 {
						t.Errorf("%d bytes sent, %d answered: client %d got %d answers, want %d: %q", sent, answered, i, got, n/3, clients[i].got)
					}
				}
			}
		}
	}
}

func TestSentTogether(t *testing.T) {
	l, _, m := newLink()
	w := &wire{}
	l.Up(w, Hello{})
	var a, b client
	pos := sendAll(t, l, &a, "A1", "A2", "A-three")
	l.Cut(pos)
	sendAll(t, l, &a, "A-fourth", "A5")
	sendAll(t, l, &b, "B1", "B2")
	if string(w.unsent) != "A1A2A-threeA-fourthA5B1B2" {
		t.Errorf("sent %q", w.unsent)
	}
	l.Data([]byte("+1\r\n+2\r\n+3\r\n+4\r\n+5\r\n-B x\r\n+"))
	l.Data([]byte("7\r\n"))
	expect(t, "a", &a, "3:+1|+2|+3|", "2:+4|+5|")
	expect(t, "b", &b, "1:-B x|+...", "1:7|")
	if m.answered != 7 || len(m.refused) != 1 {
		t.Errorf("counted %d answers, %d refused, want 7 and 1", m.answered, len(m.refused))
	}
}

// What its owner has cut off must stay so when the positions change.
func TestWaitingCommandsAreDeliveredApart(t *testing.T) {
	l, _, _ := newLink()
	l.Up(&wire{}, Hello{})
	var a, b client
	send(t, l, &b, "B1")
	pos := sendAll(t, l, &a, "A1", "A2")
	l.conn.(*wire).flush(2)
	l.Closed(nil)
	l.Cut(pos)
	send(t, l, &a, "A3")
	l.Up(&wire{}, Hello{})
	l.Data([]byte("+1\r\n+2\r\n+3\r\n"))
	expect(t, "a", &a, "1:+1|", "1:+2|", "1:+3|")
}

func TestCommandsWaitForTheConnection(t *testing.T) {
	l, dials, m := newLink()
	var a client
	send(t, l, &a, "A1")
	send(t, l, &a, "A2")
	up := &Error{}
	l.WhenUp(func(err *Error) { up = err })
	if *dials != 1 {
		t.Errorf("dialled %d times, want once", *dials)
	}
	w := &wire{}
	l.Up(w, Hello{Version: "7"})
	if string(w.unsent) != "A1A2" || up != nil || m.waited != 2 || l.Hello().Version != "7" {
		t.Errorf("sent %q, told %v, %d waited, hello %v", w.unsent, up, m.waited, l.Hello())
	}
}

func TestFailedRoundFailsFast(t *testing.T) {
	l, _, _ := newLink()
	var a client
	send(t, l, &a, "A1")
	var told *Error
	l.WhenUp(func(err *Error) { told = err })
	l.Down(ReplyError("ERR DB index is out of range"))
	expect(t, "a", &a, "ERR DB index is out of range")
	if told == nil || told.Error() != "ERR DB index is out of range" {
		t.Errorf("told %v, want the backend's own words", told)
	}
	if _, err := l.Send(&a, []byte("A2"), command.Other, 0); err == nil || err.Sent {
		t.Errorf("Send on a broken link: %v", err)
	}
	l.Up(&wire{}, Hello{})
	send(t, l, &a, "A3")
}

func TestParseURL(t *testing.T) {
	for _, c := range []struct{ url, want, err string }{
		{"redis://:s3cret@10.0.0.5:6379/2", "tcp 10.0.0.5:6379  2", ""},
		{"redis://bob:s3cret@h", "tcp h:6379 bob 0", ""},
		{"redis://[::1]:7000", "tcp [::1]:7000  0", ""},
		{"unix:///run/redis.sock?db=3", "unix /run/redis.sock  3", ""},
		{"redis://:s3cret@h/x", "", "not a number"},
		{"redis://", "", "no host"},
		{"http://h", "", "scheme"},
		{"rediss://:s3cret@h:6390/1", "tcp h:6390  1", ""},
		{"rediss://:s3cret@h?nosuch=1", "", "ca_file, cert_file, key_file, read_from, server_name"},
		{"rediss://:s3cret@h?cert_file=/c", "", "both or none"},
		{"rediss://:s3cret@h?ca_file=", "", "want one value"},
		{"redis-cluster://:s3cret@h1,h2:7001", "tcp h1:6379,h2:7001  0", ""},
		{"redis-cluster://:s3cret@h/1", "", "database 0 only"},
		{"redis-sentinel://bob:s3cret@h1,[::1]:26380/mymaster/3", "tcp h1:26379,[::1]:26380 bob 3", ""},
		{"redis-sentinel://:s3cret@h1", "", "names no primary"},
		{"redis-sentinel://h1/m?sentinel_username=x", "", "sentinel_password too"},
		{"redis-sentinel://h1/m?sentinel_password=s3cret&read_from=nearest", "tcp h1:26379  0", ""},
		{"redis://:s3cret@h1,h2", "", "several hosts"},
		{"redis://:s3cret@h?read_from=replica", "", "want primary, prefer_replica or nearest"},
		{"redis://h?region.eu=10.1.0.0/16,h-*.example.com,h:6379&region.us=[::1]:7000&read_from=nearest", "tcp h:6379  0", ""},
		{"redis-cluster://:s3cret@h?region.eu=10.1.0.0/33", "", "option region.NAME: want"},
		{"redis-cluster://:s3cret@h?region.eu=s3cret[", "", "option region.NAME: want"},
		{"redis-sentinel://:s3cret@h/m?region.EU_s3cret=h", "", "option region.NAME: want"},
		{"redis://h?region.eu=h&region.eu=s3cret", "", "option region.NAME: want"},
		{"redis://h?region.eu=", "", "option region.NAME: want"},
		{"unix:///s?region.eu=h", "", "want some of db"},
		{"redis://:s3cret@h:0", "", "want 1 to 65535"},
		{"s3cret", "", "cannot be parsed"},
		{"redis://user:s3cret/s3cret@h/1", "", "%2F"},
		{"redis://:s3cret@h:port", "", "cannot be parsed"},
		{"redis://u:12/s3cret@h/0", "", "has to be written as %2F"},
		{"rediss://u:12?s3cret=1@h", "", "has to be written as %2F"},
		{"redis://u:12#s3cret@h", "", "has to be written as %2F"},
		{"rediss://u:p@h?s3cret=1", "", "an option after '?' is not known"},
		{"s3cret:p@h", "", "cannot be parsed"},
		{"rediss://u:p@h?ca_file=/a@b.pem", "tcp h:6379 u 0", ""},
		{"unix:///run/a@b.sock", "unix /run/a@b.sock  0", ""},
	} {
		b, err := ParseURL(tenant.Secret(c.url))
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("ParseURL(%q): %v, want %q and no secret", c.url, err, c.err)
			}
			continue
		}
		if got := fmt.Sprintf("%s %s %s %d", b.Network, b.Addr, b.Username, b.DB); err != nil || got != c.want {
			t.Errorf("ParseURL(%q) = %q, %v; want %q", c.url, got, err, c.want)
		}
	}
}

func TestRedactURL(t *testing.T) {
	for _, c := range []struct{ url, want string }{
		{"redis://:s3cret@10.0.0.5:6379/2", "redis://:xxxxx@10.0.0.5:6379/2"},
		{"redis://bob@h", "redis://bob@h"},
		{"rediss://bob:s3cret@h?ca_file=/etc/ca.pem", "rediss://bob:xxxxx@h?ca_file=/etc/ca.pem"},
		{"redis-sentinel://bob:s3cret@h1,h2:26380/mymaster/0?sentinel_password=s3cret", "redis-sentinel://bob:xxxxx@h1,h2:26380/mymaster/0?sentinel_password=xxxxx"},
		{"unix://:s3cret@/run/redis.sock?db=3", "unix://:xxxxx@/run/redis.sock?db=3"},
		{"redis://s3cret:port", "[redacted]"},
	} {
		if got := RedactURL(tenant.Secret(c.url)); got != c.want {
			t.Errorf("RedactURL(%q) = %q, want %q", c.url, got, c.want)
		}
	}
}

// TestPushOnSharedLinkIsNoReply: what a backend pushes on a link where nobody has asked for
// that would be taken for a reply, and each one after it be given to another client.
func TestPushOnSharedLinkIsNoReply(t *testing.T) {
	for _, in := range []string{">2\r\n+x\r\n+y\r\n+1\r\n", ">2\r\n+x\r\n"} {
		l, _, _ := newLink()
		w := &wire{}
		l.Up(w, Hello{})
		var a client
		send(t, l, &a, "A1")
		l.Data([]byte(in))
		if !errors.Is(w.closed, errGarbage) {
			t.Errorf("after %q the connection is closed with %v, want %v", in, w.closed, errGarbage)
		}
		expect(t, "a", &a)
	}
}
