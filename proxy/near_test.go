package proxy

import (
	"bufio"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/loop"
	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/pool"
)

// cached has the instance of a key keep so many bytes of replies.
func (f fixed) cached(key string, bytes int64) { f[key[3:15]].Routes[0].CacheBytes = bytes }

// nearProxy is a proxy of one loop whose near cache a test looks into.
type nearProxy struct {
	t    *testing.T
	addr string
	key  string
	m    *metrics.Metrics
	core *Core
	loop *loop.Loop
}

// startNear serves the server at addr with a near cache of so many bytes.
func startNear(t *testing.T, addr string, bytes int64, log ...*testbed.Buffer) *nearProxy {
	t.Helper()
	st := fixed{}
	p := &nearProxy{t: t, key: st.grant("acme", addr, 0, "+@all")}
	st.cached(p.key, bytes)
	p.m, _ = parts(t, st, slog.New(slog.DiscardHandler))
	p.addr = startProxyWith(t, st, newBook(t), func(core *Core, l *loop.Loop) {
		core.Metrics = p.m.Loop(0)
		p.core, p.loop, core.Upkeep = core, l, core.Links.(*pool.Pool)
		for _, to := range log {
			core.Log = slog.New(slog.NewTextHandler(to, nil))
		}
	})
	return p
}

// totals returns what has been counted of the instance.
func (p *nearProxy) totals() (all metrics.Totals) {
	p.m.Totals("acme/cache", &all)
	return all
}

// onLoop returns what fn does on the loop.
func (p *nearProxy) onLoop(fn func() int) int {
	got := make(chan int)
	p.loop.Post(func() { got <- fn() })
	return <-got
}

// on runs fn on the loop with the instance's cache, and waits for it.
func (p *nearProxy) on(fn func(*nearCache)) {
	p.t.Helper()
	done := make(chan struct{})
	p.loop.Post(func() {
		defer close(done)
		for _, c := range p.core.near {
			fn(c)
		}
	})
	<-done
}

// settle waits until all that the server has announced before is known.
func (p *nearProxy) settle() {
	p.t.Helper()
	at := uint64(0)
	p.on(func(c *nearCache) { at = p.core.asked })
	testbed.Eventually(p.t, "the cache has heard from its server", func() (heard bool) {
		p.on(func(c *nearCache) { heard = c.ready && c.heard > at })
		return heard
	})
}

func (p *nearProxy) call(proto string) *caller {
	p.t.Helper()
	c := dialAs(p.t, p.addr, p.key)
	c.do("HELLO", proto)
	return c
}

// dialPlain is a client of the server itself.
func dialPlain(t *testing.T, addr string) *caller {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(testbed.Patience))
	return &caller{t, nc, bufio.NewReader(nc)}
}

// kept are commands whose replies are kept, and changed those that change these in all ways.
var kept = strings.Split(`GET K
GET K
GET K
MGET K K K
MGET K L
STRLEN K
GETRANGE K 0 3
GETBIT K N
TYPE K
TYPE L
EXISTS K
EXISTS K K
HGET Hx f
HGET Hx nosuch
HMGET Hx f nosuch g
HGETALL Hx
HLEN Hx
HKEYS Hx
HVALS Hx
HEXISTS Hx f
HSTRLEN Hx f
SMEMBERS T
SISMEMBER T N
SMISMEMBER T N N
SCARD T
ZSCORE Z a
ZSCORE Z c
ZSCORE Z nosuch
ZCARD Z
ZCOUNT Z 0 50
LRANGE L 0 -1
LLEN L
LINDEX L 0
GET L
HGET K f
GETRANGE K x 3
GET
PING`, "\n")

var changed = strings.Split(`SET K V
SETRANGE K 1 x
DEL K L Hx
HSET Hx f N g N
HSET Hx f N
HDEL Hx f
SADD T N N
SREM T N
ZADD Z N.5 a N b
ZADD Z inf c -inf d
RPUSH L V V
PEXPIRE K 0
PEXPIRE K 100000
RENAME K K
COPY K K REPLACE
MOVE K 1
SELECT 0
SELECT 1
MULTI
EXEC
WATCH K
UNWATCH
EVAL return{redis.call('set',KEYS[1],ARGV[1])} 1 K V`, "\n")

