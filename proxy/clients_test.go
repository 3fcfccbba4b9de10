package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/resp"
)

// caller is a client that sends a command and reads its reply.
type caller struct {
	t testing.TB
	net.Conn
	in *bufio.Reader
}

func dialAs(t testing.TB, addr, key string) *caller {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(testbed.Patience))
	caller := &caller{t, c, bufio.NewReader(c)}
	if got := caller.do("AUTH", key); got != "+OK|" {
		t.Fatalf("AUTH: %s", got)
	}
	return caller
}

func (c *caller) send(args ...string) {
	c.t.Helper()
	if _, err := c.Write(resp.AppendCommand(nil, args...)); err != nil {
		c.t.Fatal(err)
	}
}

// next reads one reply, or "end" when the connection has ended.
func (c *caller) next() string {
	c.t.Helper()
	var got []byte
	for {
		b, err := c.in.ReadByte()
		if err != nil {
			if errors.Is(err, net.ErrClosed) || len(got) > 0 {
				c.t.Fatalf("after %q: %v", got, err)
			}
			return "end"
		}
		got = append(got, b)
		// Errors are framed whole only.
		var whole resp.ReplyFramer
		if _, done, err := whole.Next(got); done || err != nil {
			return strings.ReplaceAll(string(got), "\r\n", "|")
		}
	}
}

func (c *caller) do(args ...string) string {
	c.t.Helper()
	c.send(args...)
	return c.next()
}

func (c *caller) id() string { return strings.Trim(c.do("CLIENT", "ID"), ":|") }

// TestClientsOfAnInstance has sessions look at each other, as far as they are of the same
// instance.
func TestClientsOfAnInstance(t *testing.T) {
	st := fixed{}
	server := testbed.Redis(t)
	key, other := st.grant("acme", server.Addr, 0, ""), st.grant("globex", server.Addr, 0, "")
	addr := startProxy(t, st)
	a, b, stranger := dialAs(t, addr, key), dialAs(t, addr, key), dialAs(t, addr, other)
	ida, idb, ids := a.id(), b.id(), stranger.id()
	list := func(args ...string) (ids []string) {
		for line := range strings.Lines(strings.ReplaceAll(a.do(append([]string{"CLIENT", "LIST"}, args...)...), "|", "\n")) {
			if id, ok := strings.CutPrefix(line, "id="); ok {
				id, _, _ = strings.Cut(id, " ")
				ids = append(ids, id)
			}
		}
		return ids
	}
	expect := func(what string, got, want any) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	expect("LIST", list(), []string{ida, idb})
	expect("LIST ID", list("ID", idb, ids), []string{idb})
	expect("SUBSCRIBE", b.do("SUBSCRIBE", "c"), "*3|$9|subscribe|$1|c|:1|")
	expect("LIST TYPE", list("TYPE", "pubsub"), []string{idb})
	expect("KILL of a stranger", a.do("CLIENT", "KILL", "ID", ids), ":0|")
	expect("KILL of a subscriber", a.do("CLIENT", "KILL", "TYPE", "pubsub"), ":1|")
	expect("it has ended", b.next(), "end")
	expect("the stranger goes on", stranger.do("PING"), "+PONG|")

	c := dialAs(t, addr, key)
	idc := c.id()
	c.send("BLPOP", "queue", "0")
	testbed.Eventually(t, "it is blocked", func() bool {
		return strings.Contains(a.do("CLIENT", "LIST", "ID", idc), " flags=b ")
	})
	expect("UNBLOCK of a stranger", stranger.do("CLIENT", "UNBLOCK", idc), ":0|")
	expect("UNBLOCK", a.do("CLIENT", "UNBLOCK", idc), ":1|")
	expect("it goes on", c.next(), "*-1|")
	c.send("BLPOP", "queue", "0")
	testbed.Eventually(t, "it is unblocked with an error", func() bool {
		return a.do("CLIENT", "UNBLOCK", idc, "ERROR") == ":1|"
	})
	expect("it is told", c.next(), "-UNBLOCKED client unblocked via CLIENT UNBLOCK|")

	expect("PAUSE", a.do("CLIENT", "PAUSE", "10000", "WRITE"), "+OK|")
	expect("reading goes on", c.do("GET", "x"), "$-1|")
	c.send("SET", "x", "1")
	expect("nothing is written", a.do("GET", "x"), "$-1|")
	expect("the stranger writes", stranger.do("SET", "y", "1"), "+OK|")
	expect("UNPAUSE", a.do("CLIENT", "UNPAUSE"), "+OK|")
	expect("it is written", c.next(), "+OK|")
	expect("PAUSE ALL", a.do("CLIENT", "PAUSE", "50"), "+OK|")
	expect("it ends by itself", c.do("GET", "x"), "$1|1|")
	expect("KILL of oneself", a.do("CLIENT", "KILL", "ID", ida, "SKIPME", "no"), ":1|")
	expect("that ends it", a.next(), "end")
}

