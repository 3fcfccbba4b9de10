package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/auth"
	"github.com/respgate/respgate/internal/testbed"
)

// crowd are clients of two proxies that do all that a dashboard shows: acme's most of it,
// with errors, a key that is over its limit, more clients that block than there are links
// for, and a near cache; globex's Redis stalls now and then, and its limit is in dry run;
// initech's is not there; hooli's limit slows it down.
type crowd struct {
	t          *testing.T
	ctx        context.Context
	a, b       *process
	acme       string // keys
	prometheus *testbed.PrometheusServer
	since      time.Time
	working    sync.WaitGroup
}

func startCrowd(t *testing.T) *crowd {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	c := &crowd{t: t, ctx: ctx}
	ca, file := newAuthority(t), filesIn(t, t.TempDir())
	certPEM, keyPEM := ca.pair(func(c *x509.Certificate) { c.NotAfter = time.Now().AddDate(0, 0, 60) })
	secure := testbed.FreeAddr(t)
	good, slow := testbed.Redis(t), testbed.Redis(t)
	c.start(good.Addr, secure, file("cert.pem", certPEM), file("key.pem", keyPEM))

	t.Cleanup(func() { stop(); c.working.Wait() })
	c.acme = c.a.tenant("acme", good.Addr, "--rate", "0")
	batch := c.a.key("acme", "--rate", "60", "--burst", "60")
	c.a.run("instance", "set", "--org", "acme", "--name", "cache", "--cache", "1MiB")
	globex := c.a.tenant("globex", slow.Addr, "--rate", "10", "--limit-mode", "dry_run")
	hooli := c.a.tenant("hooli", good.Addr, "--rate", "200", "--burst", "1", "--limit-mode", "delay")
	initech := c.a.tenant("initech", testbed.FreeAddr(t), "--rate", "0")
	c.a.run("user", "create", "--email", "ann@example.com")
	c.prometheus = testbed.Prometheus(t, testbed.ScrapeConfig(scrapeInterval, c.a.http, c.b.http))
	c.since = time.Now()

	for _, r := range []*process{c.a, c.b} {
		c.shoppers(r)
		c.batches(r, batch)
		c.of(r, globex, 20*time.Millisecond, func(client *redis.Client, n int) {
			client.Incr(ctx, fmt.Sprint("visits:", n%50))
			client.ZAdd(ctx, "board", redis.Z{Score: float64(n), Member: n % 100})
		})
		c.of(r, initech, 100*time.Millisecond, func(client *redis.Client, _ int) { client.Get(ctx, "k") })
	}
	c.of(c.a, hooli, time.Millisecond, func(client *redis.Client, _ int) { client.Get(ctx, "k") })
	direct := slow.Client()
	c.every(700*time.Millisecond, func(n int) { direct.ClientPause(ctx, time.Duration(10+n%9*10)*time.Millisecond) })
	c.buyers()
	c.pauses(c.a.tenant("ops", good.Addr, "--commands", "+@all +proxy"))
	c.waiters()
	c.intruders(secure, ca.trusts("127.0.0.1"))
	c.operators()
	return c
}

// operatorsToken is the bearer token of both proxies.
const operatorsToken = "the operator's own token, long enough"

// start starts two proxies over one store, which share limits, in processes of their own.
func (c *crowd) start(shared, secure, certFile, keyFile string) {
	c.t.Helper()
	settings := fmt.Sprintf("loops: 1\npool: {pinned_max: 2, pinned_wait: 100ms}\nrate_limit: {shared_url: \"redis://%s/1\"}\n", shared)
	c.a = startProcess(c.t, fmt.Sprintf("export RESPGATE_HTTP_RATE=0 RESPGATE_HTTP_ADMIN_TOKEN=%q; ", operatorsToken),
		fmt.Sprintf("%stls: {listen: %q, cert_file: %q, key_file: %q}\n", settings, secure, certFile, keyFile))
	dir := filepath.Dir(c.a.config)
	listen, http := testbed.FreeAddr(c.t), testbed.FreeAddr(c.t)
	config := filesIn(c.t, dir)("second.yaml", fmt.Appendf(nil, "listen: %s\nhttp: {listen: %s, rate: 0, admin_token: %q}\nstore: {dsn: \"file:%s/respgate.db\"}\n%s",
		listen, http, operatorsToken, dir, settings))
	c.b = c.a.successor(config)
	c.b.addr, c.b.http = listen, http
	testbed.Eventually(c.t, "the second proxy is ready", func() bool {
		status, _ := httpGet(c.t, "http://"+http+"/health/ready")
		return status == 200
	})
}

