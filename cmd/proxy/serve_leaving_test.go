package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// TestHalfClose has clients say that no more comes, and then read: they get what is
// answered, and nothing is lost on the way.
func TestHalfClose(t *testing.T) {
	r := startServe(t, testConfig(t))
	server := testbed.Redis(t)
	key := r.tenant(t, "acme", server.Addr, limits(0, 0))
	big := strings.Repeat("x", 3<<20)
	for _, c := range []struct{ name, in, want string }{
		{"a large value", "*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$3145728\r\n" + big + "\r\nSTRLEN big\r\n", "+OK|+OK|:3145728|"},
		{"a wait that is none", "RPUSH l x\r\nBLPOP l 1\r\n", "+OK|:1|*2|$1|l|$1|x|"},
		{"WAIT", "SET a b\r\nWAIT 0 0\r\n", "+OK|+OK|:0|"},
		{"a pipeline with waits", "BLPOP none 0.01\r\nGET a\r\nMULTI\r\nGET a\r\nEXEC\r\n", "+OK|*-1|$1|b|+OK|+QUEUED|*1|$1|b|"},
	} {
		if got := send(t, r.addr, "AUTH "+key+"\r\n"+c.in); got != c.want {
			t.Errorf("%s: got %.200q, want %q", c.name, got, c.want)
		}
	}
	began := time.Now()
	if got := send(t, r.addr, "AUTH "+key+"\r\nBLPOP none 0\r\n"); !strings.HasPrefix(got, "+OK|") || time.Since(began) > 5*time.Second {
		t.Errorf("a wait for ever: %q after %v", got, time.Since(began))
	}
}

