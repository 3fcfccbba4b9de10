package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/backup"
	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/move"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// moveInstance runs `respgate instance move` of acme/cache, in this process, and returns what
// it prints, its complaint last, and whether it has moved it.
func moveInstance(ctx context.Context, t *testing.T, cfg Config, to string, flags ...string) (out string, moved bool) {
	t.Helper()
	t.Setenv("RESPGATE_STORE_DRIVER", cfg.Store.Driver)
	t.Setenv("RESPGATE_STORE_DSN", cfg.Store.DSN.Reveal())
	t.Setenv("RESPGATE_SECRET_KEY", cfg.SecretKey.Reveal())
	var text testbed.Buffer
	args := append([]string{"instance", "move", "--org", "acme", "--name", "cache", "--url", to, "--yes"}, flags...)
	status := run(ctx, args, &bytes.Buffer{}, &text, &text)
	return text.String(), status == 0
}

// TestMoveUnderLoad has clients count through two proxies of one store while their instance is
// moved to a cluster and back: no command fails, is lost or runs twice. Clients count in pipelines,
// transactions and with commands that block.
func TestMoveUnderLoad(t *testing.T) {
	cfg := testConfig(t)
	cfg.Loops = 2
	east, west := startServe(t, cfg), startServe(t, cfg)
	server := testbed.Redis(t)
	old := server.Client()
	key := east.tenant(t, "acme", server.Addr, nil)
	for i := range 300 {
		old.Set(t.Context(), fmt.Sprint("key:", i), i, time.Hour)
	}
	loads := []*countingClients{startCounting(t, east.addr, key, "east", 4), startCounting(t, west.addr, key, "west", 4)}
	for _, to := range []string{testbed.NewCluster(t, 3, 0).URL(), "redis://" + server.Addr + "/0"} {
		for _, load := range loads {
			load.goOn("clients count")
		}
		out, moved := moveInstance(t.Context(), t, cfg, to, "--hold-timeout", "1m", "--replace")
		if !moved || !strings.Contains(out, "moved acme/cache") || strings.Contains(out, "warning") {
			t.Fatalf("not moved:\n%s", out)
		}
		for _, load := range loads {
			load.goOn("clients count at the new backend")
		}
	}
	var sum, got int64
	for _, load := range loads {
		load.stop()
		load.running.Wait()
		if load.failed.Load() > 0 {
			t.Errorf("%d clients failed", load.failed.Load())
		}
		sum += load.counted.Load()
		for i := range 4 {
			n, err := old.Get(t.Context(), fmt.Sprint("counter:", load.names, i)).Int64()
			if err != nil {
				t.Fatal(err)
			}
			got += n
		}
	}
	if got != sum {
		t.Errorf("Redis has counted %d, the clients %d", got, sum)
	}
	if ttl, err := old.TTL(t.Context(), "key:7").Result(); err != nil || ttl <= 50*time.Minute || ttl > time.Hour {
		t.Errorf("a key expires in %v, %v, want in about an hour", ttl, err)
	}
	wantEvent(t, east.store, tenant.Done, "keys; writes were held for")
}

// TestGivenACluster has a client write while its instance's URL becomes a cluster's: no command is
// refused because nobody has looked yet at who is who there. Where the URL changes again a
// transaction ends, also one that is not at a node yet.
func TestGivenACluster(t *testing.T) {
	r := startServe(t, testConfig(t))
	x := talkTo(t, r.addr, r.tenant(t, "acme", testbed.Redis(t).Addr, nil))
	cluster := testbed.NewCluster(t, 3, 0)
	there := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{cluster.Primaries[0].Addr}})
	defer there.Close()
	if _, err := r.store.UpdateInstance(t.Context(), "acme", "cache", at(tenant.Secret(cluster.URL()))); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "writes go to the cluster", func() bool {
		for range 1000 {
			x.send("SET k v")
			x.expect("+OK")
		}
		return there.Exists(t.Context(), "k").Val() == 1
	})
	x.send("MULTI", "PING")
	x.expect("+OK", "+QUEUED")
	if _, err := r.store.UpdateInstance(t.Context(), "acme", "cache", at("redis://127.0.0.1:1")); err != nil {
		t.Fatal(err)
	}
	if line := x.line(); line != "end" {
		t.Errorf("a client in a transaction that no node has yet reads %q, want the end", line)
	}
}

