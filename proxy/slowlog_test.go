package proxy

import (
	"fmt"
	"math"
	"net"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/insight"
	"github.com/respgate/respgate/internal/testbed"
)

// newBook returns what a core is made with: every command is slow.
func newBook(t testing.TB) *insight.Book {
	t.Helper()
	book, err := insight.New(insight.Config{Proxy: "proxy1", MaxLen: 128, Sample: 1})
	if err != nil {
		t.Fatal(err)
	}
	return book
}

// TestSlowlogTalksAsRedisDoes: what is no entry is answered as by Redis, to the byte.
func TestSlowlogTalksAsRedisDoes(t *testing.T) {
	server := testbed.Redis(t)
	st := fixed{}
	key := st.grant("acme", server.Addr, 0, "")
	addr := startProxy(t, st)
	if err := server.Client().ConfigSet(t.Context(), "slowlog-log-slower-than", "-1").Err(); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"SLOWLOG", "SLOWLOG GET", "SLOWLOG get 5", "SLOWLOG GET -1", "SLOWLOG GET -2", "SLOWLOG GET x", "SLOWLOG GET 1.5", "SLOWLOG GET 99999999999999999999", "SLOWLOG Get 1 2",
		"SLOWLOG LEN", "SLOWLOG LEN x", "slowlog reset", "SLOWLOG RESET x", "SLOWLOG HELP", "SLOWLOG HELP x", "SLOWLOG Nosuch", "SLOWLOG nosuch x",
	} {
		for _, hello := range []string{"HELLO 2", "HELLO 3"} {
			want := lastReply(talk(t, server.Addr, hello+" SETNAME the-end\r\n"+line+"\r\nCLIENT GETNAME\r\nQUIT\r\n"))
			got := lastReply(talk(t, addr, hello+" AUTH cache "+key+" SETNAME the-end\r\n"+line+"\r\nCLIENT GETNAME\r\nQUIT\r\n"))
			if got != want {
				t.Errorf("%s, %s:\ngot  %s\nwant %s", hello, line, got, want)
			}
		}
	}
}

// lastReply is what has come between HELLO's answer, which ends with the modules, and the name.
func lastReply(talked string) string {
	_, rest, _ := strings.Cut(talked, "modules|*0|")
	reply, _, _ := strings.Cut(rest, "$7|the-end|")
	return reply
}

