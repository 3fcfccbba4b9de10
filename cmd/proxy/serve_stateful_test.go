package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

// talker is a client that sends commands and reads lines.
type talker struct {
	t testing.TB
	net.Conn
	in *bufio.Reader
}

func talkTo(t testing.TB, addr, key string) *talker {
	t.Helper()
	c := dial(t, addr)
	t.Cleanup(func() { c.Close() })
	x := &talker{t, c, bufio.NewReader(c)}
	x.send("AUTH " + key)
	x.expect("+OK")
	return x
}

func (x *talker) send(lines ...string) {
	x.t.Helper()
	if _, err := x.Write(commands(lines...)); err != nil {
		x.t.Error(err)
	}
}

func (x *talker) line() string {
	s, err := x.in.ReadString('\n')
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "nothing"
	case err != nil:
		return "end"
	}
	return strings.TrimSuffix(s, "\r\n")
}

// expect reads as many lines as it is given.
func (x *talker) expect(lines ...string) {
	x.t.Helper()
	for _, want := range lines {
		if got := x.line(); got != want {
			x.t.Fatalf("got %q, want %q", got, want)
		}
	}
}

// TestLoopingScript has one client's script loop: others are told BUSY, in Redis's words
// whether their links were there before or not, and may kill it.
func TestLoopingScript(t *testing.T) {
	r := startServe(t, testConfig(t))
	server := testbed.Redis(t, "--busy-reply-threshold", "50")
	key := r.tenant(t, "acme", server.Addr, limits(0, 0))
	library := "#!lua name=l\nredis.register_function{function_name='loop',callback=function() while true do end end,flags={'no-writes'}}"
	if err := server.Client().FunctionLoad(t.Context(), library).Err(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		loop, kill string
		linked     bool // before the script runs
	}{
		{"EVAL 'while true do end' 0", "SCRIPT KILL", false},
		{"EVAL 'while true do end' 0", "SCRIPT KILL", true},
		{"FCALL loop 0", "FUNCTION KILL", true},
	} {
		looping, other, elsewhere := talkTo(t, r.addr, key), talkTo(t, r.addr, key), talkTo(t, r.addr, key)
		if c.linked {
			other.send("GET k")
			other.expect("$-1")
		}
		_, _ = io.WriteString(looping, c.loop+"\r\n")
		direct := server.Client()
		testbed.Eventually(t, "the server is busy", func() bool {
			err := direct.Ping(t.Context()).Err()
			return err != nil && strings.HasPrefix(err.Error(), "BUSY ")
		})
		elsewhere.send("SELECT 1", "GET k")
		for range 2 {
			if got := elsewhere.line(); !strings.HasPrefix(got, "-BUSY ") {
				t.Errorf("%s: in another database: %q", c.loop, got)
			}
		}
		other.send("GET k")
		if got := other.line(); !strings.HasPrefix(got, "-BUSY ") {
			t.Errorf("%s: others are told %q", c.loop, got)
		}
		other.send(c.kill)
		other.expect("+OK")
		if got := looping.line(); !strings.HasPrefix(got, "-ERR ") {
			t.Errorf("%s: the looping client got %q", c.kill, got)
		}
		other.send("GET k")
		other.expect("$-1")
	}
}

// TestWhatOperatorsDo gives a key all rules: then MONITOR and DEBUG work, and what makes
// a connection no client's does not.
func TestWhatOperatorsDo(t *testing.T) {
	r := startServe(t, testConfig(t))
	server := testbed.Redis(t, "--enable-debug-command", "yes")
	tenantKey := r.tenant(t, "acme", server.Addr, limits(0, 0))
	key := r.key(t, "acme", func(k *tenant.Key) { k.Name, k.Commands = "operator", "+@all" })
	plain := talkTo(t, r.addr, tenantKey)
	for _, c := range []string{"MONITOR", "SYNC", "PSYNC a 1", "REPLICAOF no one", "SHUTDOWN", "DEBUG SLEEP 0", "SAVE"} {
		plain.send(c)
		name := strings.ToLower(strings.Fields(c)[0])
		if got := plain.line(); !strings.HasPrefix(got, "-NOPERM this key has no permissions to run the '"+name) {
			t.Errorf("%s by a tenant: %q", c, got)
		}
	}
	watching, operator := talkTo(t, r.addr, key), talkTo(t, r.addr, key)
	watching.send("MONITOR")
	watching.expect("+OK")
	operator.send("DEBUG SLEEP 0", "REPLICAOF NO ONE", "SYNC", "READONLY", "SCRIPT DEBUG YES", "SET seen 1")
	operator.expect("+OK", "+OK", "-ERR the 'sync' command is not supported by this proxy", "-ERR the 'readonly' command is not supported by this proxy",
		"-ERR the 'script|debug' command is not supported by this proxy", "+OK")
	for {
		if line := watching.line(); strings.Contains(line, `"SET" "seen" "1"`) {
			break
		} else if !strings.HasPrefix(line, "+") {
			t.Fatalf("MONITOR says %q", line)
		}
	}
	operator.send("SHUTDOWN NOSAVE")
	if got := operator.line(); got != "-ERR backend connection lost: the command may have been executed" {
		t.Errorf("SHUTDOWN: %q", got)
	}
	for line := ""; line != "end"; {
		line = watching.line()
	}
}