// every does something over and over until the test ends.
func (c *crowd) every(pause time.Duration, do func(n int)) {
	c.working.Go(func() {
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for n := 0; ; n++ {
			do(n)
			select {
			case <-c.ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
}

// of is every for a client with a key.
func (c *crowd) of(r *process, key string, pause time.Duration, do func(client *redis.Client, n int)) {
	client := testbed.Client(c.t, &redis.Options{Addr: r.addr, Username: "cache", Password: key, MaxRetries: -1, PoolSize: 2})
	c.every(pause, func(n int) { do(client, n) })
}

// shoppers do what most clients do, now more and now less of it, and errors now and then.
func (c *crowd) shoppers(r *process) {
	ctx := c.ctx
	began := time.Now()
	for range 2 {
		c.of(r, c.acme, 20*time.Millisecond, func(client *redis.Client, n int) {
			key := fmt.Sprint("cart:", n%200)
			pipe := client.Pipeline()
			for range 3 + int(2*math.Sin(time.Since(began).Seconds()/15)) {
				pipe.Get(ctx, key)
			}
			pipe.Set(ctx, key, strings.Repeat("x", 100+n%400), time.Minute)
			pipe.HSet(ctx, "user:"+key, "seen", n)
			if n%3 == 0 {
				pipe.HGetAll(ctx, "user:"+key)
			}
			if n%40 == 0 {
				pipe.LPush(ctx, key, "not a list")
				pipe.ConfigGet(ctx, "maxmemory")
			}
			_, _ = pipe.Exec(ctx)
		})
	}
}

// buyers have transactions, at the proxy that has links for them.
func (c *crowd) buyers() {
	ctx := c.ctx
	c.of(c.b, c.acme, 50*time.Millisecond, func(client *redis.Client, n int) {
		_, _ = client.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
			pipe.Incr(ctx, "orders")
			pipe.RPush(ctx, "queue", n)
			pipe.LTrim(ctx, "queue", -100, -1)
			return nil
		})
		client.Publish(ctx, "news", n)
	})
}

// batches ask for more than their key may, in waves of half a minute.
func (c *crowd) batches(r *process, key string) {
	c.of(r, key, 100*time.Millisecond, func(client *redis.Client, n int) {
		pipe := client.Pipeline()
		for i := range 5 + (n/300+1)%3*15 {
			pipe.Get(c.ctx, fmt.Sprint("cart:", i))
		}
		_, _ = pipe.Exec(c.ctx)
	})
}

// waiters block, more of them than there are links of their own, and listen.
func (c *crowd) waiters() {
	for i := range 5 {
		c.of(c.a, c.acme, 30*time.Millisecond, func(client *redis.Client, _ int) {
			client.Do(c.ctx, "BLPOP", fmt.Sprint("nothing:", i), "0.25")
		})
	}
	listener := testbed.Client(c.t, &redis.Options{Addr: c.a.addr, Username: "cache", Password: c.acme})
	news := listener.Subscribe(c.ctx, "news")
	c.working.Go(func() {
		for {
			if _, err := news.ReceiveMessage(c.ctx); err != nil && c.ctx.Err() != nil {
				return
			}
		}
	})
}

// pauses are an operator's, who holds up acme for a moment now and then.
func (c *crowd) pauses(key string) {
	for _, r := range []*process{c.a, c.b} {
		c.of(r, key, 20*time.Second, func(client *redis.Client, _ int) {
			client.Do(c.ctx, "PROXY", "PAUSE", "acme/cache", "300")
		})
	}
}

// intruders have keys that are not good, or do not speak TLS.
func (c *crowd) intruders(secure string, good *tls.Config) {
	for _, key := range []string{"nonsense", auth.Generate().Text.Reveal(), auth.GenerateFor(keyID(c.acme)).Text.Reveal()} {
		for range 3 {
			c.every(100*time.Millisecond, func(int) { c.say(c.b.addr, nil, "AUTH "+key+"\r\nQUIT\r\n") })
		}
	}
	c.every(200*time.Millisecond, func(n int) {
		if n%4 == 0 {
			c.say(secure, nil, "PING\r\n")
		} else {
			c.say(secure, good, "AUTH "+c.acme+"\r\nPING\r\nQUIT\r\n")
		}
	})
}

// say sends words and reads what comes back, if anything.
func (c *crowd) say(addr string, secure *tls.Config, words string) {
	var dialer interface {
		DialContext(ctx context.Context, network, addr string) (net.Conn, error)
	} = &net.Dialer{}
	if secure != nil {
		dialer = &tls.Dialer{Config: secure}
	}
	conn, err := dialer.DialContext(c.ctx, "tcp", addr)
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(conn, words); err == nil {
		_, _ = io.Copy(io.Discard, conn)
	}
}

// operators use the API of both proxies, for what is there and for what is not.
func (c *crowd) operators() {
	paths := []string{"/api/v1/organizations", "/api/v1/organizations/acme/instances", "/api/v1/organizations/acme/keys", "/api/v1/organizations/nobody", "/health"}
	for i, r := range []*process{c.a, c.b} {
		c.every(time.Duration(60+40*i)*time.Millisecond, func(n int) {
			req, err := http.NewRequestWithContext(c.ctx, http.MethodGet, "http://"+r.http+paths[n%len(paths)], nil)
			if err != nil {
				return
			}
			req.Header.Set("Authorization", "Bearer "+operatorsToken)
			if res, err := http.DefaultClient.Do(req); err == nil {
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
		})
	}
	c.t.Cleanup(http.DefaultClient.CloseIdleConnections)
}

// drain has the second proxy end, which a transaction holds up.
func (c *crowd) drain() {
	holder := talkTo(c.t, c.b.addr, c.acme)
	holder.send("MULTI")
	holder.expect("+OK")
	_ = c.b.cmd.Process.Signal(syscall.SIGTERM)
}
