package main

import (
	"bufio"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// next is line for what may never come.
func (x *talker) next() string {
	_ = x.SetReadDeadline(time.Now().Add(5 * time.Second))
	return x.line()
}

// TestGroupFollowsSelectAndHello changes what a session's links are for after some have been
// used: commands go to the new database, and replies come in the new protocol.
func TestGroupFollowsSelectAndHello(t *testing.T) {
	server := testbed.Redis(t)
	r := startServe(t, testConfig(t))
	x := talkTo(t, r.addr, r.tenantAt(t, "acme", tenant.Secret("redis://"+server.Addr+"/0?read_from=prefer_replica"), limits(0, 0)))
	x.send("SET a 0", "SELECT 1", "SET a 1", "GET a", "SELECT 0", "GET a")
	x.expect("+OK", "+OK", "+OK", "$1", "1", "+OK", "$1", "0")
	x.send("HSET h f v", "HELLO 3")
	x.expect(":1")
	x.map3()
	x.send("HGETALL h")
	x.expect("%1", "$1", "f", "$1", "v")
}

// TestGroupGreetsFirst has the first client of a group pipeline behind its HELLO: that is
// answered first.
func TestGroupGreetsFirst(t *testing.T) {
	server := testbed.Redis(t)
	r := startServe(t, testConfig(t))
	key := r.tenantAt(t, "acme", tenant.Secret("redis://"+server.Addr+"/0?read_from=prefer_replica"), limits(0, 0))
	got := talk(t, r.addr, string(commands("HELLO 3 AUTH default "+key, "SET a 1", "QUIT")))
	if !strings.HasPrefix(got, "%7|") || !strings.HasSuffix(got, "|+OK|+OK|") {
		t.Errorf("got %s", got)
	}
}

// TestClusterRefusesTracking has CLIENT TRACKING refused: the keys of other nodes would not
// be tracked.
func TestClusterRefusesTracking(t *testing.T) {
	c := testbed.NewScriptedCluster(t, 2, func(int, []string) string { return "+OK\r\n" })
	r := startServe(t, testConfig(t))
	x := talkTo(t, r.addr, r.tenantAt(t, "acme", tenant.Secret(c.URL()), limits(0, 0)))
	for _, command := range []string{"CLIENT TRACKING ON", "CLIENT TRACKING OFF", "CLIENT NO-TOUCH ON"} {
		x.send(command)
		if got := x.line(); !strings.HasSuffix(got, "is not supported for a cluster") {
			t.Errorf("%s: %q, want an error", command, got)
		}
	}
}

// TestClusterEndsTheWaitOfOneThatLeaves has a client wait at one node after the other, and
// leave: nothing waits for it any more.
func TestClusterEndsTheWaitOfOneThatLeaves(t *testing.T) {
	c := testbed.NewCluster(t, 3, 0)
	r := startServe(t, testConfig(t))
	key := r.tenantAt(t, "acme", tenant.Secret(c.URL()), limits(0, 0))
	x, other := talkTo(t, r.addr, key), talkTo(t, r.addr, key)
	other.send("CLIENT LIST")
	list := other.value()
	id, _, _ := strings.Cut(strings.TrimPrefix(list, "id="), " ")
	other.line()
	other.line()
	blocked := func(of string) string {
		node := c.OwnerOf(pool.Slot([]byte(of)))
		return node.Client().InfoMap(t.Context(), "clients").Item("Clients", "blocked_clients")
	}
	for _, of := range []string{"a", "b", "c"} {
		x.send("BLPOP " + of + " 0")
		testbed.Within(t, 5*time.Second, "the client waits", func() bool { return blocked(of) == "1" })
		if of == "c" {
			break
		}
		other.send("CLIENT UNBLOCK " + id)
		if got := other.next(); got != ":1" {
			t.Fatalf("CLIENT UNBLOCK: %q", got)
		}
		x.expect("*-1")
	}
	_ = x.Close()
	testbed.Within(t, 5*time.Second, "nothing waits", func() bool { return blocked("c") == "0" })
}

// TestClusterLostAtMulti loses the node while a transaction is opened: the client is not
// left waiting.
func TestClusterLostAtMulti(t *testing.T) {
	c := testbed.NewScriptedCluster(t, 1, func(_ int, command []string) string {
		if command[0] == "MULTI" {
			return testbed.Closes
		}
		return "+OK\r\n"
	})
	r := startServe(t, testConfig(t))
	x := talkTo(t, r.addr, r.tenantAt(t, "acme", tenant.Secret(c.URL()), limits(0, 0)))
	x.send("MULTI", "PUBLISH a b", "SET a 1")
	x.expect("+OK", "+QUEUED")
	begun := time.Now()
	if got := x.next(); got != "end" || time.Since(begun) > 4*time.Second {
		t.Errorf("got %q after %v, want the end", got, time.Since(begun))
	}
}

// TestClusterRefusesMulti has a node refuse MULTI: what was queued is not executed.
func TestClusterRefusesMulti(t *testing.T) {
	var published atomic.Int64
	c := testbed.NewScriptedCluster(t, 1, func(_ int, command []string) string {
		switch command[0] {
		case "MULTI":
			return "-LOADING Redis is loading the dataset in memory\r\n"
		case "PUBLISH":
			published.Add(1)
		}
		return "+OK\r\n"
	})
	r := startServe(t, testConfig(t))
	x := talkTo(t, r.addr, r.tenantAt(t, "acme", tenant.Secret(c.URL()), limits(0, 0)))
	x.send("MULTI", "PUBLISH a b", "SET a 1", "EXEC", "SET a 1")
	x.expect("+OK", "+QUEUED", "-LOADING Redis is loading the dataset in memory", "-EXECABORT Transaction discarded because of previous errors.", "+OK")
	if published.Load() > 0 {
		t.Error("a command of a transaction that was refused has been executed")
	}
}

// TestClusterShrinks takes a node away from a client that something binds to it.
func TestClusterShrinks(t *testing.T) {
	var moved atomic.Bool
	var c *testbed.ScriptedCluster
	c = testbed.NewScriptedCluster(t, 2, func(node int, command []string) string {
		if node == 1 && command[0] == "GET" && moved.Load() {
			return "-MOVED 15495 " + c.Addrs[0] + "\r\n"
		}
		return "+" + strconv.Itoa(node) + "\r\n"
	})
	r := startServe(t, testConfig(t))
	x := talkTo(t, r.addr, r.tenantAt(t, "acme", tenant.Secret(c.URL()), limits(0, 0)))
	x.send("WATCH a", "GET a", "GET b")
	x.expect("+1", "+1", "+0")
	moved.Store(true)
	c.Share(0)
	x.send("GET a")
	x.expect("+0")
	testbed.Within(t, 5*time.Second, "the layout changes", func() bool {
		return r.metric(t, `redis_topology_refreshes_total{result="changed"`) >= 2
	})
	x.send("ECHO x", "SCAN x", "UNWATCH", "ECHO x")
	if got := []string{x.next(), x.next(), x.next(), x.next()}; strings.Join(got, " ") != "+0 +0 +1 +0" {
		t.Errorf("got %q", got)
	}
}

// TestClusterChangesWhileALinkIsWaitedFor moves a slot while a client waits for a link of
// its own to the node that had it.
func TestClusterChangesWhileALinkIsWaitedFor(t *testing.T) {
	var c *testbed.ScriptedCluster
	var moved atomic.Bool
	c = testbed.NewScriptedCluster(t, 2, func(node int, command []string) string {
		if node == 1 && command[0] == "GET" && moved.Load() {
			return "-MOVED 15495 " + c.Addrs[0] + "\r\n"
		}
		return "+" + strconv.Itoa(node) + "\r\n"
	})
	cfg := testConfig(t)
	cfg.Pool.PinnedMax, cfg.Pool.PinnedWait = 1, time.Hour
	r := startServe(t, cfg)
	key := r.tenantAt(t, "acme", tenant.Secret(c.URL()), limits(0, 0))
	x, y, z := talkTo(t, r.addr, key), talkTo(t, r.addr, key), talkTo(t, r.addr, key)
	x.send("WATCH b")
	x.expect("+0")
	y.send("WATCH a")
	moved.Store(true)
	c.Share(1, 0)
	z.send("GET a")
	z.expect("+0")
	testbed.Within(t, 5*time.Second, "the layout changes", func() bool {
		return r.metric(t, `redis_topology_refreshes_total{result="changed"`) >= 2
	})
	x.send("UNWATCH")
	x.expect("+0")
	begun := time.Now()
	if got := y.next(); got != "+0" || time.Since(begun) > 4*time.Second {
		t.Errorf("WATCH: %q after %v", got, time.Since(begun))
	}
}

// TestGroupChangesWhileItIsLookedFor changes or deletes an instance while a client waits for
// its servers to be found: the client goes on.
func TestGroupChangesWhileItIsLookedFor(t *testing.T) {
	silent := testbed.Redis(t)
	silent.Freeze()
	defer silent.Thaw()
	server := testbed.Redis(t)
	for _, c := range []struct {
		name   string
		change func(r *running) error
		want   string
	}{
		{"another URL", func(r *running) error {
			_, err := r.store.UpdateInstance(t.Context(), "acme", "cache", at(tenant.Secret("redis://"+server.Addr)))
			return err
		}, "+OK"},
		{"deleted", func(r *running) error {
			return r.store.DeleteInstance(t.Context(), "acme", "cache", store.Deletion{Force: true})
		}, "end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := testConfig(t)
			cfg.Pool.DialTimeout = 2 * time.Second
			r := startServe(t, cfg)
			key := r.tenantAt(t, "acme", tenant.Secret("redis-cluster://"+silent.Addr), limits(0, 0))
			x := &talker{t, dial(t, r.addr), nil}
			defer x.Close()
			x.in = bufio.NewReader(x.Conn)
			x.send("AUTH " + key)
			testbed.Within(t, 5*time.Second, "the client authenticates", func() bool {
				return r.metric(t, "client_connections") == 1
			})
			if err := c.change(r); err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			got := x.next()
			if c.want == "end" && got == "+OK" {
				got = x.next()
			}
			if got != c.want || time.Since(begun) > 4*time.Second {
				t.Errorf("got %q after %v, want %q", got, time.Since(begun), c.want)
			}
		})
	}
}