// TestManySubscribers has thousands listen, and one of them not read: the others get
// every message, and it is dropped.
func TestManySubscribers(t *testing.T) {
	cfg := testConfig(t)
	cfg.Loops = 4
	r := startServe(t, cfg)
	server := testbed.Redis(t, "--maxclients", "9000")
	key := r.tenant(t, "acme", server.Addr, limits(0, 0))
	const listeners, messages = 2000, 20
	var ready, done sync.WaitGroup
	ready.Add(listeners)
	for range listeners {
		done.Go(func() {
			c := dial(t, r.addr)
			defer c.Close()
			_, _ = c.Write(commands("AUTH "+key, "SUBSCRIBE news"))
			in := bufio.NewReader(c)
			x := &talker{t, c, in}
			got := []string{x.line(), x.line(), x.line(), x.line(), x.line(), x.line(), x.line()}
			ready.Done()
			if strings.Join(got, "|") != "+OK|*3|$9|subscribe|$4|news|:1" {
				t.Errorf("SUBSCRIBE: %q", got)
				return
			}
			for i := range messages {
				want := fmt.Sprintf("*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$%d\r\n%d\r\n", len(fmt.Sprint(i)), i)
				if text := read(t, in, len(want)); text != want {
					t.Errorf("message %d: %q", i, text)
					return
				}
			}
		})
	}
	ready.Wait()
	publisher := talkTo(t, r.addr, key)
	for i := range messages {
		publisher.send(fmt.Sprintf("PUBLISH news %d", i))
		publisher.expect(fmt.Sprintf(":%d", listeners))
	}
	done.Wait()

	deaf, keen := talkTo(t, r.addr, key), talkTo(t, r.addr, key)
	for _, x := range []*talker{deaf, keen} {
		x.send("SUBSCRIBE flood")
		x.expect("*3", "$9", "subscribe", "$5", "flood", ":1")
	}
	_ = deaf.Conn.(*net.TCPConn).SetReadBuffer(4096)
	big := strings.Repeat("x", 1<<20)
	const floods = 80 // MiB, more than a subscriber may leave unread
	got := make(chan error, 1)
	go func() {
		_, err := io.CopyN(io.Discard, keen.in, floods*int64(len(big)))
		got <- err
	}()
	dropped := false
	for range floods {
		publisher.send("PUBLISH flood " + big)
		n := publisher.line()
		dropped = dropped || n == ":1"
	}
	if err := <-got; err != nil {
		t.Errorf("who reads did not get all: %v", err)
	}
	if !dropped {
		t.Error("who does not read was not dropped")
	}
}

// TestBackendLost kills the backend under every kind of session. Those whose connection
// held something are closed, since that is gone; the others go on.
func TestBackendLost(t *testing.T) {
	r := startServe(t, testConfig(t))
	server := testbed.Redis(t)
	key := r.tenant(t, "acme", server.Addr, limits(0, 0))
	lost := "-ERR backend connection lost: the command may have been executed"
	sessions := []struct {
		name  string
		lines []string
		ready int // lines until it waits
		then  []string
	}{
		{"subscribed", []string{"SUBSCRIBE c"}, 6, []string{"end"}},
		{"in a transaction", []string{"MULTI", "SET a 1"}, 2, []string{"end"}},
		{"watching", []string{"WATCH a"}, 1, []string{"end"}},
		{"tracking", []string{"CLIENT TRACKING ON"}, 1, []string{"end"}},
		{"blocked", []string{"BLPOP nothing 0"}, 0, []string{lost}},
		{"idle", []string{"GET a"}, 1, nil},
	}
	var open []*talker
	for _, s := range sessions {
		x := talkTo(t, r.addr, key)
		x.send(s.lines...)
		for range s.ready {
			x.line()
		}
		open = append(open, x)
	}
	admin := server.Client()
	testbed.Eventually(t, "one is blocked", func() bool {
		return strings.Contains(admin.Info(t.Context(), "clients").Val(), "blocked_clients:1\r")
	})
	server.Kill()
	for i, s := range sessions {
		for _, want := range s.then {
			if got := open[i].line(); got != want {
				t.Errorf("%s: got %q, want %q", s.name, got, want)
			}
		}
	}
	server.Start()
	for i, s := range sessions {
		if len(s.then) > 0 && s.then[0] == "end" {
			continue
		}
		testbed.Eventually(t, s.name+": it goes on", func() bool {
			open[i].send("PING")
			return open[i].line() == "+PONG"
		})
	}
}

