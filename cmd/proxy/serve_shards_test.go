package main

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/tenant"
)

// TestClusterShardChannels has one client subscribe to shard channels of all nodes, as it
// may at one Redis: it gets what is said on them, also when a slot has moved.
func TestClusterShardChannels(t *testing.T) {
	c := testbed.NewCluster(t, 3, 0)
	r := startServe(t, testConfig(t))
	key := r.tenantAt(t, "acme", tenant.Secret(c.URL()), limits(0, 0))
	other := talkTo(t, r.addr, key)
	for _, proto := range []string{"2", "3"} {
		t.Run("RESP"+proto, func(t *testing.T) {
			push, none := map[string]string{"2": "*", "3": ">"}[proto], map[string]string{"2": "$-1", "3": "_"}[proto]
			x := talkTo(t, r.addr, key)
			x.send("HELLO " + proto)
			for line := x.line(); line != "modules"; {
				line = x.line()
			}
			x.expect("*0")
			other.t = t
			x.send("SUNSUBSCRIBE", "SSUBSCRIBE a b c d a")
			x.expect(push+"3", "$12", "sunsubscribe", none, ":0")
			for i, name := range []string{"a", "b", "c", "d", "a"} {
				x.expect(push+"3", "$10", "ssubscribe", "$1", name, ":"+string("12344"[i]))
			}
			for _, name := range []string{"c", "a", "d", "b"} {
				other.send("SPUBLISH " + name + " x")
				other.expect(":1")
				x.expect(push+"3", "$8", "smessage", "$1", name, "$1", "x")
			}
			if proto == "2" {
				x.send("PING", "PING hi", "GET k", "CLIENT ID")
				x.expect("*2", "$4", "pong", "$0", "", "*2", "$4", "pong", "$2", "hi",
					"-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
					"-ERR Can't execute 'client|id': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context")
			} else {
				x.send("SET a 1", "SET b 2", "MGET a b")
				x.expect("+OK", "+OK", "*2", "$1", "1", "$1", "2")
			}
			x.send("SUBSCRIBE a")
			x.expect(push+"3", "$9", "subscribe", "$1", "a", ":1")
			other.send("PUBLISH a y")
			other.line()
			x.expect(push+"3", "$7", "message", "$1", "a", "$1", "y")

			slot := pool.Slot([]byte("a"))
			from := c.OwnerOf(slot)
			for _, to := range c.Primaries {
				if to != from {
					c.MigrateSlot(slot, from, to, nil)
					break
				}
			}
			testbed.Eventually(t, "the channel is followed", func() bool {
				other.send("PUBSUB SHARDNUMSUB a", "SPUBLISH a z")
				other.expect("*2", "$1", "a")
				other.line()
				return other.line() == ":1"
			})
			x.expect(push+"3", "$8", "smessage", "$1", "a", "$1", "z")
			x.send("SUNSUBSCRIBE b nosuch")
			x.expect(push+"3", "$12", "sunsubscribe", "$1", "b", ":3", push+"3", "$12", "sunsubscribe", "$6", "nosuch", ":3")
			x.send("SUNSUBSCRIBE", "UNSUBSCRIBE", "PING")
			for i, name := range []string{"a", "c", "d"} {
				x.expect(push+"3", "$12", "sunsubscribe", "$1", name, ":"+string("210"[i]))
			}
			x.expect(push+"3", "$11", "unsubscribe", "$1", "a", ":0", "+PONG")
		})
	}
	testbed.Within(t, 10*time.Second, "no subscriber's link is left", func() bool {
		return r.metric(t, `redis_connections_active{kind="subscriber"`) == 0
	})
}

// TestClusterShardNodeDies has the node of a shard channel die: its subscriber must know.
func TestClusterShardNodeDies(t *testing.T) {
	c := testbed.NewCluster(t, 3, 1)
	r := startServe(t, testConfig(t))
	key := r.tenantAt(t, "acme", tenant.Secret(c.URL()), limits(0, 0))
	x := talkTo(t, r.addr, key)
	x.send("SSUBSCRIBE a b")
	for range 12 {
		x.line()
	}
	c.OwnerOf(pool.Slot([]byte("a"))).Kill()
	for line := ""; line != "end"; line = x.line() {
		if strings.HasPrefix(line, "-") {
			t.Errorf("a subscriber is told %q", line)
		}
	}
}

// TestClusterShardChannelGivenUpWhileItMoves has the slot of a client's only channel move away,
// and the client end its subscription before the channel is found again: it is not subscribed
// to any more, there or here.
func TestClusterShardChannelGivenUpWhileItMoves(t *testing.T) {
	var asked, served, ended atomic.Int64
	c := testbed.NewScriptedCluster(t, 1, func(_ int, command []string) string {
		switch strings.ToLower(command[0]) {
		case "ssubscribe":
			const confirmed = "*3\r\n$10\r\nssubscribe\r\n$1\r\nc\r\n:1\r\n"
			switch {
			case asked.Add(1) == 1:
				return confirmed + "*3\r\n$12\r\nsunsubscribe\r\n$1\r\nc\r\n:0\r\n"
			case served.Load() == 0:
				return "-TRYAGAIN not yet\r\n"
			}
			return confirmed + "*3\r\n$8\r\nsmessage\r\n$1\r\nc\r\n$1\r\nx\r\n"
		case "sunsubscribe":
			ended.Add(1)
			return "*3\r\n$12\r\nsunsubscribe\r\n$1\r\nc\r\n:0\r\n"
		}
		return "+OK\r\n"
	})
	r := startServe(t, testConfig(t))
	x := talkTo(t, r.addr, r.tenantAt(t, "acme", tenant.Secret(c.URL()), limits(0, 0)))
	x.send("SSUBSCRIBE c")
	x.expect("*3", "$10", "ssubscribe", "$1", "c", ":1")
	testbed.Within(t, 5*time.Second, "the channel is looked for again", func() bool { return asked.Load() > 1 })
	x.send("SUNSUBSCRIBE c")
	x.expect("*3", "$12", "sunsubscribe", "$1", "c", ":0")
	served.Store(1)
	testbed.Within(t, 5*time.Second, "the node is told too", func() bool { return ended.Load() > 0 })
	x.send("GET k")
	x.expect("+OK")
}
