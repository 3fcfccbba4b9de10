package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/resp"
)

// commands writes lines as commands.
func commands(lines ...string) (b []byte) {
	for _, line := range lines {
		b = resp.AppendCommand(b, strings.Fields(line)...)
	}
	return b
}

// stateful are conversations that leave something behind in a connection when they are
// not ended.
var stateful = [][]string{
	{"MULTI", "SET k 1", "INCR k", "EXEC", "GET k"},
	{"WATCH k w", "GET k", "MULTI", "SET k 2", "EXEC"},
	{"WATCH k", "SELECT 3", "SET k 3", "UNWATCH", "SELECT 0"},
	{"SELECT 2", "MULTI", "SELECT 1", "SET k x", "DISCARD"},
	{"BLPOP nothing 0"},
	{"XREAD BLOCK 0 STREAMS nothing $"},
	{"SUBSCRIBE a b", "PSUBSCRIBE c*", "UNSUBSCRIBE", "PUNSUBSCRIBE", "GET k"},
	{"SSUBSCRIBE a", "PING"},
	{"HELLO 3", "CLIENT TRACKING ON", "GET k", "SET k 1", "CLIENT TRACKING OFF"},
	{"HELLO 3", "SUBSCRIBE a", "GET k", "MULTI", "GET k", "EXEC"},
	{"CLIENT REPLY OFF", "MULTI", "SET k 1", "EXEC"},
	{"EVAL return(redis.call('incr','n')) 0", "WAIT 0 0", "NOSUCH k"},
}

// TestClientsThatVanish cuts stateful conversations off at 10,000 random points. Every
// link is clean afterwards: what was begun on it is over, and nobody gets what is not his.
func TestClientsThatVanish(t *testing.T) {
	cfg := testConfig(t)
	cfg.Loops = 4
	r := startServe(t, cfg)
	server := testbed.Redis(t)
	key := r.tenant(t, "acme", server.Addr, limits(0, 0))
	const clients, workers = 10_000, 25
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range clients / workers {
				vanish(t, r.addr, key)
			}
		})
	}
	wg.Wait()
	admin := server.Client()
	for _, left := range []struct {
		what string
		some func() bool
	}{
		{"clients", func() bool { return r.metric(t, "client_connections") > 0 }},
		{"blocked connections", func() bool { return !strings.Contains(admin.Info(t.Context(), "clients").Val(), "blocked_clients:0\r") }},
		{"tracking connections", func() bool {
			return !strings.Contains(admin.Info(t.Context(), "clients").Val(), "tracking_clients:0\r")
		}},
		{"subscribers' links", func() bool { return r.metric(t, `redis_connections_active{kind="subscriber"`) > 0 }},
	} {
		testbed.Within(t, 20*time.Second, "there are no "+left.what+" any more", func() bool { return !left.some() })
	}
	if pinned := r.metric(t, `redis_connections_active{kind="pinned"`); pinned > float64(cfg.Pool.PinnedMax) {
		t.Errorf("%v pinned links are open", pinned)
	}
	channels, err := admin.PubSubChannels(t.Context(), "*").Result()
	if err != nil || len(channels) > 0 {
		t.Errorf("still subscribed: %v, %v", channels, err)
	}
	// Each kept link serves a transaction as if it were new.
	admin.FlushAll(t.Context())
	for i := range 200 {
		got := talk(t, r.addr, "AUTH "+key+"\r\nGET k\r\nMULTI\r\nECHO "+fmt.Sprint(i)+"\r\nEXEC\r\nGET k\r\nQUIT\r\n")
		if want := fmt.Sprintf("+OK|$-1|+OK|+QUEUED|*1|$%d|%d|$-1|+OK|", len(fmt.Sprint(i)), i); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
}

// vanish has a part of a conversation, reads a little and goes, politely or not.
func vanish(t *testing.T, addr, key string) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(testbed.Patience))
	lines := stateful[rand.IntN(len(stateful))]
	if rand.IntN(2) == 0 {
		_ = c.(*net.TCPConn).SetLinger(0)
	}
	b := commands(lines...)
	b = append(commands("AUTH "+key), b[:rand.IntN(len(b)+1)]...)
	_, _ = c.Write(b)
	answer := make([]byte, 5)
	if _, err := io.ReadFull(c, answer); err != nil || string(answer) != "+OK\r\n" {
		t.Errorf("AUTH: %q, %v", answer, err)
	}
	if rand.IntN(2) == 0 {
		_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
		_, _ = c.Read(make([]byte, 1+rand.IntN(100)))
	}
}

