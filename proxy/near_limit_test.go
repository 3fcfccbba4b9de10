package proxy

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/respgate/respgate/cache"
	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/loop"
	"github.com/respgate/respgate/resp"
	"github.com/respgate/respgate/tenant"
)

// TestCachedBytesAreLimited has a client of a key with a limit of bytes ask for what is in the near cache: it counts like
// what comes from the backend.
func TestCachedBytesAreLimited(t *testing.T) {
	server := testbed.Redis(t)
	st := fixed{}
	p := &nearProxy{t: t, key: st.limitedAt("acme", tenant.Secret("redis://"+server.Addr), bytesOf(10_000, tenant.LimitReject), tenant.Quota{})}
	st.cached(p.key, 1<<20)
	p.m, _ = parts(t, st, slog.New(slog.DiscardHandler))
	p.addr = startProxyWith(t, st, newBook(t), func(core *Core, l *loop.Loop) {
		core.Metrics = p.m.Loop(0)
		p.core, p.loop = core, l
	})
	if err := server.Client().Set(t.Context(), "k", bytes.Repeat([]byte("v"), 1000), 0).Err(); err != nil {
		t.Fatal(err)
	}
	c := p.call("2")
	p.hot(c, "GET", "k")
	before := p.totals().Hits
	if _, err := c.Write(bytes.Repeat(resp.AppendCommand(nil, "GET", "k"), 50)); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		c.next()
	}
	if hits := p.totals().Hits - before; hits < 20 {
		t.Fatalf("%d replies came from the cache, want 20 or more", hits)
	}
	const want = "-RATELIMIT 10000 bytes/s exceeded for this key"
	if got := c.do("GET", "k"); !strings.HasPrefix(got, want) {
		t.Errorf("after 50,000 bytes from the cache: got %.80q, want %s", got, want)
	}
}

// TestCacheOfNoBytes: where the bound of all caches is 0 the proxy asks no server to announce
// changes, and a cache that there is ends; where it is more again, there is one again.
func TestCacheOfNoBytes(t *testing.T) {
	server := testbed.Redis(t)
	p := startNear(t, server.Addr, 1<<20)
	c := p.call("2")
	p.hot(c, "GET", "k")
	bound := func(most int64) (caches int) {
		return p.onLoop(func() int {
			p.core.SetCache(cache.Limits{Bytes: most, EntryBytes: 1000})
			return len(p.core.near)
		})
	}
	if n := bound(0); n != 0 {
		t.Errorf("%d caches are left, want none", n)
	}
	before := p.totals().Hits
	for range 3 {
		if got := c.do("GET", "k"); got != "$-1|" {
			t.Errorf("got %q", got)
		}
	}
	if caches, hits := p.onLoop(func() int { return len(p.core.near) }), p.totals().Hits-before; caches != 0 || hits != 0 {
		t.Errorf("%d caches, %d hits, want none", caches, hits)
	}
	bound(1 << 20)
	p.hot(c, "GET", "k")
}
