package main

import (
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

// TestClusterWait has WAIT say how many replicas have what the client has written, at whatever
// nodes.
func TestClusterWait(t *testing.T) {
	c := testbed.NewCluster(t, 3, 1)
	r := startServe(t, testConfig(t))
	key := r.tenantAt(t, "acme", tenant.Secret(c.URL()), limits(0, 0))
	x, other := talkTo(t, r.addr, key), talkTo(t, r.addr, key)
	x.send("CLIENT ID")
	id := x.line()[1:]

	x.send("SET a 1", "SET b 2", "SET c 3", "WAIT 1 10000", "GET a", "WAIT 0 0 0", "WAIT x 0", "WAIT 1 -1", "WAIT 2 20", "PING")
	x.expect("+OK", "+OK", "+OK", ":1", "$1", "1", "-ERR wrong number of arguments for 'wait' command",
		"-ERR value is not an integer or out of range", "-ERR timeout is negative", ":1", "+PONG")
	for i, k := range []string{"c", "b", "a"} { // of three nodes
		if n, err := c.Replicas[i].Client().DBSize(t.Context()).Result(); err != nil || n != 1 {
			t.Errorf("the replica with %s has %d keys, %v", k, n, err)
		}
	}

	x.send("WATCH a", "WAIT 1 10000", "MULTI", "GET a", "EXEC")
	x.expect("+OK", ":1", "+OK", "+QUEUED", "*1", "$1", "1")
	x.send("CLIENT REPLY SKIP", "WAIT 2 20", "ECHO x")
	x.expect("$1", "x")

	for reason, want := range map[string]string{"TIMEOUT": ":0", "ERROR": "-UNBLOCKED client unblocked via CLIENT UNBLOCK"} {
		x.send("WAIT 2 0", "PING")
		testbed.Eventually(t, "the client is unblocked", func() bool {
			other.send("CLIENT UNBLOCK " + id + " " + reason)
			return other.line() == ":1"
		})
		x.expect(want, "+PONG")
	}

	gone := talkTo(t, r.addr, key)
	gone.send("WAIT 2 0")
	testbed.Eventually(t, "it waits at all nodes", func() bool {
		return r.metric(t, `redis_connections_active{kind="pinned",tenant="acme/cache"}`) >= 3
	})
	_ = gone.Close()
	testbed.Eventually(t, "the client has left", func() bool {
		return r.metric(t, `client_connections{tenant="acme/cache"}`) == 2
	})

	silent := c.Replicas[0]
	silent.Freeze()
	t.Cleanup(silent.Thaw)
	x.send("SET a 2", "SET b 2", "SET c 2", "WAIT 1 200")
	x.expect("+OK", "+OK", "+OK", ":0")

	x.send("WAIT 2 0")
	testbed.Within(t, 10*time.Second, "the client waits", func() bool {
		other.send("CLIENT LIST ID " + id)
		other.line()
		line := other.line()
		other.line() // ends the text
		return strings.Contains(line, " flags=b ")
	})
	c.Primaries[1].Kill()
	x.expect("-ERR backend connection lost: the command may have been executed")
}

// TestClusterWaitAsksStrays has scripted nodes answer WAIT: those of the layout, and one that
// a command has been sent away to.
func TestClusterWaitAsksStrays(t *testing.T) {
	for _, row := range []struct {
		name    string
		answers [3]string
		send    string
		want    string
	}{
		{"the least", [3]string{":3", ":1", ":0"}, "WAIT 1 0", ":1"},
		{"a node that MOVED has led to", [3]string{":3", ":2", ":0"}, "SET a 1|WAIT 1 0", "+OK|:0"},
		{"a node that refuses", [3]string{"-ERR no", ":2", ":0"}, "WAIT 1 0|PING", "-ERR no|+PONG"},
		{"a node that closes", [3]string{":1", testbed.Closes, ":0"}, "WAIT 1 0|PING", "-ERR backend connection lost: the command may have been executed|+PONG"},
		{"one that refuses, and one that is silent", [3]string{"", "-ERR no", ""}, "SET a 1|WAIT 1 0|PING", "+OK|-ERR no|+PONG"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var c *testbed.ScriptedCluster
			c = testbed.NewScriptedCluster(t, 3, func(node int, command []string) string {
				switch answer := row.answers[node]; {
				case command[0] == "WAIT" && (answer == "" || answer == testbed.Closes):
					return answer
				case command[0] == "WAIT":
					return answer + "\r\n"
				case command[0] == "SET" && node != 2:
					return "-MOVED 15495 " + c.Addrs[2] + "\r\n"
				}
				return "+OK\r\n"
			})
			c.Share(0, 1) // the third is not known
			r := startServe(t, testConfig(t))
			x := talkTo(t, r.addr, r.tenantAt(t, "acme", tenant.Secret(c.URL()), limits(0, 0)))
			x.converse(t, row.name, "PING", row.send, "+PONG|"+row.want, true)
		})
	}
}