// TestNoPinnedLinkLeft takes all links for transactions and blocking commands: who wants
// one more waits, and then is told; others do not notice.
func TestNoPinnedLinkLeft(t *testing.T) {
	cfg := testConfig(t)
	cfg.Loops, cfg.Pool.PinnedMax, cfg.Pool.PinnedWait = 4, 3, time.Second
	r := startServe(t, cfg)
	server := testbed.Redis(t)
	key := r.tenant(t, "acme", server.Addr, limits(0, 0))
	var blocked []net.Conn
	for range cfg.Pool.PinnedMax {
		c := dial(t, r.addr)
		defer c.Close()
		_, _ = c.Write(commands("AUTH "+key, "BLPOP queue 0"))
		blocked = append(blocked, c)
	}
	admin := server.Client()
	testbed.Eventually(t, "all links are taken", func() bool {
		return strings.Contains(admin.Info(t.Context(), "clients").Val(), fmt.Sprintf("blocked_clients:%d\r", cfg.Pool.PinnedMax))
	})
	began := time.Now()
	busy := "-ERR backend unavailable: all connections for transactions and blocking commands are in use|"
	none := "-EXECABORT Transaction not begun: MULTI was refused. EXEC or DISCARD ends this state.|"
	got := talk(t, r.addr, "AUTH "+key+"\r\nMULTI\r\nSET a 1\r\nSELECT 1\r\nEXEC\r\nGET a\r\nBLPOP x 1\r\nQUIT\r\n")
	if want := "+OK|" + busy + none + none + "-EXECABORT Transaction discarded because of previous errors.|$-1|" + busy + "+OK|"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if took := time.Since(began); took < 2*cfg.Pool.PinnedWait || took > 5*time.Second {
		t.Errorf("it waited for %v", took)
	}
	if got := talk(t, r.addr, "AUTH "+key+"\r\nWATCH a\r\nMULTI\r\nSET a 1\r\nEXEC\r\nQUIT\r\n"); !strings.HasPrefix(got, "+OK|"+busy+busy) {
		t.Errorf("a WATCH got %s", got)
	}
	for _, c := range blocked[:2] {
		_ = c.Close()
	}
	if got := talk(t, r.addr, "AUTH "+key+"\r\nMULTI\r\nSET a 1\r\nEXEC\r\nQUIT\r\n"); got != "+OK|+OK|+QUEUED|*1|+OK|+OK|" {
		t.Errorf("with a link free again: %s", got)
	}
}

// TestPinnedLinksGoRound has more clients than links, on all loops: each gets its turn.
func TestPinnedLinksGoRound(t *testing.T) {
	cfg := testConfig(t)
	cfg.Loops, cfg.Pool.PinnedMax, cfg.Pool.PinnedWait = 4, 2, time.Hour
	r := startServe(t, cfg)
	key := r.tenant(t, "acme", testbed.Redis(t).Addr, limits(0, 0))
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			c := dial(t, r.addr)
			defer c.Close()
			_, _ = c.Write(commands("AUTH " + key))
			read(t, c, 5)
			for range 10 {
				_, _ = c.Write(commands("MULTI", "INCR n", "DECR n", "EXEC", "BLPOP nothing 0.001"))
				read(t, c, len("+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n:0\r\n*-1\r\n"))
			}
		})
	}
	wg.Wait()
	if dials := r.metric(t, `redis_connection_attempts_total{result="ok"`); dials > 100 {
		t.Errorf("%v connections were made for 120 transactions", dials)
	}
}

// TestManyDatabases has clients in more databases than there may be shared links: all are
// served, in the right one.
func TestManyDatabases(t *testing.T) {
	r := startServe(t, testConfig(t))
	key := r.tenant(t, "acme", testbed.Redis(t, "--databases", "500").Addr, limits(0, 0))
	const databases = 150
	var open []*talker
	for db := range databases {
		x := talkTo(t, r.addr, key)
		x.send(fmt.Sprintf("SELECT %d", db), fmt.Sprintf("SET who %d", db), "PING")
		x.expect("+OK", "+OK", "+PONG")
		open = append(open, x)
	}
	for db, x := range open {
		want := fmt.Sprint(db)
		x.send("GET who")
		x.expect("$"+fmt.Sprint(len(want)), want)
	}
	if links := r.metric(t, `redis_connections_active{kind="shared"`); links > 64 {
		t.Errorf("%v shared links are open", links)
	}
}