// TestGhosts has clients leave while they wait for a link, or are held up by CLIENT PAUSE:
// none goes on without them.
func TestGhosts(t *testing.T) {
	cfg := testConfig(t)
	cfg.Pool.PinnedMax, cfg.Pool.PinnedWait = 1, time.Hour
	r := startServe(t, cfg)
	server := testbed.Redis(t)
	key := r.tenant(t, "acme", server.Addr, limits(0, 0))
	holder, other := talkTo(t, r.addr, key), talkTo(t, r.addr, key)
	holder.send("WATCH a")
	holder.expect("+OK")
	ghost := talkTo(t, r.addr, key)
	ghost.send("BLPOP queue 0", "CLIENT GETNAME")
	ghost.Close()
	testbed.Eventually(t, "two are left but the one that talks", func() bool {
		return r.metric(t, "client_connections") >= 2
	})
	holder.send("UNWATCH")
	holder.expect("+OK")
	for range 50 { // with the wait, and at the same moment as it
		c := talkTo(t, r.addr, key)
		c.send("BLPOP queue 0", "BLPOP other 0")
		c.Close()
	}
	testbed.Within(t, 5*time.Second, "the ghost is gone", func() bool { return r.metric(t, "client_connections") == 2 })
	other.send("RPUSH queue job", "LLEN queue")
	other.expect(":1", ":1")

	other.send("CLIENT PAUSE 600000")
	other.expect("+OK")
	left, revoked := talkTo(t, r.addr, key), talkTo(t, r.addr, r.key(t, "acme", func(k *tenant.Key) { k.Name = "revoked" }))
	left.send("GET a")
	revoked.send("GET a")
	left.Close()
	testbed.Within(t, 5*time.Second, "who has left is gone", func() bool { return r.metric(t, "client_connections") == 3 })
	keys, err := r.store.Keys(t.Context(), "acme", store.Page{})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if k.Name == "revoked" {
			if _, err := r.store.RevokeKey(t.Context(), k.ID, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = revoked.SetDeadline(time.Now().Add(2 * time.Second))
	revoked.expect("end")
}

// TestFullLinkLost kills a backend that has taken no more bytes, with a transaction's
// client waiting for room: it is told, and closed.
func TestFullLinkLost(t *testing.T) {
	r := startServe(t, testConfig(t))
	server := testbed.Redis(t)
	key := r.tenant(t, "acme", server.Addr, limits(0, 0))
	x := talkTo(t, r.addr, key)
	x.send("MULTI")
	x.expect("+OK")
	server.Freeze()
	go func() {
		set := fmt.Appendf(nil, "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$500000\r\n%s\r\n", bytes.Repeat([]byte("x"), 500_000))
		for range 60 {
			if _, err := x.Write(set); err != nil {
				return
			}
		}
	}()
	testbed.Eventually(t, "the link is full", func() bool {
		before := r.metric(t, `client_bytes_total{direction="in"`)
		<-time.After(300 * time.Millisecond)
		return before > 5e6 && r.metric(t, `client_bytes_total{direction="in"`) == before
	})
	server.Kill()
	_ = x.SetDeadline(time.Now().Add(10 * time.Second))
	rest, err := io.ReadAll(x.in)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it is not closed: %v", err)
	}
	if !bytes.HasPrefix(rest, []byte("-ERR backend connection lost")) {
		t.Errorf("it got %.100q", rest)
	}
}

// TestMovedInstance gives an instance another address: who holds something there is
// disconnected, the others move.
func TestMovedInstance(t *testing.T) {
	r := startServe(t, testConfig(t))
	old, other := testbed.Redis(t), testbed.Redis(t)
	key := r.tenant(t, "acme", old.Addr, limits(0, 0))
	bound := map[string]*talker{}
	for name, lines := range map[string][]string{"a transaction": {"MULTI"}, "a watch": {"WATCH a"}, "tracking": {"CLIENT TRACKING ON"}, "a subscription": {"SUBSCRIBE c"}} {
		x := talkTo(t, r.addr, key)
		x.send(lines...)
		x.line()
		if name == "a subscription" {
			x.expect("$9", "subscribe", "$1", "c", ":1")
		}
		bound[name] = x
	}
	plain := talkTo(t, r.addr, key)
	plain.send("SET where old")
	plain.expect("+OK")
	if _, err := r.store.UpdateInstance(t.Context(), "acme", "cache", at(tenant.Secret("redis://"+other.Addr))); err != nil {
		t.Fatal(err)
	}
	for name, x := range bound {
		_ = x.SetDeadline(time.Now().Add(2 * time.Second))
		if got := x.line(); got != "end" {
			t.Errorf("%s: got %q, want its end", name, got)
		}
	}
	plain.send("GET where")
	plain.expect("$-1")
}

// TestOtherInstanceWhileBound has a client turn to another instance while it holds
// something in the first: it is told that this cannot be.
func TestOtherInstanceWhileBound(t *testing.T) {
	r := startServe(t, testConfig(t))
	r.tenant(t, "acme", testbed.Redis(t).Addr, limits(0, 0))
	if _, err := r.store.CreateInstance(t.Context(), tenant.Instance{Org: "acme", Name: "second", URL: tenant.Secret("redis://" + testbed.Redis(t).Addr)}); err != nil {
		t.Fatal(err)
	}
	key := r.key(t, "acme", func(k *tenant.Key) { k.Name, k.Instances = "both", []string{"cache", "second"} })
	x := talkTo(t, r.addr, key)
	x.send("WATCH a", "AUTH second "+key, "AUTH "+key, "UNWATCH", "AUTH second "+key, "PING")
	x.expect("+OK", "-ERR the instance cannot change while keys are watched or tracked, channels subscribed or a transaction is open", "+OK", "+OK", "+OK", "+PONG")
}

// TestMonitorAndOthers has a client that monitors send other commands.
func TestMonitorAndOthers(t *testing.T) {
	r := startServe(t, testConfig(t))
	r.tenant(t, "acme", testbed.Redis(t).Addr, limits(0, 0))
	key := r.key(t, "acme", func(k *tenant.Key) { k.Name, k.Commands = "operator", "+@all" })
	for _, c := range []struct{ in, want string }{
		{"MONITOR\r\nPING\r\nQUIT\r\n", "+OK|+PONG|+OK|"},
		{"MONITOR\r\nMONITOR\r\nCLIENT GETNAME\r\nECHO x\r\nRESET\r\nQUIT\r\n", "+OK|$-1|$1|x|+RESET|+OK|"},
	} {
		var kept []string
		for part := range strings.SplitSeq(talk(t, r.addr, "AUTH "+key+"\r\n"+c.in), "|") {
			if len(part) < 2 || part[0] != '+' || part[1] < '0' || part[1] > '9' {
				kept = append(kept, part)
			}
		}
		if got := strings.Join(kept, "|"); got != "+OK|"+c.want {
			t.Errorf("%q: got %s, want +OK|%s", c.in, got, c.want)
		}
	}
}

// TestMonitorRefusedByTheBackend asks twice in one pipe for what the backend does not give:
// each is answered, and the link is nobody's afterwards.
func TestMonitorRefusedByTheBackend(t *testing.T) {
	r := startServe(t, testConfig(t))
	server := testbed.Redis(t)
	if err := server.Client().Do(t.Context(), "ACL", "SETUSER", "default", "-monitor").Err(); err != nil {
		t.Fatal(err)
	}
	r.tenant(t, "acme", server.Addr, limits(0, 0))
	key := r.key(t, "acme", func(k *tenant.Key) { k.Name, k.Commands = "operator", "+@all" })
	const refused = "-NOPERM this user has no permissions to run the 'monitor' command|"
	if got := talk(t, r.addr, "AUTH "+key+"\r\nMONITOR\r\nMONITOR\r\nPING\r\nQUIT\r\n"); got != "+OK|"+refused+refused+"+PONG|+OK|" {
		t.Errorf("got %s", got)
	}
}

// TestWhatTakesALink counts who keeps a link of his own: not who only says what needs none.
func TestWhatTakesALink(t *testing.T) {
	cfg := testConfig(t)
	cfg.Pool.PinnedMax, cfg.Pool.PinnedWait = 2, time.Hour
	r := startServe(t, cfg)
	key := r.tenant(t, "acme", testbed.Redis(t).Addr, limits(0, 0))
	transaction := func(what string) {
		t.Helper()
		if got := talk(t, r.addr, "AUTH "+key+"\r\nMULTI\r\nEXEC\r\nQUIT\r\n"); got != "+OK|+OK|*0|+OK|" {
			t.Errorf("a transaction beside clients that %s: %s", what, got)
		}
	}
	for _, line := range []string{"CLIENT TRACKING OFF", "CLIENT TRACKING bogus", "CLIENT TRACKING bogus|CLIENT TRACKING bogus", "CLIENT NO-TOUCH ON", "CLIENT TRACKING ON REDIRECT 12345678"} {
		for range 4 {
			x := talkTo(t, r.addr, key)
			for part := range strings.SplitSeq(line, "|") {
				x.send(part)
			}
			for range 1 + strings.Count(line, "|") {
				x.line()
			}
		}
		transaction("said " + line)
	}
	for range 2 {
		x := talkTo(t, r.addr, key)
		x.send("CLIENT TRACKING ON", "CLIENT TRACKING OFF", "PING")
		x.expect("+OK", "+OK", "+PONG")
	}
	transaction("tracked keys once")

	var holders []*talker
	for range 2 {
		x := talkTo(t, r.addr, key)
		x.send("WATCH a")
		x.expect("+OK")
		holders = append(holders, x)
	}
	plain := talkTo(t, r.addr, key) // whose SELECT does not wait for one of them
	plain.send("SELECT 3", "SELECT 99", "SELECT 4")
	plain.expect("+OK", "-ERR DB index is out of range", "+OK")
	holders[0].send("UNWATCH")
}

// TestTrackingReadsMuch has a client that tracks keys read more at once than one that is
// pushed to may leave unread.
func TestTrackingReadsMuch(t *testing.T) {
	r := startServe(t, testConfig(t))
	server := testbed.Redis(t)
	key := r.tenant(t, "acme", server.Addr, limits(0, 0))
	const size = 64 << 20
	if err := server.Client().Set(t.Context(), "big", strings.Repeat("x", size), 0).Err(); err != nil {
		t.Fatal(err)
	}
	x := talkTo(t, r.addr, key)
	x.send("CLIENT TRACKING ON", "GET big")
	x.expect("+OK", fmt.Sprintf("$%d", size))
	if n, err := io.CopyN(io.Discard, x.in, size+2); err != nil {
		t.Errorf("%d of %d bytes came: %v", n, size, err)
	}
}
