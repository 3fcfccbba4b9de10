package proxy

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/pool"
)

// relay is what lies between a proxy and its server; it knows which connections track keys, and
// may hold them up.
type relay struct {
	addr string
	mu   sync.Mutex
	free *sync.Cond
	held bool // nothing comes from the server over those that track
	of   map[net.Conn]bool
}

func newRelay(t *testing.T, server string) *relay {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{addr: ln.Addr().String(), of: map[net.Conn]bool{}}
	r.free = sync.NewCond(&r.mu)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			backend, err := net.Dial("tcp", server)
			if err != nil {
				client.Close()
				continue
			}
			running.Go(func() { r.pass(client, backend, true) })
			running.Go(func() { r.pass(backend, client, false) })
		}
	})
	t.Cleanup(func() { ln.Close(); r.hold(false); r.cut(); running.Wait() })
	return r
}

// pass gives to what comes from; asking is the proxy's side.
func (r *relay) pass(from, to net.Conn, asking bool) {
	defer to.Close()
	client := to
	if asking {
		client = from
	}
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		r.mu.Lock()
		if asking && bytes.Contains(b[:n], []byte("TRACKING")) {
			r.of[client] = true
		}
		for !asking && r.held && r.of[client] {
			r.free.Wait()
		}
		r.mu.Unlock()
		if n > 0 {
			_, _ = to.Write(b[:n])
		}
		if err != nil {
			return
		}
	}
}

func (r *relay) hold(held bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = held
	r.free.Broadcast()
}

// cut ends the connections that track and returns how many there were.
func (r *relay) cut() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n = len(r.of)
	for c := range r.of {
		c.Close()
	}
	clear(r.of)
	return n
}

// hot has a command be answered from the cache.
func (p *nearProxy) hot(c *caller, args ...string) {
	p.t.Helper()
	testbed.Eventually(p.t, fmt.Sprint(args, " is answered from the cache"), func() bool {
		before := p.totals().Hits
		c.do(args...)
		return p.totals().Hits > before
	})
}

// TestCacheLosesItsLink: what is kept is dropped with the link, reads that were under way are
// answered all the same, and the cache comes back.
func TestCacheLosesItsLink(t *testing.T) {
	server := testbed.Redis(t)
	r := newRelay(t, server.Addr)
	p := startNear(t, r.addr, 1<<20)
	c := p.call("2")
	c.do("SET", "k", "1")
	c.do("SET", "other", "x")
	p.hot(c, "GET", "k")
	r.hold(true)
	if err := server.Client().Set(t.Context(), "k", "2", 0).Err(); err != nil {
		t.Fatal(err)
	}
	c.send("GET", "other") // goes over the link, and nothing comes back
	c.send("GET", "k")
	c.send("PING", "z")
	testbed.Eventually(t, "it is under way", func() (asked bool) {
		p.on(func(near *nearCache) { asked = near.out > 0 })
		return asked
	})
	r.hold(false)
	if r.cut() == 0 {
		t.Fatal("there was no link that tracks")
	}
	first, second, third := c.next(), c.next(), c.next()
	if first != "$1|x|" || second != "$1|2|" && second != "$1|1|" || third != "$1|z|" {
		t.Errorf("reads under way got %q, %q, %q, want their values and z", first, second, third)
	}
	testbed.Within(t, 5*time.Second, "the loss is noticed", func() (lost bool) {
		p.on(func(near *nearCache) { lost = near.kept.Len() == 0 })
		return lost
	})
	if got := c.do("GET", "k"); got != "$1|2|" {
		t.Errorf("after the loss k is %q, want 2", got)
	}
	p.hot(c, "GET", "k")
}

// TestCacheOfASilentServer: a link that says nothing any more makes the cache give nothing,
// after a second at the latest, and clients are served without it.
func TestCacheOfASilentServer(t *testing.T) {
	server := testbed.Redis(t)
	r := newRelay(t, server.Addr)
	p := startNear(t, r.addr, 1<<20)
	c := p.call("3")
	c.do("SET", "k", "1")
	p.hot(c, "GET", "k")
	r.hold(true)
	if err := server.Client().Set(t.Context(), "k", "2", 0).Err(); err != nil {
		t.Fatal(err)
	}
	fresh := p.call("3") // others wait for what they have asked over the link
	testbed.Within(t, 10*time.Second, "the change is seen although the link is silent", func() bool {
		return fresh.do("GET", "k") == "$1|2|"
	})
	p.on(func(near *nearCache) {
		if near.sure(p.loop.Nanos()) {
			t.Error("what is kept is trusted although nothing is heard")
		}
	})
	fresh.send("GET", "k")
	testbed.Within(t, 20*time.Second, "the silent link is given up", func() (lost bool) {
		p.on(func(near *nearCache) { lost = near.link == nil })
		return lost
	})
	if got := fresh.next(); got != "$1|2|" {
		t.Errorf("while the link is silent k is %q, want 2", got)
	}
	r.hold(false)
	p.hot(fresh, "GET", "k")
	if got := fresh.do("GET", "k"); got != "$1|2|" {
		t.Errorf("in the end k is %q, want 2", got)
	}
}