// wantEvent wants the newest event of a move in the audit log.
func wantEvent(t *testing.T, st *store.Store, outcome tenant.Outcome, detail string) {
	t.Helper()
	events, err := st.Events(t.Context(), store.EventFilter{Action: actionMove}, store.Page{})
	if err != nil || len(events) == 0 || events[0].Outcome != outcome || !strings.Contains(events[0].Detail, detail) {
		t.Errorf("the audit log has %+v, %v, want %s with %q", events, err, outcome, detail)
	}
}

// TestMoveRollsBack: whatever goes wrong before the switch, the instance stays where it was, its
// clients are served on, and what has been copied is deleted.
func TestMoveRollsBack(t *testing.T) {
	cfg := testConfig(t)
	r := startServe(t, cfg)
	server, fresh, full := testbed.Redis(t), testbed.Redis(t), testbed.Redis(t)
	key := r.tenant(t, "acme", server.Addr, nil)
	x := talkTo(t, r.addr, key)
	full.Client().Set(t.Context(), "there", 1, 0)
	taken := testbed.Redis(t)
	r.tenant(t, "globex", taken.Addr, nil)
	open := talkTo(t, r.addr, key)
	x.send("SET k 1")
	x.expect("+OK")
	for _, c := range []struct {
		name, to, want string
		flags          []string
		before         func()
		after          func()
	}{
		{name: "a backend that is not there", to: "127.0.0.1:1", want: "the new backend cannot be reached: "},
		{name: "one that has keys", to: full.Addr, want: "want an empty one, or --replace"},
		{name: "one that another instance has", to: taken.Addr, want: "instance globex/cache is on that server"},
		{name: "the same one", to: server.Addr, want: "it is where the instance is"},
		{name: "the same one by another name", to: strings.Replace(server.Addr, "127.0.0.1", "localhost", 1), want: "the source and the target are the same server", flags: []string{"--replace"}},
		{name: "another database", to: fresh.Addr + "/3", want: "database 3"},
		{name: "a time that is none", to: fresh.Addr, want: "--hold-timeout: want", flags: []string{"--hold-timeout", "1ms"}},
		{name: "a proxy that does not answer", to: fresh.Addr, want: "lost01 in eu", flags: []string{"--answer-timeout", "2s"}, before: func() {
			if _, err := r.store.ReportProxy(t.Context(), tenant.Proxy{ID: "lost01", Region: "eu", StartedAt: time.Now(), SeenAt: time.Now()}, nil); err != nil {
				t.Fatal(err)
			}
		}, after: func() {
			if err := r.store.ForgetProxy(t.Context(), "lost01"); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "a transaction that does not end in time", to: fresh.Addr, want: "longer than --hold-timeout", flags: []string{"--hold-timeout", "300ms"},
			before: func() { open.send("MULTI", "SET k 1"); open.expect("+OK", "+QUEUED") }},
	} {
		if c.before != nil {
			c.before()
		}
		out, moved := moveInstance(t.Context(), t, cfg, "redis://"+c.to, c.flags...)
		if moved || !strings.Contains(out, c.want) {
			t.Errorf("%s: moved = %v, want %q in\n%s", c.name, moved, c.want, out)
		}
		if c.after != nil {
			c.after()
		}
		x.send("SET k 1", "GET k")
		x.expect("+OK", "$1", "1")
		if n := fresh.Client().DBSize(t.Context()).Val(); n != 0 {
			t.Errorf("%s: %d keys are left at the new backend", c.name, n)
		}
	}
	wantEvent(t, r.store, tenant.Failed, "")
	if out, ok := moveInstance(t.Context(), t, cfg, "redis://"+fresh.Addr, "--dry-run"); !ok || !strings.Contains(out, "with 1 keys to Redis") {
		t.Errorf("--dry-run:\n%s", out)
	}
	x.send("GET k")
	x.expect("$1", "1")
}

// TestMoveWithState: what a client has in its connection does not go along. One that waits for an
// element gets the answer of a wait whose time is over, one with an open transaction or a
// subscription has to connect again.
func TestMoveWithState(t *testing.T) {
	cfg := testConfig(t)
	r := startServe(t, cfg)
	server, fresh := testbed.Redis(t), testbed.Redis(t)
	key := r.tenant(t, "acme", server.Addr, nil)
	waits, transacts, subscribes, watches := talkTo(t, r.addr, key), talkTo(t, r.addr, key), talkTo(t, r.addr, key), talkTo(t, r.addr, key)
	waits.send("BLPOP queue 0")
	transacts.send("MULTI", "SET lost 1")
	transacts.expect("+OK", "+QUEUED")
	subscribes.send("SUBSCRIBE news")
	subscribes.expect("*3", "$9", "subscribe", "$4", "news", ":1")
	watches.send("WATCH k")
	watches.expect("+OK")
	refused := talkTo(t, r.addr, r.key(t, "acme", func(k *tenant.Key) { k.Commands = "+@all -watch -multi" }))
	mayNot := talkTo(t, r.addr, r.key(t, "acme", func(k *tenant.Key) { k.Commands = "+@all -watch" }))
	refused.send("MULTI")
	refused.expect("-NOPERM this key has no permissions to run the 'multi' command")
	mayNot.send("WATCH k")
	mayNot.expect("-NOPERM this key has no permissions to run the 'watch' command")
	testbed.Eventually(t, "BLPOP waits", func() bool {
		return strings.Contains(server.Client().Info(t.Context(), "clients").Val(), "blocked_clients:1")
	})
	if out, moved := moveInstance(t.Context(), t, cfg, "redis://"+fresh.Addr, "--hold-timeout", "1m"); !moved {
		t.Fatalf("not moved:\n%s", out)
	}
	waits.expect("*-1")
	waits.send("LPUSH queue 1", "BLPOP queue 0")
	waits.expect(":1", "*2", "$5", "queue", "$1", "1")
	refused.send("SET lost 1", "EXEC")
	refused.expect("-EXECABORT Transaction not begun: MULTI was refused. EXEC or DISCARD ends this state.", "-EXECABORT Transaction discarded because of previous errors.")
	mayNot.send("MULTI", "SET lost 1", "EXEC")
	mayNot.expect("+OK", "+QUEUED", "-EXECABORT Transaction discarded because of previous errors.")
	for name, c := range map[string]*talker{"in a transaction": transacts, "subscribed": subscribes, "watching": watches} {
		if line := c.line(); line != "end" {
			t.Errorf("a client that was %s reads %q, want the end", name, line)
		}
	}
	if n := fresh.Client().Exists(t.Context(), "lost").Val() + server.Client().Exists(t.Context(), "lost").Val(); n != 0 {
		t.Error("a transaction without EXEC was executed")
	}
}

// TestMoverIsKilled: writes go on soon when who has had them wait is not heard of any more, at
// the old backend, and who moves the instance then can.
func TestMoverIsKilled(t *testing.T) {
	cfg := testConfig(t)
	r := startServe(t, cfg)
	server, fresh := testbed.Redis(t), testbed.Redis(t)
	x := talkTo(t, r.addr, r.tenant(t, "acme", server.Addr, nil))
	m, _, err := r.store.BeginMove(t.Context(), "acme", "cache", fresh.Addr)
	if err == nil {
		err = r.store.HoldMove(t.Context(), m.Token)
	}
	if err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "writes wait", func() bool { return strings.Contains(r.log.String(), "its commands wait") })
	x.send("SET k 1")
	x.expect("+OK") // once the proxy has given the mover up
	if want := `is not heard of any more" tenant=acme/cache` + "\n"; !strings.Contains(r.log.String(), want) {
		t.Errorf("the log has not %q:\n%s", want, r.log)
	}
	if _, err := r.store.FinishMove(t.Context(), m.Token, 1, "redis://nowhere"); !errors.Is(err, tenant.ErrNotFound) {
		t.Errorf("the switch of a move that was given up: %v", err)
	}
	if got := server.Client().Get(t.Context(), "k").Val(); got != "1" {
		t.Errorf("the old backend has %q", got)
	}
	if out, moved := moveInstance(t.Context(), t, cfg, "redis://"+fresh.Addr, "--hold-timeout", "1m"); !moved {
		t.Fatalf("not moved:\n%s", out)
	}
	x.send("GET k")
	x.expect("$1", "1")
}