// TestClientsOnAllLoops has sessions on four loops see, hold up, unblock and kill each
// other.
func TestClientsOnAllLoops(t *testing.T) {
	cfg := testConfig(t)
	cfg.Loops = 4
	r := startServe(t, cfg)
	key := r.tenant(t, "acme", testbed.Redis(t).Addr, limits(0, 0))
	var all []*talker
	var ids []string
	for range 8 {
		x := talkTo(t, r.addr, key)
		x.send("CLIENT ID")
		ids = append(ids, strings.TrimPrefix(x.line(), ":"))
		all = append(all, x)
	}
	one := all[0]
	one.send("CLIENT LIST")
	one.line()
	for _, id := range ids {
		if line := one.line(); !strings.HasPrefix(line, "id="+id+" ") {
			t.Errorf("CLIENT LIST has %q, want client %s", line, id)
		}
	}
	one.expect("")

	for _, x := range all[1:] {
		x.send("BLPOP nothing 0")
	}
	for i, x := range all[1:] {
		testbed.Eventually(t, "it is unblocked", func() bool {
			one.send("CLIENT UNBLOCK " + ids[i+1])
			return one.line() == ":1"
		})
		x.expect("*-1")
	}

	one.send("CLIENT PAUSE 60000")
	one.expect("+OK")
	for _, x := range all[1:] {
		x.send("PING")
	}
	one.send("CLIENT UNPAUSE")
	one.expect("+OK")
	for _, x := range all[1:] {
		x.expect("+PONG")
	}

	one.send("CLIENT KILL TYPE normal")
	one.expect(":7")
	for _, x := range all[1:] {
		x.expect("end")
	}
}

// TestWaitingIsNoLatency has a command wait: its time is in no histogram.
func TestWaitingIsNoLatency(t *testing.T) {
	r := startServe(t, testConfig(t))
	key := r.tenant(t, "acme", testbed.Redis(t).Addr, limits(0, 0))
	x := talkTo(t, r.addr, key)
	x.send("BLPOP nothing 0.3", "XREAD BLOCK 300 STREAMS nothing $", "WAIT 1 300", "MULTI", "EXEC")
	x.expect("*-1", "*-1", ":0", "+OK", "*0")
	for series, want := range map[string]float64{
		`redis_commands_total{command="blpop"`: 1, `redis_command_duration_seconds_count{command="blpop"`: 0,
		`redis_command_duration_seconds_count{command="xread"`: 0, `redis_command_duration_seconds_count{command="wait"`: 0,
		`redis_tenant_duration_seconds_count{phase="backend"`: 2,
	} {
		if got := r.metric(t, series); got != want {
			t.Errorf("%s} is %v, want %v", series, got, want)
		}
	}
}

// TestFrozenBackend stops a backend where it is: links that owe something and are silent
// are given up, blocked ones too, as soon as the backend does not answer elsewhere either.
// A backend that answers keeps its blocked clients for as long as they like.
func TestFrozenBackend(t *testing.T) {
	cfg := testConfig(t)
	cfg.Pool.StallTimeout, cfg.Pool.DialTimeout = time.Second, 2*time.Second
	r := startServe(t, cfg)
	server := testbed.Redis(t)
	key := r.tenant(t, "acme", server.Addr, limits(0, 0))
	plain, blocked, transaction := talkTo(t, r.addr, key), talkTo(t, r.addr, key), talkTo(t, r.addr, key)
	blocked.send("BLPOP nothing 4")
	blocked.expect("*-1") // though it was silent for longer than that
	blocked.send("BLPOP nothing 0")
	plain.send("PING")
	plain.expect("+PONG")
	transaction.send("MULTI")
	transaction.expect("+OK")
	server.Freeze()
	plain.send("PING")
	transaction.send("SET a 1")
	const lost = "-ERR backend connection lost: the command may have been executed"
	plain.expect(lost)
	transaction.expect(lost, "end")
	blocked.expect(lost)
	server.Thaw()
	testbed.Eventually(t, "it is used again", func() bool {
		plain.send("PING")
		return plain.line() == "+PONG"
	})
}
