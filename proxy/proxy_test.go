package proxy

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/auth"
	"github.com/respgate/respgate/cache"
	"github.com/respgate/respgate/insight"
	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/loop"
	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/ratelimit"
	"github.com/respgate/respgate/tenant"
)

// fixed is a store that never changes.
type fixed map[string]tenant.Grant

func (f fixed) Grant(_ context.Context, id string) (tenant.Grant, error) {
	if g, ok := f[id]; ok {
		return g, nil
	}
	return tenant.Grant{}, tenant.ErrNotFound
}

func (f fixed) Changes(context.Context, int64) (tenant.Changes, error) {
	return tenant.Changes{Complete: true}, nil
}

func (f fixed) KeyByCertificate(_ context.Context, names []string) (string, error) {
	for id, g := range f {
		if slices.Contains(names, g.Key.CertificateName) {
			return id, nil
		}
	}
	return "", tenant.ErrNotFound
}

// grant adds a key for a backend and returns its text.
func (f fixed) grant(org, addr string, rate int, rules string) string {
	return f.grantAt(org, tenant.Secret("redis://"+addr), rate, rules)
}

// grantAt is grant for a backend's URL.
func (f fixed) grantAt(org string, url tenant.Secret, rate int, rules string) string {
	k := auth.Generate()
	f[k.ID] = tenant.Grant{
		Key:    tenant.Key{ID: k.ID, SecretHash: k.Hash, Org: org, Instances: []string{"cache"}, Limits: tenant.Limits{Rate: &rate}, Commands: rules},
		Routes: []tenant.Route{{InstanceID: org, Label: org + "/cache", Instance: "cache", URL: url}},
	}
	return k.Text.Reveal()
}

// parts are what a session's core is made with.
func parts(t testing.TB, st fixed, log *slog.Logger) (*metrics.Metrics, *auth.Service) {
	t.Helper()
	m, err := metrics.New(prometheus.NewPedanticRegistry(), 1, "", "")
	if err != nil {
		t.Fatal(err)
	}
	service, err := auth.New(auth.Config{}, st, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	return m, service
}

// startProxy serves the store's keys on one event loop and returns its address.
func startProxy(t *testing.T, st fixed) string {
	t.Helper()
	return startProxyWith(t, st, newBook(t))
}

// startProxyWith is startProxy with a book that what stands out is noted in, and what else is
// to be done with its core before it serves.
func startProxyWith(t *testing.T, st fixed, book *insight.Book, prepare ...func(*Core, *loop.Loop)) string {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	l, err := loop.New(log)
	if err != nil {
		t.Fatal(err)
	}
	m, service := parts(t, st, log)
	cfg := pool.Config{
		Dial:        pool.DialConfig{Attempts: 2, RetryDelay: 50 * time.Millisecond, Timeout: 2 * time.Second},
		IdleTimeout: time.Hour, StallTimeout: time.Hour, PinnedWait: time.Second,
	}
	core := &Core{
		Ctx: t.Context(), Clock: l, Auth: service, Limiters: ratelimit.New(ratelimit.Defaults{RPS: 100, MaxDelay: time.Hour}), Metrics: m.Loop(0), SlowLog: book,
		IDs: new(atomic.Int64), Log: log,
		Left: func() {}, Limits: Limits{MaxCommand: 64 << 20, MaxOutput: 64 << 20, AuthTimeout: 10 * time.Second},
		After: func(d time.Duration, fn func()) Timer { return l.After(d, fn) },
		Background: func(work func() func()) {
			go func() { l.Post(work()) }()
		},
	}
	core.Observers = []Observer{book.AddLoop(l, func(string) {})}
	core.Cache = cache.NewSpace(cache.Limits{Bytes: 64 << 20, EntryBytes: 64 << 10}, 1)
	links := pool.New(t.Context(), cfg, l, pool.NewSlots(8, 100), pool.NewDialer(cfg.Dial, log, m), m, core.Meter, log)
	core.Links = links
	core.Topologies = pool.NewTopologies(t.Context(), cfg.Dial, log, m, func(of *pool.Topology, gone []pool.Backend) {
		l.Post(func() { links.Leave(of, gone); core.Looked(of) })
	})
	for _, fn := range prepare {
		fn(core, l)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { l.Run(); close(done) }()
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			addr := nc.RemoteAddr().(*net.TCPAddr).AddrPort()
			l.Attach(nc, func(c *loop.Conn) loop.Handler { return core.Open(c, Peer{Addr: addr, Local: addr}) })
		}
	}()
	t.Cleanup(func() { ln.Close(); l.Stop(); <-done; core.Topologies.Wait() })
	return ln.Addr().String()
}