// relay is a way to a server that can be cut.
type relay struct {
	to    string
	addr  string
	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{to: to, addr: ln.Addr().String()}
	var running sync.WaitGroup
	t.Cleanup(func() { _ = ln.Close(); r.set(true); running.Wait() })
	running.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() { r.pass(c) })
		}
	})
	return r
}

func (r *relay) pass(c net.Conn) {
	defer c.Close()
	server, err := net.Dial("tcp", r.to)
	if err != nil {
		return
	}
	defer server.Close()
	r.mu.Lock()
	gone := r.cut
	r.conns = append(r.conns, c, server)
	r.mu.Unlock()
	if gone {
		return
	}
	go func() { _, _ = io.Copy(server, c); _ = server.Close() }()
	_, _ = io.Copy(c, server)
}

// set cuts the way or mends it.
func (r *relay) set(cut bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = cut
	for _, c := range r.conns {
		_ = c.Close()
	}
	r.conns = nil
}

// TestMoveBehindAPartition has one of two proxies lose the store while an instance is moved: it
// stops serving that instance by itself before the switch, so that it writes nothing to the old
// backend, and goes on at the new one when it reaches the store again.
func TestMoveBehindAPartition(t *testing.T) {
	pg := testbed.Postgres(t)
	cfg := testConfig(t)
	cfg.Store.Driver, cfg.Store.DSN, cfg.SecretKey = "postgres", tenant.Secret(pg.Database()), tenant.Secret(strings.Repeat("s", store.MinSecret))
	u, err := url.Parse(cfg.Store.DSN.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	way := newRelay(t, u.Host)
	u.Host = way.addr
	east := startServe(t, cfg)
	cfg.Store.DSN = tenant.Secret(u.String())
	west := startServe(t, cfg)
	old, fresh := testbed.Redis(t), testbed.Redis(t)
	key := east.tenant(t, "acme", old.Addr, nil)
	load := startCounting(t, west.addr, key, "west", 2)
	load.goOn("clients count")
	ends := move.Ends{Old: backup.Server(&redis.Options{Addr: old.Addr}), New: backup.Server(&redis.Options{Addr: fresh.Addr})}
	result, err := move.Run(t.Context(), east.store, ends, move.Options{
		Org: "acme", Name: "cache", URL: tenant.Secret("redis://" + fresh.Addr), HoldTimeout: time.Minute, Answer: 2 * time.Second,
		Say: func(line string) {
			if strings.Contains(line, "2 proxies know of the move") {
				way.set(true)
			}
		},
	})
	if err != nil || len(result.Behind) != 1 {
		t.Fatalf("moved %+v, %v, want one proxy behind", result, err)
	}
	before := old.Client().Get(t.Context(), "counter:west0").Val()
	x := talkTo(t, east.addr, key)
	x.send("SET k new")
	x.expect("+OK")
	if after := old.Client().Get(t.Context(), "counter:west0").Val(); after != before {
		t.Errorf("the old backend has counted from %s to %s after the switch", before, after)
	}
	if !strings.Contains(west.log.String(), "is not served until the store answers") {
		t.Error("the proxy behind the partition does not say that it has stopped")
	}
	way.set(false)
	load.goOn("clients count at the new backend")
	load.stop()
	load.running.Wait()
	sum := int64(0)
	for i := range 2 {
		n, err := fresh.Client().Get(t.Context(), fmt.Sprint("counter:west", i)).Int64()
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	if sum != load.counted.Load() || load.failed.Load() > 0 {
		t.Errorf("Redis has counted %d, the clients %d; %d failed", sum, load.counted.Load(), load.failed.Load())
	}
}