// TestGroupIsLeftByABusyClient gives an instance another URL while a client always has
// commands under way: what it sends later goes there.
func TestGroupIsLeftByABusyClient(t *testing.T) {
	said := func(word string) *testbed.ScriptedCluster {
		return testbed.NewScriptedCluster(t, 1, func(int, []string) string {
			time.Sleep(5 * time.Millisecond) // so that the client is always owed something
			return "+" + word + "\r\n"
		})
	}
	before, after := said("before"), said("after")
	r := startServe(t, testConfig(t))
	x := talkTo(t, r.addr, r.tenantAt(t, "acme", tenant.Secret(before.URL()), limits(0, 0)))
	x.send("GET a", "GET a", "GET a", "GET a", "GET a")
	x.expect("+before")
	if _, err := r.store.UpdateInstance(t.Context(), "acme", "cache", at(tenant.Secret(after.URL()))); err != nil {
		t.Fatal(err)
	}
	testbed.Within(t, 5*time.Second, "the client's commands go to the other cluster", func() bool {
		x.send("GET a")
		return x.line() == "+after"
	})
}

// TestClusterMovesThoseThatWait moves a slot of which only a client that waits learns: it
// waits at the other node, and the layout is found out again.
func TestClusterMovesThoseThatWait(t *testing.T) {
	var c *testbed.ScriptedCluster
	var moved atomic.Bool
	c = testbed.NewScriptedCluster(t, 2, func(node int, command []string) string {
		switch {
		case node == 0 && command[0] == "ASKING":
			return "+OK\r\n"
		case node == 1 && moved.Load():
			return "-MOVED 15495 " + c.Addrs[0] + "\r\n"
		case node == 1 && command[1] == "d":
			return "-ASK 11298 " + c.Addrs[0] + "\r\n"
		}
		return "+" + strconv.Itoa(node) + "\r\n"
	})
	r := startServe(t, testConfig(t))
	x := talkTo(t, r.addr, r.tenantAt(t, "acme", tenant.Secret(c.URL()), limits(0, 0)))
	x.send("BLPOP a 0", "BLPOP d 0", "GET a", "GET b")
	x.expect("+1", "+0", "+1", "+0")
	testbed.Within(t, 5*time.Second, "nobody looks any more", func() bool {
		return r.metric(t, `redis_topology_refreshes_total{result="ok"`) >= 1
	})
	moved.Store(true)
	c.Share(0)
	x.send("BLPOP a 0", "GET b")
	x.expect("+0", "+0")
	testbed.Within(t, 5*time.Second, "the layout changes", func() bool {
		return r.metric(t, `redis_topology_refreshes_total{result="changed"`) >= 2
	})
}