// TestTrackingRedirect sends the invalidations of one client to another, by its id here.
func TestTrackingRedirect(t *testing.T) {
	st := fixed{}
	server := testbed.Redis(t)
	key := st.grant("acme", server.Addr, 0, "")
	addr := startProxy(t, st)
	listener, reader := dialAs(t, addr, key), dialAs(t, addr, key)
	id := listener.id()
	if got := listener.do("SUBSCRIBE", "__redis__:invalidate"); !strings.HasSuffix(got, ":1|") {
		t.Fatal(got)
	}
	for _, c := range []struct{ in, want string }{
		{"CLIENT TRACKING ON REDIRECT 424242", "-ERR The client ID you want redirect to does not exist|"},
		{"CLIENT TRACKING ON REDIRECT " + id, "+OK|"},
		{"CLIENT GETREDIR", ":" + id + "|"},
		{"CLIENT TRACKINGINFO", "*6|$5|flags|*1|$2|on|$8|redirect|:" + id + "|$8|prefixes|*0|"},
		{"GET a", "$-1|"},
		{"SET a 1", "+OK|"},
	} {
		if got := reader.do(strings.Fields(c.in)...); got != c.want {
			t.Errorf("%s: got %s, want %s", c.in, got, c.want)
		}
	}
	if got, want := listener.next(), "*3|$7|message|$20|__redis__:invalidate|*1|$1|a|"; got != want {
		t.Errorf("the listener got %s, want %s", got, want)
	}
}

// TestCommandTellsTheTruth asks COMMAND for what a key may run.
func TestCommandTellsTheTruth(t *testing.T) {
	st := fixed{}
	key := st.grant("acme", testbed.Redis(t).Addr, 0, "+get +config|get +command +sync")
	c := testbed.Client(t, &redis.Options{Addr: startProxy(t, st), Password: key, DisableIdentity: true})
	ctx := context.Background()
	names, err := c.Do(ctx, "COMMAND", "LIST").StringSlice()
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	// The server's 7.0 lists subcommands too.
	names = slices.DeleteFunc(names, func(n string) bool {
		return strings.HasPrefix(n, "client|") || strings.HasPrefix(n, "command|") || strings.HasPrefix(n, "slowlog|")
	})
	if want := "auth client command config config|get get hello quit reset slowlog"; strings.Join(names, " ") != want {
		t.Errorf("COMMAND LIST says %v, want %s", names, want)
	}
	all, err := c.Command(ctx).Result()
	if err != nil || all["get"] == nil || all["set"] != nil || all["sync"] != nil {
		t.Errorf("COMMAND says %d commands, %v", len(all), err)
	}
	if n, err := c.Do(ctx, "COMMAND", "COUNT").Int(); err != nil || n != len(all) {
		t.Errorf("COMMAND COUNT says %d, %v, want %d", n, err, len(all))
	}
	info, err := c.Do(ctx, "COMMAND", "INFO", "set", "get", "config").Slice()
	if err != nil || len(info) != 3 || info[0] != nil || info[1] == nil || info[2] == nil {
		t.Fatalf("COMMAND INFO says %v, %v", info, err)
	}
	subs := fmt.Sprint(info[2].([]any)[9])
	if !strings.Contains(subs, "config|get") || strings.Contains(subs, "config|set") {
		t.Errorf("COMMAND INFO config has %s", subs)
	}
	docs, err := c.Do(ctx, "COMMAND", "DOCS", "set", "get").Result()
	if m, ok := docs.(map[any]any); err != nil || !ok || len(m) != 1 || m["get"] == nil {
		t.Errorf("COMMAND DOCS says %T, %v", docs, err)
	}
}