// TestCacheAndKeysThatEnd: a key that has ended is not given although the server has not noticed,
// and flushed and evicted ones are not when it has.
func TestCacheAndKeysThatEnd(t *testing.T) {
	server := testbed.Redis(t, "--enable-debug-command", "yes")
	direct := server.Client()
	p := startNear(t, server.Addr, 1<<20)
	c := p.call("2")
	must := func(args ...any) {
		t.Helper()
		if err := direct.Do(t.Context(), args...).Err(); err != nil && err != redis.Nil { //nolint:errorlint // as it comes
			t.Fatal(args, err)
		}
	}
	must("debug", "set-active-expire", "0") // the server notices only what is looked at

	must("set", "brief", "1", "px", "1500")
	p.hot(c, "GET", "brief")
	must("persist", "nosuch")
	testbed.Within(t, 10*time.Second, "it has ended", func() bool { return direct.PTTL(t.Context(), "brief").Val() < 0 })
	if got := c.do("GET", "brief"); got != "$-1|" {
		t.Errorf("a key that has ended is %q", got)
	}

	must("set", "brief", "2", "px", "200")
	until := time.Now().Add(5 * time.Second)
	for got := ""; got != "$-1|"; got = c.do("GET", "brief") { // without a look at the server
		if time.Now().After(until) {
			t.Fatal("a key that nobody looks at does not end")
		}
	}

	must("set", "k", "1")
	p.hot(c, "GET", "k")
	p.hot(c, "MGET", "k", "nosuch")
	must("flushall")
	p.settle()
	if got := c.do("GET", "k"); got != "$-1|" {
		t.Errorf("after FLUSHALL k is %q", got)
	}

	for i := range 200 {
		must("set", fmt.Sprint("e", i), strings.Repeat("x", 1000))
		c.do("GET", fmt.Sprint("e", i))
	}
	must("config", "set", "maxmemory-policy", "allkeys-random")
	must("config", "set", "maxmemory", "1")
	must("config", "set", "maxmemory", "0")
	if n := direct.DBSize(t.Context()).Val(); n > 150 {
		t.Fatalf("%d keys are left, want some to have been evicted", n)
	}
	p.settle()
	for i := range 200 {
		name := fmt.Sprint("e", i)
		want := direct.Exists(t.Context(), name).Val() == 1
		if got := c.do("GET", name) != "$-1|"; got != want {
			t.Errorf("%s is there: %v, want %v", name, got, want)
		}
	}
}

// TestCacheThatIsRefused: where the server does not let it track, or knows no RESP3, there is no
// cache, and a line in the log that says so; it is not asked again at once.
func TestCacheThatIsRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		server func(t *testing.T) (addr string)
		want   string
	}{
		{"no permission", func(t *testing.T) string {
			server := testbed.Redis(t)
			if err := server.Client().Do(t.Context(), "acl", "setuser", "plain", "on", "nopass", "~*", "&*", "+@all", "-client|tracking").Err(); err != nil {
				t.Fatal(err)
			}
			return "plain:x@" + server.Addr
		}, "NOPERM"},
		{"before Redis 6", func(t *testing.T) string {
			answers := map[string]string{"SET": "+OK\r\n", "GET": "$1\r\n1\r\n"}
			return testbed.NewScriptedCluster(t, 1, func(_ int, command []string) string { return answers[command[0]] }).Addrs[0]
		}, "NOPROTO"},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := &testbed.Buffer{}
			p := startNear(t, c.server(t), 1<<20, log)
			client := p.call("2")
			client.do("SET", "k", "1")
			testbed.Eventually(t, "the log says why", func() bool {
				if got := client.do("GET", "k"); got != "$1|1|" {
					t.Fatalf("k is %q", got)
				}
				return strings.Contains(log.String(), `near cache is off: the backend refuses CLIENT TRACKING" tenant=acme/cache reason="`+c.want)
			})
			if got := p.totals(); got.Hits > 0 || got.Misses == 0 {
				t.Errorf("%d hits and %d misses, want misses only", got.Hits, got.Misses)
			}
			p.on(func(near *nearCache) {
				if wait := time.Duration(near.retryAt - p.core.Clock.Nanos()); wait < nearRefused/2 {
					t.Errorf("it is asked again in %v, want about %v", wait, nearRefused)
				}
			})
		})
	}
}

// TestCacheIsReplaced: when an operator has the connections replaced, the cache's is too, and
// nobody notices; and the cache ends when nobody uses it, or its instance has none any more.
func TestCacheIsReplaced(t *testing.T) {
	server := testbed.Redis(t)
	p := startNear(t, server.Addr, 1<<20)
	c := p.call("2")
	c.do("SET", "k", "1")
	p.hot(c, "GET", "k")
	var first *pool.Link
	p.on(func(near *nearCache) {
		first = near.link
		p.core.Links.(*pool.Pool).Reconnect("acme")
	})
	testbed.Within(t, 10*time.Second, "there is another link", func() (replaced bool) {
		p.on(func(near *nearCache) { replaced = near.ready && near.link != first })
		return replaced
	})
	p.hot(c, "GET", "k")
	p.on(func(near *nearCache) { near.used -= int64(2 * nearIdle) })
	testbed.Within(t, 10*time.Second, "it has ended", func() bool {
		left := 0
		p.on(func(*nearCache) { left++ })
		return left == 0 && p.core.Cache.Used() == 0
	})
	p.hot(c, "GET", "k")
	adopt := func(bytes int64) (near int) {
		done := make(chan struct{})
		p.loop.Post(func() {
			defer close(done)
			for s := range p.core.sessions {
				changed := *s.principal
				changed.Route.CacheBytes = bytes
				if err := s.adopt(s.handle, &changed); err != nil {
					t.Error(err)
				}
			}
			near = len(p.core.near)
		})
		<-done
		return near
	}
	if left := adopt(0); left > 0 || p.core.Cache.Used() > 0 {
		t.Errorf("without bytes for it there are %d caches", left)
	}
	p.hot(c, "GET", "k") // the key's principal has not changed, and is followed again
}