func TestSlowlogConversations(t *testing.T) {
	st := fixed{}
	backend := testbed.Redis(t).Addr
	key, strict, without := st.grant("acme", backend, 0, ""), st.grant("strict", backend, 0, "+get"), st.grant("without", backend, 0, "+@all -slowlog|reset")
	limited := st.grant("limited", backend, 2, "")
	addr := startProxy(t, st)
	for _, c := range []struct{ name, in, want string }{
		{"not authenticated", "SLOWLOG GET\r\nQUIT\r\n", "-NOAUTH Authentication required.|+OK|"},
		{"any key", "AUTH " + strict + "\r\nSLOWLOG LEN\r\nSET k v\r\nQUIT\r\n", "+OK|:0|-NOPERM this key has no permissions to run the 'set' command|+OK|"},
		{"a key that may not", "AUTH " + without + "\r\nSLOWLOG RESET\r\nSLOWLOG LEN\r\nQUIT\r\n", "+OK|-NOPERM this key has no permissions to run the 'slowlog|reset' command|:0|+OK|"},
		{"inside MULTI", "AUTH KEY\r\nMULTI\r\nSLOWLOG GET\r\nEXEC\r\nQUIT\r\n", "+OK|+OK|-ERR the 'slowlog|get' command is not possible inside a transaction here|-EXECABORT Transaction discarded because of previous errors.|+OK|"},
		{"while subscribed", "AUTH KEY\r\nSUBSCRIBE c\r\nSLOWLOG LEN\r\nQUIT\r\n", "+OK|*3|$9|subscribe|$1|c|:1|-ERR Can't execute 'slowlog|len': only (P\\|S)SUBSCRIBE / (P\\|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context|+OK|"},
		{"costs one of the limit, but for HELP", "AUTH " + limited + "\r\nSLOWLOG LEN\r\nSLOWLOG LEN\r\nSLOWLOG LEN\r\nSLOWLOG NOSUCH\r\nQUIT\r\n", "+OK|:0|:0|-RATELIMIT 2 commands/s exceeded for this key, retry after N ms|-ERR unknown subcommand 'NOSUCH'. Try SLOWLOG HELP.|+OK|"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := talk(t, addr, strings.ReplaceAll(c.in, "KEY", key))
			got = regexp.MustCompile(`after \d+ ms`).ReplaceAllString(got, "after N ms")
			if want := strings.ReplaceAll(c.want, `\|`, "|"); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// TestSlowlogIsRedises: what took long is told in the form, the order and the words of a Redis,
// in both versions of the protocol.
func TestSlowlogIsRedises(t *testing.T) {
	server := testbed.Redis(t)
	ctx := t.Context()
	if err := server.Client().ConfigSet(ctx, "slowlog-log-slower-than", "0").Err(); err != nil {
		t.Fatal(err)
	}
	st := fixed{}
	key := st.grant("acme", server.Addr, 0, "+@all")
	addr := startProxy(t, st)
	long := strings.Repeat("x", 250)
	many := append([]any{"DEL"}, slices.Repeat([]any{"k"}, 33)...)
	for _, proto := range []int{2, 3} {
		var told [2][]any
		for i, opt := range []*redis.Options{{Addr: server.Addr}, {Addr: addr, Username: "cache", Password: key}} {
			opt.Protocol, opt.ClientName, opt.DisableIdentity, opt.PoolSize = proto, "bob", true, 1
			c := testbed.Client(t, opt)
			if err := c.Do(ctx, "SLOWLOG", "RESET").Err(); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]any{
				{"SET", "k", long}, {"gEt", "k"}, {"LPUSH", "k", "wrong type"}, {"MSET", "a", "1", "b", ""}, many, {"EVAL", "return 1", "0"},
				{"CONFIG", "SET", "masterauth", "secret", "maxmemory", "0"}, {"ACL", "SETUSER", "bob", ">secret"}, {"PING"}, {"SETEX", "k", "10", long[:128]},
			} {
				_ = c.Do(ctx, args...).Err() // some are to fail
			}
			if err := c.Set(ctx, "more", "v", 0).Err(); err != nil {
				t.Fatal(err)
			}
			entries, err := c.Do(ctx, "SLOWLOG", "GET", "-1").Slice()
			if err != nil {
				t.Fatal(err)
			}
			told[i] = alike(t, entries)
			if few, err := c.Do(ctx, "SLOWLOG", "GET").Slice(); err != nil || len(few) != 10 {
				t.Errorf("RESP%d, %s: SLOWLOG GET tells %d, %v, want 10", proto, opt.Addr, len(few), err)
			}
			if typed, err := c.SlowLogGet(ctx, 1).Result(); err != nil || len(typed) != 1 || typed[0].ClientName != "bob" || time.Since(typed[0].Time) > time.Minute {
				t.Errorf("RESP%d, %s: a client library is told %+v, %v", proto, opt.Addr, typed, err)
			}
		}
		if len(told[0]) != 11 || !reflect.DeepEqual(told[1], told[0]) {
			t.Errorf("RESP%d:\ngot  %q\nwant %q", proto, told[1], told[0])
		}
	}
}

// alike is what does not differ from run to run of an answer to SLOWLOG GET: of each entry the
// arguments and the client's name. What Redis logs and a proxy answers itself is left out.
func alike(t *testing.T, entries []any) (all []any) {
	t.Helper()
	last := int64(math.MaxInt64)
	for _, e := range entries {
		e, ok := e.([]any)
		if !ok || len(e) != 6 {
			t.Fatalf("an entry is %q", e)
		}
		id, when, took := e[0].(int64), e[1].(int64), e[2].(int64)
		if off := time.Since(time.Unix(when, 0)); id >= last || off < -time.Second || off > time.Minute || took < 0 || took > 10e6 {
			t.Errorf("after %d there is entry %d of %v, which took %d", last, id, off, took)
		}
		last = id
		if host, _, err := net.SplitHostPort(e[4].(string)); err != nil || host != "127.0.0.1" {
			t.Errorf("the client's address is %q", e[4])
		}
		args := e[3].([]any)
		if name := strings.ToLower(args[0].(string)); name != "slowlog" && name != "hello" && name != "client" {
			all = append(all, []any{args, e[5]})
		}
	}
	return all
}

// TestWhatStandsOutIsSeen has real clients use some keys more than others.
func TestWhatStandsOutIsSeen(t *testing.T) {
	st := fixed{}
	key := st.grant("acme", testbed.Redis(t).Addr, 0, "")
	book := newBook(t)
	addr := startProxyWith(t, st, book)
	ctx := t.Context()
	client := func(name string) *redis.Client {
		return testbed.Client(t, &redis.Options{Addr: addr, Password: key, ClientName: name, DisableIdentity: true, PoolSize: 1, DB: 1})
	}
	busy, calm := client("busy"), client("calm")
	if err := calm.Set(ctx, "large", strings.Repeat("v", 3*insight.Big), 0).Err(); err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		pipe := busy.Pipeline()
		pipe.HGet(ctx, "hot", "f")
		pipe.Get(ctx, fmt.Sprint("warm", i%2))
		_, _ = pipe.Exec(ctx) // there are no such keys
	}
	if n, err := calm.Get(ctx, "large").Result(); err != nil || len(n) != 3*insight.Big {
		t.Fatalf("got %d bytes, %v", len(n), err)
	}
	got, err := book.Top(ctx, "acme")
	if err != nil {
		t.Fatal(err)
	}
	if h := got.HotKeys; len(h) != 4 || h[0].Key != "hot" || h[0].DB != 1 || math.Abs(h[0].Rate/h[1].Rate-2) > 0.01 || h[3].Key != "large" {
		t.Errorf("hot keys are %+v", h)
	}
	if c := got.Clients; len(c) != 2 || c[0].Name != "busy" || c[1].Name != "calm" || c[0].KeyID != keyIDOf(key) || c[0].Rate < 50*c[1].Rate || !strings.HasPrefix(c[0].SessionID, "proxy1-") {
		t.Errorf("clients are %+v", c)
	}
	if b := got.BigKeys; len(b) != 1 || b[0].Command != "set" || b[0].Key != "large" || b[0].Bytes < 3*insight.Big || b[0].Name != "calm" {
		t.Errorf("big keys are %+v", b)
	}
	if b := got.BigReplies; len(b) != 1 || b[0].Command != "get" || b[0].Key != "large" || b[0].Bytes < 3*insight.Big {
		t.Errorf("big replies are %+v", b)
	}
}

// keyIDOf is the id in a key's text.
func keyIDOf(key string) string { return key[3:15] }
