package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/resp"
	"github.com/respgate/respgate/tenant"
)

// operator is who uses redis-cli with a key that has +proxy.
type operator struct {
	t    *testing.T
	addr string
	key  string
}

func newOperator(t *testing.T, r *running, backend string) operator {
	t.Helper()
	return operator{t, r.addr, r.tenant(t, "ops", backend, func(k *tenant.Key) { k.Commands = "+@all +proxy" })}
}

// cli returns what redis-cli prints.
func (o operator) cli(args ...string) string {
	o.t.Helper()
	host, port, err := net.SplitHostPort(o.addr)
	if err != nil {
		o.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(o.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "redis-cli", append([]string{"-h", host, "-p", port}, args...)...)
	cmd.Env = append(cmd.Environ(), "REDISCLI_AUTH="+o.key)
	out, err := cmd.CombinedOutput()
	if err != nil {
		o.t.Fatalf("redis-cli %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimRight(string(out), "\n")
}

func (o operator) want(want string, args ...string) {
	o.t.Helper()
	if got := o.cli(args...); got != want {
		o.t.Errorf("%s: %q, want %q", strings.Join(args, " "), got, want)
	}
}

// countingClients are clients that count, each on keys of its own: every INCR must find what the
// one before has left, so that none is lost, and none runs twice.
type countingClients struct {
	t       *testing.T
	names   string // what their keys' begin with
	counted atomic.Int64
	failed  atomic.Int64
	stop    context.CancelFunc
	running sync.WaitGroup
}

func startCounting(t *testing.T, addr, key, names string, n int) *countingClients {
	t.Helper()
	c := &countingClients{t: t, names: names}
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	for i := range n {
		client := testbed.Client(t, &redis.Options{Addr: addr, Password: key, MaxRetries: -1, PoolSize: 1})
		c.running.Go(func() {
			defer client.Close()
			c.count(ctx, client, i)
		})
	}
	t.Cleanup(func() { stop(); c.running.Wait() })
	return c
}

// count counts in pipelines, in transactions and while it blocks, in turn.
func (c *countingClients) count(ctx context.Context, client *redis.Client, i int) {
	key, list := fmt.Sprint("counter:", c.names, i), fmt.Sprint("list:", c.names, i)
	bg := context.Background()
	for n := int64(0); ctx.Err() == nil; {
		var got []*redis.IntCmd
		fill := func(p redis.Pipeliner) error {
			for range 5 {
				got = append(got, p.Incr(bg, key))
			}
			return nil
		}
		_, err := client.Pipelined(bg, fill)
		if err == nil {
			_, err = client.TxPipelined(bg, fill)
		}
		if err == nil {
			err = client.LPush(bg, list, 1).Err()
		}
		if err == nil {
			err = client.BLPop(bg, time.Minute, list).Err()
		}
		for _, cmd := range got {
			if n++; cmd.Err() == nil && cmd.Val() != n {
				c.t.Errorf("client %d counts %d, want %d", i, cmd.Val(), n)
				return
			}
		}
		if err != nil {
			c.failed.Add(1)
			c.t.Errorf("client %d after %d: %v", i, n, err)
			return
		}
		c.counted.Add(int64(len(got)))
	}
}

// goOn waits until the clients have counted on.
func (c *countingClients) goOn(what string) {
	c.t.Helper()
	from := c.counted.Load()
	testbed.Eventually(c.t, what, func() bool { return c.counted.Load() > from+100 || c.failed.Load() > 0 })
}

// TestOperationsUnderLoad has clients count while an operator pauses and resumes their
// instance and has its connections replaced, with redis-cli: no command fails, is lost or
// runs twice, and while the instance is paused its Redis is left alone.
func TestOperationsUnderLoad(t *testing.T) {
	cfg := testConfig(t)
	cfg.Loops = 2
	r := startServe(t, cfg)
	server := testbed.Redis(t)
	control := server.Client()
	key := r.tenant(t, "acme", server.Addr, nil)
	op := newOperator(t, r, testbed.Redis(t).Addr)
	load := startCounting(t, r.addr, key, "", 8)
	load.goOn("clients count")
	ran := func() string {
		stats, err := control.Info(t.Context(), "commandstats").Result()
		if err != nil {
			t.Fatal(err)
		}
		_, incr, _ := strings.Cut(stats, "cmdstat_incr:")
		calls, _, _ := strings.Cut(incr, ",")
		return calls
	}
	for range 3 {
		op.want("OK", "PROXY", "PAUSE", "acme/cache", "60000")
		if got := r.metric(t, `redis_paused{tenant="acme/cache"}`); got != 1 {
			t.Errorf("redis_paused is %v, want 1", got)
		}
		before := ran()
		newSpeaker(t, r.addr, key)
		op.want("PONG", "PING") // another instance
		if after := ran(); after != before {
			t.Errorf("paused, and it has run: %s, and before %s", after, before)
		}
		if show := op.cli("PROXY", "SHOW", "INSTANCES"); !strings.Contains(show, "acme/cache  "+server.Addr+"  ") || !strings.Contains(show, "s     ") {
			t.Errorf("SHOW INSTANCES does not say so:\n%s", show)
		}
		op.want("OK", "PROXY", "RESUME", "acme/cache")
		load.goOn("clients count again")
		if got := r.metric(t, `redis_paused{tenant="acme/cache"}`); got != 0 {
			t.Errorf("redis_paused is %v, want 0", got)
		}
	}
	for range 5 {
		before := backendClients(t, control)
		op.want("OK", "PROXY", "RECONNECT", "acme/cache")
		load.goOn("clients count over other connections")
		testbed.Eventually(t, "all connections are other ones", func() bool {
			now := backendClients(t, control)
			return !slices.ContainsFunc(before, func(id string) bool { return slices.Contains(now, id) })
		})
	}
	load.stop()
	load.running.Wait()
	if n := load.counted.Load(); n == 0 || load.failed.Load() > 0 {
		t.Errorf("%d counted, %d clients failed", n, load.failed.Load())
	}
	sum := int64(0)
	for i := range 8 {
		n, err := control.Get(t.Context(), fmt.Sprint("counter:", i)).Int64()
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	if sum != load.counted.Load() {
		t.Errorf("Redis has counted %d, the clients %d", sum, load.counted.Load())
	}
}

// TestOperationsOnAClusterUnderLoad does the same in front of a cluster.
func TestOperationsOnAClusterUnderLoad(t *testing.T) {
	cluster := testbed.NewCluster(t, 3, 0)
	r := startServe(t, testConfig(t))
	key := r.tenantAt(t, "acme", tenant.Secret(cluster.URL()), nil)
	op := newOperator(t, r, testbed.Redis(t).Addr)
	load := startCounting(t, r.addr, key, "", 8)
	load.goOn("clients count")
	for range 5 {
		op.want("OK", "PROXY", "PAUSE", "acme/cache", "60000")
		op.want("OK", "PROXY", "RECONNECT", "acme/cache")
		op.want("OK", "PROXY", "RESUME", "acme/cache")
		load.goOn("clients count again")
		op.want("OK", "PROXY", "RECONNECT", "acme/cache")
		load.goOn("clients count over other connections")
	}
	load.stop()
	load.running.Wait()
	if n := load.counted.Load(); n == 0 || load.failed.Load() > 0 {
		t.Errorf("%d counted, %d clients failed", n, load.failed.Load())
	}
}

// backendClients are the ids of a server's clients, but for c, which asks.
func backendClients(t *testing.T, c *redis.Client) (ids []string) {
	t.Helper()
	own, err := c.ClientID(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	list, err := c.ClientList(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(list) {
		if id, _, _ := strings.Cut(strings.TrimPrefix(line, "id="), " "); id != fmt.Sprint(own) {
			ids = append(ids, id)
		}
	}
	return ids
}

// speaker is a client that says commands and hears replies.
type speaker struct {
	t *testing.T
	net.Conn
	heard []byte
}

func newSpeaker(t *testing.T, addr, key string) *speaker {
	t.Helper()
	s := &speaker{t: t, Conn: dial(t, addr)}
	t.Cleanup(func() { s.Close() })
	if got := s.ask("AUTH " + key); got != "+OK|" {
		t.Fatalf("AUTH: %s", got)
	}
	return s
}

func (s *speaker) say(command string) {
	s.t.Helper()
	if _, err := io.WriteString(s, command+"\r\n"); err != nil {
		s.t.Fatal(err)
	}
}

// hear returns the next reply, with '|' for line ends, or why there is none.
func (s *speaker) hear() string {
	for buf := make([]byte, 1<<10); ; {
		var whole resp.ReplyFramer
		if n, done, err := whole.Next(s.heard); done || err != nil {
			reply := strings.ReplaceAll(string(s.heard[:n]), "\r\n", "|")
			s.heard = s.heard[n:]
			return reply
		}
		n, err := s.Read(buf)
		if err != nil {
			return err.Error()
		}
		s.heard = append(s.heard, buf[:n]...)
	}
}

func (s *speaker) ask(command string) string {
	s.t.Helper()
	s.say(command)
	return s.hear()
}

// TestPauseWaitsForTransactions: those that have begun come to their end, and what blocks is
// waited for; others do not begin.
func TestPauseWaitsForTransactions(t *testing.T) {
	cfg := testConfig(t)
	cfg.Pool.StallTimeout = 300 * time.Millisecond
	r := startServe(t, cfg)
	key := r.tenant(t, "acme", testbed.Redis(t).Addr, nil)
	op := newOperator(t, r, testbed.Redis(t).Addr)
	open, blocked := newSpeaker(t, r.addr, key), newSpeaker(t, r.addr, key)
	if got := open.ask("MULTI") + open.ask("SET a 1"); got != "+OK|+QUEUED|" {
		t.Fatalf("a transaction: %s", got)
	}
	blocked.say("BLPOP list 2")
	testbed.Eventually(t, "a client is blocked", func() bool { return strings.Contains(op.cli("PROXY", "SHOW", "CLIENTS"), "blocked") })
	op.want("ERR 'acme/cache' is paused, and 2 of its commands and transactions have not ended yet", "PROXY", "PAUSE", "acme/cache", "60000")
	if got := open.ask("GET a") + open.ask("EXEC"); got != "+QUEUED|*2|+OK|$1|1|" {
		t.Errorf("the transaction ends with %s", got)
	}
	if got := blocked.hear(); got != "*-1|" {
		t.Errorf("what blocked ends with %s", got)
	}
	testbed.Eventually(t, "nothing is under way", func() bool { return op.cli("PROXY", "PAUSE", "acme/cache") == "OK" })
	open.say("MULTI\r\nEXEC")
	op.want("OK", "PROXY", "RESUME", "acme/cache")
	if got := open.hear() + open.hear(); got != "+OK|*0|" {
		t.Errorf("a transaction after the pause: %s", got)
	}
}

// TestKillInstance ends its clients and connections, and no others; new ones wait.
func TestKillInstance(t *testing.T) {
	r := startServe(t, testConfig(t))
	server := testbed.Redis(t)
	key := r.tenant(t, "acme", server.Addr, nil)
	op := newOperator(t, r, testbed.Redis(t).Addr)
	c, mine := newSpeaker(t, r.addr, key), newSpeaker(t, r.addr, op.key)
	if got := c.ask("SET a 1"); got != "+OK|" {
		t.Fatal(got)
	}
	op.want("OK", "PROXY", "KILL", "acme/cache")
	if got := c.hear(); got != "EOF" {
		t.Errorf("the client hears %q, want the end", got)
	}
	if got := mine.ask("PING"); got != "+PONG|" {
		t.Errorf("another instance's client is told %s", got)
	}
	next := newSpeaker(t, r.addr, key)
	next.say("GET a")
	op.want("OK", "PROXY", "RESUME", "acme/cache")
	if got := next.hear(); got != "$1|1|" {
		t.Errorf("after RESUME it is told %s", got)
	}
}

// TestOperatorsConfigHasNoSecrets reads the whole configuration in redis-cli.
func TestOperatorsConfigHasNoSecrets(t *testing.T) {
	cfg := testConfig(t)
	cfg.HTTP.AdminToken, cfg.HTTP.MetricsToken = "canary-0123456789abcdef0123456789", "canary-0123456789abcdef0123456780"
	r := startServe(t, cfg)
	op := newOperator(t, r, testbed.Redis(t).Addr)
	shown := op.cli("PROXY", "SHOW", "CONFIG")
	for _, line := range []string{"http.admin_token (hidden) - yes", "store.dsn (hidden) file:var/respgate.db no", "pool.idle_timeout 5m 5m yes", "limits.auth_timeout 10s 10s yes", "rate_limit.default_rps 0 100 yes"} {
		if !strings.Contains(strings.Join(strings.Fields(shown), " "), line) {
			t.Errorf("it does not say %q:\n%s", line, shown)
		}
	}
	if strings.Contains(shown, "canary") {
		t.Errorf("it tells a secret:\n%s", shown)
	}
	if got, want := len(strings.Split(shown, "\n")), len(cfg.settings())+1; got != want {
		t.Errorf("it has %d lines, want %d", got, want)
	}
}