// TestModelWithCache has random programs say byte for byte the same through a near cache as to
// Redis: a client alone sees no difference.
func TestModelWithCache(t *testing.T) {
	ordered := slices.DeleteFunc(slices.Clone(kept), func(line string) bool { // of large hashes each server has an order of its own
		return slices.Contains([]string{"HGETALL", "HKEYS", "HVALS", "SMEMBERS"}, strings.Fields(line)[0])
	})
	for _, c := range []struct {
		name string
		language
		n    int
		hits uint64
	}{
		{"all commands", language{[][]string{slices.Concat(vocabulary, slices.Repeat(ordered, len(vocabulary)/len(ordered)))}, ordinary.apart, nil, false}, 1000, 5},
		{"those that are kept", language{[][]string{slices.Concat(kept, kept, kept, changed), slices.Concat(kept, kept, kept, kept, kept, changed[:3])}, ordinary.apart, nil, true}, 1500, 500},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := startNear(t, testbed.Redis(t).Addr, 1<<20)
			if d := c.compare(t, count(t, c.n), true, testbed.Redis(t).Addr, p.addr, []string{"AUTH", p.key}); d != "" {
				t.Error(d)
			}
			if got := p.totals(); got.Hits < c.hits {
				t.Errorf("%d hits and %d misses: want hits, or nothing was tested", got.Hits, got.Misses)
			} else {
				t.Logf("%d hits, %d misses", got.Hits, got.Misses)
			}
		})
	}
}

// TestCacheWithManyWriters has clients write ever higher numbers through the proxy, through
// another one and at Redis itself, while others read: a reader's numbers never go down, a
// writer reads what it has written or a later one, and a read that begins when the server has
// answered on the cache's link is not older than what was there then.
func TestCacheWithManyWriters(t *testing.T) {
	server := testbed.Redis(t)
	p, other := startNear(t, server.Addr, 1<<20), startNear(t, server.Addr, 1<<20)
	const keys, rounds = 4, 400
	var last [keys]atomic.Int64 // what has been written and answered
	var next [keys]atomic.Int64
	var seats [keys]sync.Mutex // one writes a key at a time, so that numbers go up
	var writers, readers sync.WaitGroup
	var stop atomic.Bool
	name := func(i int) string { return fmt.Sprint("k", i) }
	number := func(reply string) (n int64) {
		_, text, _ := strings.Cut(strings.TrimSuffix(reply, "|"), "|")
		_, _ = fmt.Sscan(text, &n)
		return n
	}
	read := func(c *caller, r *rand.Rand, i int) int64 {
		switch r.IntN(3) {
		case 0:
			return number(c.do("HGET", "h"+name(i), "f"))
		case 1:
			reply := c.do("MGET", name(i), "nosuch")
			_, reply, _ = strings.Cut(reply, "|")
			return number(reply)
		}
		return number(c.do("GET", name(i)))
	}
	for w, addr := range []*nearProxy{p, p, other, nil, nil} {
		writers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 7))
			c := dialPlain(t, server.Addr)
			if addr != nil {
				c = addr.call("2")
			}
			for range rounds {
				i := r.IntN(keys)
				seats[i].Lock()
				n := next[i].Add(1)
				value := fmt.Sprint(n)
				switch r.IntN(3) {
				case 0:
					c.do("MULTI")
					c.do("SET", name(i), value)
					c.do("HSET", "h"+name(i), "f", value)
					c.do("EXEC")
				case 1:
					c.do("EVAL", "redis.call('set',KEYS[1],ARGV[1]) return redis.call('hset',KEYS[2],'f',ARGV[1])", "2", name(i), "h"+name(i), value)
				default:
					c.do("SET", name(i), value)
					c.do("HSET", "h"+name(i), "f", value)
				}
				last[i].Store(n)
				seats[i].Unlock()
				if got := read(c, r, i); got < n {
					t.Errorf("writer %d reads %d of %s, and has written %d", w, got, name(i), n)
				}
			}
		})
	}
	for w := range 6 {
		readers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 8))
			c := p.call(fmt.Sprint(2 + w%2))
			var seen, hash [keys]int64
			for !stop.Load() {
				i := r.IntN(keys)
				mine := &seen[i]
				var got int64
				if r.IntN(2) == 0 {
					mine = &hash[i]
					got = number(c.do("HGET", "h"+name(i), "f"))
				} else {
					got = number(c.do("GET", name(i)))
				}
				if got < *mine {
					t.Errorf("reader %d reads %d of %s after %d", w, got, name(i), *mine)
					return
				}
				*mine = got
			}
		})
	}
	readers.Go(func() { // what was written before the cache has heard is read after
		c := p.call("3")
		for !stop.Load() {
			var before [keys]int64
			for i := range before {
				before[i] = last[i].Load()
			}
			p.settle()
			for i := range before {
				if got := number(c.do("GET", name(i))); got < before[i] {
					t.Errorf("%d is read of %s, and %d was there when the server was heard", got, name(i), before[i])
				}
			}
		}
	})
	writers.Wait()
	stop.Store(true)
	readers.Wait()
	p.settle()
	c := p.call("2")
	for i := range keys {
		want := last[i].Load()
		if got := number(c.do("GET", name(i))); got != want {
			t.Errorf("in the end %s is %d, want %d", name(i), got, want)
		}
	}
	got := p.totals()
	t.Logf("%d hits, %d misses", got.Hits, got.Misses)
	if got.Hits == 0 {
		t.Error("no hits: nothing was tested")
	}
}