// talk sends input and returns all that comes back until the other side closes,
// which a final QUIT brings about.
func talk(t *testing.T, addr, input string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(testbed.Patience))
	go func() { _, _ = io.WriteString(c, input) }()
	got, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("after %q: %v", got, err)
	}
	return strings.ReplaceAll(string(got), "\r\n", "|")
}

func TestConversations(t *testing.T) {
	st := fixed{}
	key := st.grant("acme", testbed.Redis(t).Addr, 0, "")
	addr := startProxy(t, st)
	bad := auth.Generate().Text.Reveal()
	const (
		noauth    = "-NOAUTH Authentication required.|"
		wrongpass = "-WRONGPASS invalid username-password pair or user is disabled.|"
	)
	for _, c := range []struct{ name, in, want string }{
		{"not authenticated", "PING\r\nGET k\r\nSELECT 1\r\nQUIT\r\n", noauth + noauth + noauth + "+OK|"},
		{"AUTH key", "AUTH KEY\r\nPING\r\nECHO hi\r\nQUIT\r\n", "+OK|+PONG|$2|hi|+OK|"},
		{"AUTH default key", "AUTH default KEY\r\nPING\r\nQUIT\r\n", "+OK|+PONG|+OK|"},
		{"AUTH instance key", "AUTH cache KEY\r\nPING\r\nQUIT\r\n", "+OK|+PONG|+OK|"},
		{"AUTH other instance", "AUTH other KEY\r\nPING\r\nQUIT\r\n", wrongpass + noauth + "+OK|"},
		{"unknown key", "AUTH " + bad + "\r\nPING\r\nQUIT\r\n", wrongpass + noauth + "+OK|"},
		{"no key at all", "AUTH guess\r\nQUIT\r\n", wrongpass + "+OK|"},
		{"AUTH arity", "AUTH\r\nAUTH a b c\r\nQUIT\r\n", "-ERR wrong number of arguments for 'auth' command|-ERR syntax error|+OK|"},
		{"denied", "AUTH KEY\r\nCONFIG GET maxmemory\r\nFLUSHALL\r\nQUIT\r\n", "+OK|-NOPERM this key has no permissions to run the 'config|get' command|-NOPERM this key has no permissions to run the 'flushall' command|+OK|"},
		{"replies in order", "AUTH KEY\r\nPING\r\nCLIENT GETNAME\r\nPING a\r\nCLIENT SETNAME bob\r\nCLIENT GETNAME\r\nPING b\r\nQUIT\r\n", "+OK|+PONG|$-1|$1|a|+OK|$3|bob|$1|b|+OK|"},
		{"SELECT", "AUTH KEY\r\nSET k 0\r\nSELECT 1\r\nSET k 1\r\nSELECT 0\r\nGET k\r\nSELECT 1\r\nGET k\r\nQUIT\r\n", "+OK|+OK|+OK|+OK|+OK|$1|0|+OK|$1|1|+OK|"},
		{"SELECT refused", "AUTH KEY\r\nSELECT x\r\nSELECT -1\r\nSELECT 4000\r\nPING\r\nQUIT\r\n", "+OK|-ERR value is not an integer or out of range|-ERR DB index is out of range|-ERR DB index is out of range|+PONG|+OK|"},
		{"RESET", "AUTH KEY\r\nPING\r\nRESET\r\nPING\r\nQUIT\r\n", "+OK|+PONG|+RESET|" + noauth + "+OK|"},
		{"RESP3", "HELLO 3 AUTH cache KEY SETNAME bob\r\nGET nosuch\r\nCLIENT GETNAME\r\nHELLO 2\r\nGET nosuch\r\nQUIT\r\n", "%7|$6|server|$5|redis|$7|version|VERSION|$5|proto|:3|$2|id|:ID|$4|mode|$10|standalone|$4|role|$6|master|$7|modules|*0|_|$3|bob|" +
			"*14|$6|server|$5|redis|$7|version|VERSION|$5|proto|:2|$2|id|:ID|$4|mode|$10|standalone|$4|role|$6|master|$7|modules|*0|$-1|+OK|"},
		{"HELLO errors", "HELLO x\r\nHELLO 4\r\nHELLO 2 FOO\r\nHELLO\r\nQUIT\r\n", "-ERR Protocol version is not an integer or out of range|-NOPROTO unsupported protocol version|-ERR Syntax error in HELLO option 'FOO'|" +
			"-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time|+OK|"},
		{"names", "AUTH KEY\r\nCLIENT SETNAME \"a b\"\r\nCLIENT SETINFO lib-name x\r\nCLIENT SETINFO nosuch x\r\nQUIT\r\n", "+OK|-ERR Client names cannot contain spaces, newlines or special characters.|+OK|-ERR Unrecognized option 'nosuch'|+OK|"},
		{"malformed", "AUTH KEY\r\nPING\r\n*1\r\n$x\r\n", "+OK|+PONG|-ERR Protocol error: invalid bulk length|"},
		{"malformed before AUTH", "*1\r\n$16385\r\nPING\r\n", "-ERR Protocol error: unauthenticated bulk length|"},
		{"HTTP", "POST / HTTP/1.1\r\nHost: x\r\n\r\n", ""},
		{"scripts", "AUTH KEY\r\nSET s 1\r\nEVAL \"return redis.call('get', 's')\" 0\r\nGET s\r\nQUIT\r\n", "+OK|+OK|$1|1|$1|1|+OK|"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := talk(t, addr, strings.ReplaceAll(c.in, "KEY", key))
			if version, _, ok := strings.Cut(afterText(got, "version|$"), "|"); ok {
				v, _, _ := strings.Cut(afterText(got, "version|$"+version+"|"), "|")
				got = strings.ReplaceAll(got, "$"+version+"|"+v, "VERSION")
			}
			if id, _, ok := strings.Cut(afterText(got, "id|:"), "|"); ok {
				got = strings.ReplaceAll(got, "id|:"+id, "id|:ID")
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func afterText(s, mark string) string {
	_, rest, _ := strings.Cut(s, mark)
	return rest
}

// TestTornReply: a client that has got a part of a reply when the backend is lost is
// closed, since nothing can follow; others are told.
func TestTornReply(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		// HELLO and PING of the handshake, and half of the first of two replies.
		for _, step := range []struct{ until, answer string }{{"HELLO", "-ERR unknown command\r\n"}, {"PING", "+PONG\r\n"}, {"second", "$10\r\nhalf"}} {
			var got []byte
			for b := make([]byte, 512); !strings.Contains(string(got), step.until); {
				n, err := c.Read(b)
				if err != nil {
					return
				}
				got = append(got, b[:n]...)
			}
			_, _ = io.WriteString(c, step.answer)
		}
	}()
	st := fixed{}
	key := st.grant("acme", ln.Addr().String(), 0, "")
	addr := startProxy(t, st)
	if got, want := talk(t, addr, "AUTH "+key+"\r\nGET first\r\nGET second\r\n"), "+OK|$10|half"; got != want {
		t.Errorf("got %q, want %q and the end", got, want)
	}
}

func TestInstanceThatCannotBeUsed(t *testing.T) {
	st := fixed{}
	key := st.grant("acme", "", 0, "")
	st[key[3:15]].Routes[0].URL = "redis+future://somewhere"
	addr := startProxy(t, st)
	want := "-ERR backend unavailable: its URL is not understood|-NOAUTH Authentication required.|+OK|"
	if got := talk(t, addr, "AUTH "+key+"\r\nPING\r\nQUIT\r\n"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestLimitAdmitsItsBurstOfAPipeline(t *testing.T) {
	st := fixed{}
	key := st.grant("acme", testbed.Redis(t).Addr, 100, "")
	addr := startProxy(t, st)
	start := time.Now()
	got := talk(t, addr, "AUTH "+key+"\r\n"+strings.Repeat("PING\r\n", 1000)+"QUIT\r\n")
	refill := int(time.Since(start).Seconds()*100) + 1
	pongs, limited := strings.Count(got, "+PONG|"), strings.Count(got, "-RATELIMIT 100 commands/s exceeded for this key, retry after ")
	if pongs < 100 || pongs > 100+refill || pongs+limited != 1000 {
		t.Errorf("%d answered and %d refused of 1000, want 100 (and at most %d by refill)", pongs, limited, refill)
	}
}

func TestTenantsAreApart(t *testing.T) {
	st := fixed{}
	addr := ""
	clients := map[string]*redis.Client{}
	for _, org := range []string{"acme", "globex"} {
		key := st.grant(org, testbed.Redis(t).Addr, 0, "")
		clients[org] = testbed.Client(t, &redis.Options{Username: "cache", Password: key, MaxRetries: -1, Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		}})
	}
	addr = startProxy(t, st)
	for org, c := range clients {
		if err := c.Set(t.Context(), "who", org, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for org, c := range clients {
		if got, err := c.Get(t.Context(), "who").Result(); err != nil || got != org {
			t.Errorf("%s reads %q, %v", org, got, err)
		}
	}
}

// TestNoReplyGoesAstrayWhenTheBackendDies kills the backend under many clients'
// pipelines: each command gets one answer, and values name their keys.
func TestNoReplyGoesAstrayWhenTheBackendDies(t *testing.T) {
	st := fixed{}
	server := testbed.Redis(t)
	key := st.grant("acme", server.Addr, 0, "")
	addr := startProxy(t, st)
	for i := range 50 {
		if err := server.Client().Set(t.Context(), fmt.Sprint("k", i), fmt.Sprintf("value of k%d %s", i, strings.Repeat("x", i*i*10)), 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	type result struct{ right, failed, wrong, missing int }
	results := make(chan result, 50)
	running := make(chan struct{}, 50)
	for i := range 50 {
		go func() {
			var r result
			name, want := fmt.Sprint("k", i), fmt.Sprintf("value of k%d ", i)
			c := testbed.Client(t, &redis.Options{Addr: addr, Password: key, MaxRetries: -1, PoolSize: 1})
			for round := 0; r.failed == 0 && round < 10000; round++ {
				p := c.Pipeline()
				for range 8 {
					p.Get(t.Context(), name)
				}
				cmds, _ := p.Exec(t.Context())
				for _, cmd := range cmds {
					switch v, err := cmd.(*redis.StringCmd).Result(); {
					case err == nil && strings.HasPrefix(v, want):
						r.right++
					case err != nil:
						r.failed++
					default:
						r.wrong++
					}
				}
				r.missing += 8 - len(cmds)
				if round == 2 {
					running <- struct{}{}
				}
			}
			results <- r
		}()
	}
	for range 50 {
		<-running
	}
	server.Kill()
	for range 50 {
		if r := <-results; r.wrong+r.missing > 0 || r.right == 0 || r.failed == 0 {
			t.Errorf("%+v: want answers before, failures after, none wrong or missing", r)
		}
	}
	server.Start()
	testbed.Eventually(t, "the proxy works again", func() bool {
		return strings.HasPrefix(talk(t, addr, "AUTH "+key+"\r\nPING\r\nQUIT\r\n"), "+OK|+PONG|")
	})
}