// TestSelectFollows has a client choose a database on a link of its own, and go on over
// shared ones, waiting for each reply.
func TestSelectFollows(t *testing.T) {
	st := fixed{}
	server := testbed.Redis(t)
	key := st.grant("acme", server.Addr, 0, "")
	addr := startProxy(t, st)
	for name, lines := range map[string][]string{
		"watching":         {"WATCH a", "SELECT 3", "UNWATCH"},
		"in a transaction": {"MULTI", "SELECT 3", "EXEC"},
	} {
		c := dialAs(t, addr, key)
		c.do("GET", "a")
		c.do("EVAL", "return 1", "0")
		for _, line := range lines {
			c.do(strings.Fields(line)...)
		}
		c.do("SET", "where", name)
		if got := server.Client().Get(t.Context(), "where").Val(); got != "" {
			t.Errorf("%s: SET went to database 0", name)
		}
		if got, want := c.do("EVAL", "return redis.call('get', 'where')", "0"), fmt.Sprintf("$%d|%s|", len(name), name); got != want {
			t.Errorf("%s: a script got %s, want %s", name, got, want)
		}
		server.Client().FlushAll(t.Context())
	}
}

// TestRefusedInTransaction has the proxy refuse something that a transaction is made of:
// nothing of it is done.
func TestRefusedInTransaction(t *testing.T) {
	st := fixed{}
	server := testbed.Redis(t)
	reader := st.grant("acme", server.Addr, 0, "+@read +@transaction +incr +client")
	var slow [4]string // a key for each, since each uses its limit up
	for i := range slow {
		slow[i] = st.grant("globex", server.Addr, 4, "")
	}
	addr := startProxy(t, st)
	const abort = "-EXECABORT Transaction discarded because of previous errors.|"
	for _, c := range []struct{ name, key, in, want string }{
		{"a rule", reader, "MULTI|INCR n|SET a 1|GET a|EXEC|GET n", "+OK|+QUEUED|-NOPERM this key has no permissions to run the 'set' command|+QUEUED|" + abort + "$-1|"},
		{"a rule about WATCH's opposite", reader, "WATCH a|MULTI|SET a 1|DISCARD|GET n", "+OK|+OK|-NOPERM this key has no permissions to run the 'set' command|+OK|$-1|"},
		{"what is answered here", reader, "MULTI|CLIENT ID|INCR n|EXEC|GET n", "+OK|-ERR the 'client|id' command is not possible inside a transaction here|+QUEUED|" + abort + "$-1|"},
		{"SUBSCRIBE", reader, "MULTI|SUBSCRIBE c|INCR n|EXEC|GET n", "+OK|-NOPERM this key has no permissions to run the 'subscribe' command|+QUEUED|" + abort + "$-1|"},
		{"the limit", slow[0], "MULTI|INCR n|INCR n|INCR n|INCR n|EXEC", "+OK|+QUEUED|+QUEUED|+QUEUED|-RATELIMIT 4 commands/s exceeded for this key, retry after N ms|" + abort},
		{"the limit, at MULTI", slow[1], "PING|PING|PING|PING|MULTI|INCR n|SELECT 1|EXEC|EXEC",
			"+PONG|+PONG|+PONG|+PONG|-RATELIMIT 4 commands/s exceeded for this key, retry after N ms|" +
				"-RATELIMIT 4 commands/s exceeded for this key, retry after N ms|" + strings.ReplaceAll(string(notBegun), "\r\n", "|") + abort + "-ERR EXEC without MULTI|"},
		{"the limit, of what asks others or the backend", slow[2], "CLIENT LIST TYPE pubsub|CLIENT TRACKINGINFO|CLIENT GETREDIR|CLIENT TRACKING OFF|CLIENT TRACKINGINFO|CLIENT GETNAME",
			"$0||*6|$5|flags|*1|$3|off|$8|redirect|:-1|$8|prefixes|*0|:-1|+OK|-RATELIMIT 4 commands/s exceeded for this key, retry after N ms|$-1|"},
		{"the limit, at WATCH", slow[3], "PING|PING|PING|PING|WATCH a|UNWATCH", "+PONG|+PONG|+PONG|+PONG|-RATELIMIT 4 commands/s exceeded for this key, retry after N ms|+OK|"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := talk(t, addr, "AUTH "+c.key+"\r\n"+strings.ReplaceAll(c.in, "|", "\r\n")+"\r\nQUIT\r\n")
			got = regexp.MustCompile(`after \d+ ms`).ReplaceAllString(got, "after N ms")
			if want := "+OK|" + c.want + "+OK|"; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}
