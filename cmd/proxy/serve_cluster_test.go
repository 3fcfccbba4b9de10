package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/tenant"
)

// TestClusterIsOneRedis says the same through the proxy in front of a cluster as to a plain
// Redis: where keys are does not matter, but to commands that need all their keys at once.
func TestClusterIsOneRedis(t *testing.T) {
	c := testbed.NewCluster(t, 3, 0, "--requirepass", "s3cret")
	r := startServe(t, testConfig(t))
	key := r.tenantAt(t, "acme", tenant.Secret(c.URL()), limits(0, 0))
	in, err := r.store.Instance(t.Context(), "acme", "cache")
	if err != nil {
		t.Fatal(err)
	}
	if p := test(t.Context(), testConfig(t), in); !p.Reachable || p.Primaries != 3 || p.Mode != "cluster" {
		t.Errorf("instance test says %+v", p)
	}
	x := talkTo(t, r.addr, key)
	for _, row := range []struct{ name, send, want string }{
		{"keys of three nodes", "SET a 1|SET b 2|SET c 3|SET d 4|GET a|GET b|GET c|GET d", "+OK|+OK|+OK|+OK|$1|1|$1|2|$1|3|$1|4"},
		{"MGET in the order of the keys", "MGET d nosuch a b c a", "*6|$1|4|$-1|$1|1|$1|2|$1|3|$1|1"},
		{"MSET", "MSET e 5 f 6 g 7 e 8|MGET e f g", "+OK|*3|$1|8|$1|6|$1|7"},
		{"MSET without a value", "MSET e 5 f", "-ERR wrong number of arguments for 'mset' command"},
		{"what counts keys", "EXISTS a b nosuch a|TOUCH a b|DEL a b nosuch|UNLINK c d", ":3|:2|:2|:2"},
		{"all keys", "DBSIZE", ":3"},
		{"others across slots", "MSETNX e 1 f 2|RENAME e f|SUNION e f", "-CROSSSLOT Keys in request don't hash to the same slot|-CROSSSLOT Keys in request don't hash to the same slot|-CROSSSLOT Keys in request don't hash to the same slot"},
		{"others in one slot", "MSETNX {t}1 1 {t}2 2|RENAME {t}1 {t}3|EXISTS {t}1 {t}2 {t}3", ":1|+OK|:2"},
		{"a transaction", "MULTI|SET {t}1 x|GET {t}1|EXEC", "+OK|+QUEUED|+QUEUED|*2|+OK|$1|x"},
		{"one that begins without a key", "MULTI|PING|SET f y|PING|EXEC", "+OK|+QUEUED|+QUEUED|+QUEUED|*3|+PONG|+OK|+PONG"},
		{"one without keys", "MULTI|PING|EXEC", "+OK|+QUEUED|*1|+PONG"},
		{"an empty one", "MULTI|EXEC", "+OK|*0"},
		{"a discarded one", "MULTI|SET f z|DISCARD|GET f", "+OK|+QUEUED|+OK|$1|y"},
		{"one discarded before its first key", "MULTI|PING|DISCARD|EXEC", "+OK|+QUEUED|+OK|-ERR EXEC without MULTI"},
		{"one across slots", "MULTI|SET e 1|SET f 2|EXEC|MGET e f", "+OK|+QUEUED|-CROSSSLOT Keys in request don't hash to the same slot|-EXECABORT Transaction discarded because of previous errors.|*2|$1|8|$1|y"},
		{"one with a mistake", "MULTI|GET|SET e 1|EXEC|GET e", "+OK|-ERR wrong number of arguments for 'get' command|+QUEUED|-EXECABORT Transaction discarded because of previous errors.|$1|8"},
		{"one with a mistake, and UNWATCH", "MULTI|GET|SET e 1|UNWATCH|EXEC|GET e", "+OK|-ERR wrong number of arguments for 'get' command|+QUEUED|+QUEUED|-EXECABORT Transaction discarded because of previous errors.|$1|8"},
		{"one that selects", "MULTI|SELECT 0|SET e 1|SELECT 1|SELECT -1|SELECT x|SELECT 99999999999|GET e|EXEC", "+OK|+QUEUED|+QUEUED|+QUEUED|+QUEUED|+QUEUED|+QUEUED|+QUEUED|*7|+OK|+OK|-ERR DB index is out of range|-ERR DB index is out of range|-ERR value is not an integer or out of range|-ERR value is out of range, value must between -2147483648 and 2147483647|$1|1"},
		{"one that selects before its first key", "MULTI|SELECT 0|SELECT 1|SELECT|GET e|EXEC|MULTI|SELECT 1|SELECT 0|EXEC|SET e 8", "+OK|+QUEUED|+QUEUED|-ERR wrong number of arguments for 'select' command|+QUEUED|-EXECABORT Transaction discarded because of previous errors.|+OK|+QUEUED|+QUEUED|*2|-ERR DB index is out of range|+OK|+OK"},
		{"one that asks what the server is", "MULTI|CLUSTER INFO|GET e|CLUSTER SLOTS|EXEC", "+OK|+QUEUED|+QUEUED|+QUEUED|*3|-ERR This instance has cluster support disabled|$1|8|-ERR This instance has cluster support disabled"},
		{"one with what all servers are asked", "MULTI|DBSIZE|EXEC|MULTI|GET e|WAIT 0 0|EXEC", "+OK|-ERR the 'dbsize' command asks all servers of a cluster, and a transaction runs on one of them|-EXECABORT Transaction discarded because of previous errors.|+OK|+QUEUED|-ERR the 'wait' command asks all servers of a cluster, and a transaction runs on one of them|-EXECABORT Transaction discarded because of previous errors."},
		{"a nested one", "MULTI|MULTI|SET e 9|MULTI|EXEC", "+OK|-ERR MULTI calls can not be nested|+QUEUED|-ERR MULTI calls can not be nested|*1|+OK"},
		{"watched keys", "WATCH e|SET e 1|MULTI|GET e|EXEC|WATCH e|GET f|MULTI|GET e|EXEC", "+OK|+OK|+OK|+QUEUED|*-1|+OK|$1|y|+OK|+QUEUED|*1|$1|1"},
		{"watched keys and an EXEC with arguments", "WATCH e|SET e 1|EXEC x|MULTI|GET e|EXEC", "+OK|+OK|-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command|+OK|+QUEUED|*1|$1|1"},
		{"scripts", "EVAL 'return redis.call(\"get\",KEYS[1])' 1 e|EVAL 'return 7' 0|EVAL 'return 1' 2 e f", "$1|1|:7|-CROSSSLOT Keys in request don't hash to the same slot"},
		{"a script that says MOVED", "EVAL 'return redis.error_reply(\"MOVED 1 127.0.0.1:1\")' 1 e|EVAL 'return redis.error_reply(\"ASK 1 127.0.0.1:1\")' 0", "-MOVED 1 127.0.0.1:1|-ASK 1 127.0.0.1:1"},
		{"scripts by their digest", "SCRIPT LOAD 'return ARGV[1]'|EVALSHA 098e0f0d1448c0a81dafe820f66d460eb09263da 1 e 1|EVALSHA 098e0f0d1448c0a81dafe820f66d460eb09263da 1 f 2|EVALSHA 098e0f0d1448c0a81dafe820f66d460eb09263da 1 g 3|SCRIPT EXISTS 098e0f0d1448c0a81dafe820f66d460eb09263da x", "$40|098e0f0d1448c0a81dafe820f66d460eb09263da|$1|1|$1|2|$1|3|*2|:1|:0"},
		{"what blocks", "RPUSH l 1|BLPOP l 0|BLPOP e l 1", ":1|*2|$1|l|$1|1|-CROSSSLOT Keys in request don't hash to the same slot"},
		{"databases", "SELECT 0|SELECT 1", "+OK|-ERR DB index is out of range"},
		{"what the server is", "CLUSTER INFO|CLUSTER SLOTS", "-ERR This instance has cluster support disabled|-ERR This instance has cluster support disabled"},
		{"no keys", "PING|ECHO hi|PUBLISH nobody x|SPUBLISH nobody x", "+PONG|$2|hi|:0|:0"},
		{"mistakes", "GET|NOSUCH a|OBJECT ENCODING e", "-ERR wrong number of arguments for 'get' command|-ERR unknown command 'NOSUCH', with args beginning with: 'a' |$3|int"},
		{"everything gone", "FLUSHDB|DBSIZE|KEYS *|RANDOMKEY", "+OK|:0|*0|$-1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			x.t = t
			_, _ = io.WriteString(x, strings.ReplaceAll(row.send, "|", "\r\n")+"\r\n") // inline, for the quotes
			var got []string
			for range strings.Split(row.want, "|") {
				got = append(got, x.line())
			}
			if strings.Join(got, "|") != row.want {
				t.Fatalf("%s:\ngot  %s\nwant %s", row.send, strings.Join(got, "|"), row.want)
			}
		})
	}
	x.t = t
	x.send("HELLO 3")
	if got := x.map3(); got["mode"] != "standalone" {
		t.Errorf("HELLO says mode %q", got["mode"])
	}
	x.send("MSET a 1 b 2 c 3", "INFO")
	x.expect("+OK")
	header := x.line()
	info := make([]byte, 2)
	if n, err := strconv.Atoi(strings.TrimLeft(header, "=$")); err == nil {
		info = make([]byte, n+2)
	}
	if _, err := io.ReadFull(x.in, info); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(info), "db0:keys=3,expires=0") {
		t.Errorf("INFO tells of other keys than those of all nodes:\n%s", info)
	}
	if text := string(info); !strings.Contains(text, "redis_mode:standalone\r\n") || !strings.Contains(text, "cluster_enabled:0\r\n") {
		t.Errorf("INFO says it is in a cluster:\n%s", text)
	}
}

// map3 reads a RESP3 map of strings.
func (x *talker) map3() map[string]string {
	x.t.Helper()
	n, _ := strconv.Atoi(strings.TrimPrefix(x.line(), "%"))
	m := map[string]string{}
	for range n {
		name := x.value()
		m[name] = x.value()
	}
	return m
}

func (x *talker) value() string {
	line := x.line()
	switch line[0] {
	case '$':
		return x.line()
	case '*':
		return ""
	}
	return line[1:]
}

// TestClusterScan goes through all keys of all nodes, each once.
func TestClusterScan(t *testing.T) {
	c := testbed.NewCluster(t, 3, 0)
	r := startServe(t, testConfig(t))
	x := talkTo(t, r.addr, r.tenantAt(t, "acme", tenant.Secret(c.URL()), limits(0, 0)))
	const keys = 1000
	for i := range keys {
		x.send(fmt.Sprintf("SET key:%d %d", i, i))
	}
	for range keys {
		x.expect("+OK")
	}
	seen := map[string]int{}
	for cursor, rounds := "0", 0; rounds == 0 || cursor != "0"; rounds++ {
		x.send("SCAN " + cursor + " COUNT 50")
		x.expect("*2")
		cursor = x.value()
		n, _ := strconv.Atoi(strings.TrimPrefix(x.line(), "*"))
		for range n {
			seen[x.value()]++
		}
		if rounds > keys {
			t.Fatal("SCAN does not end")
		}
	}
	if len(seen) != keys {
		t.Errorf("SCAN has seen %d keys, want %d", len(seen), keys)
	}
}

// TestClusterPubSub has messages reach subscribers wherever they are said, and shard
// channels of any slot.
func TestClusterPubSub(t *testing.T) {
	c := testbed.NewCluster(t, 3, 0)
	r := startServe(t, testConfig(t))
	key := r.tenantAt(t, "acme", tenant.Secret(c.URL()), limits(0, 0))
	for _, proto := range []string{"2", "3"} {
		push := map[string]string{"2": "*", "3": ">"}[proto]
		listening, other := talkTo(t, r.addr, key), talkTo(t, r.addr, key)
		listening.send("HELLO " + proto)
		for line := listening.line(); line != "modules"; {
			line = listening.line()
		}
		listening.expect("*0")
		listening.send("SUBSCRIBE a")
		listening.expect(push+"3", "$9", "subscribe", "$1", "a", ":1")
		other.send("PUBLISH a x")
		if got := other.line(); got != ":0" && got != ":1" { // who listens at other nodes is not counted
			t.Errorf("PUBLISH: %q", got)
		}
		listening.expect(push+"3", "$7", "message", "$1", "a", "$1", "x")
		other.send("PUBSUB NUMSUB a", "PUBSUB CHANNELS")
		other.expect("*2", "$1", "a", ":1", "*1", "$1", "a")
		if proto == "3" {
			listening.send("SET a 1", "SET b 2", "SET c 3", "MGET a b c")
			listening.expect("+OK", "+OK", "+OK", "*3", "$1", "1", "$1", "2", "$1", "3")
		}
		listening.send("UNSUBSCRIBE a")
		listening.expect(push+"3", "$11", "unsubscribe", "$1", "a", ":0")
	}
	other := talkTo(t, r.addr, key)
	for _, channel := range []string{"a", "b", "c", "d"} {
		shard := talkTo(t, r.addr, key)
		shard.send("SSUBSCRIBE " + channel)
		shard.expect("*3", "$10", "ssubscribe", "$1", channel, ":1")
		other.send("SPUBLISH "+channel+" y", "PUBSUB SHARDNUMSUB "+channel)
		other.expect(":1", "*2", "$1", channel, ":1")
		shard.expect("*3", "$8", "smessage", "$1", channel, "$1", "y")
	}
}

// counters are clients that each count one key up and know what they have been told.
type counters struct {
	wg            sync.WaitGroup
	stop          chan struct{}
	acked, errors []int // by key: replies, and those that say it may have been executed
	words         sync.Map
}

// countUp has one client for each key count it up, in pipelines of depth, until stopped.
func countUp(t *testing.T, r *running, key string, keys []string, depth int) *counters {
	t.Helper()
	c := &counters{stop: make(chan struct{}), acked: make([]int, len(keys)), errors: make([]int, len(keys))}
	for i, k := range keys {
		x := talkTo(t, r.addr, key)
		c.wg.Go(func() {
			last := 0
			for {
				select {
				case <-c.stop:
					return
				default:
				}
				for range depth {
					x.send("INCR " + k)
				}
				for range depth {
					got := x.line()
					n, err := strconv.Atoi(strings.TrimPrefix(got, ":"))
					switch {
					case strings.HasPrefix(got, ":") && err == nil:
						if n <= last {
							t.Errorf("INCR %s: %d after %d", k, n, last)
						}
						last = n
						c.acked[i]++
					case strings.Contains(got, "may have been executed"):
						c.errors[i]++
					case strings.HasPrefix(got, "-"):
						c.words.Store(got, true)
					default:
						t.Errorf("INCR %s: %q", k, got)
						return
					}
				}
			}
		})
	}
	return c
}

// check compares what the clients were told with what there is.
func (c *counters) check(t *testing.T, x *talker, keys []string) {
	t.Helper()
	close(c.stop)
	c.wg.Wait()
	for i, k := range keys {
		x.send("GET " + k)
		x.line()
		n, _ := strconv.Atoi(x.line())
		if n < c.acked[i] || n > c.acked[i]+c.errors[i] {
			t.Errorf("%s is %d after %d replies and %d errors that left it open", k, n, c.acked[i], c.errors[i])
		}
	}
}

// TestClusterSlotsMoveUnderLoad moves slots to and fro while clients count in them: no
// reply is lost, none is an error, nothing is counted twice.
func TestClusterSlotsMoveUnderLoad(t *testing.T) {
	c := testbed.NewCluster(t, 3, 0)
	r := startServe(t, testConfig(t))
	key := r.tenantAt(t, "acme", tenant.Secret(c.URL()), limits(0, 0))
	keys := []string{"{a}1", "{a}2", "{b}1", "{b}2", "{c}1", "{c}2"}
	x := talkTo(t, r.addr, key)
	for _, depth := range []int{1, 20} {
		x.send("FLUSHDB")
		x.expect("+OK")
		count := countUp(t, r, key, keys, depth)
		for range 3 {
			for _, tag := range []string{"a", "b", "c"} {
				slot := pool.Slot([]byte(tag))
				from := c.OwnerOf(slot)
				for _, to := range c.Primaries {
					if to != from {
						c.MigrateSlot(slot, from, to, nil)
						break
					}
				}
			}
		}
		count.check(t, x, keys)
		count.words.Range(func(word, _ any) bool {
			t.Errorf("pipelines of %d: a client was told %q", depth, word)
			return true
		})
	}
	for _, reason := range []string{"moved", "ask"} {
		if r.metric(t, `redis_command_retries_total{reason="`+reason+`"`) == 0 {
			t.Errorf("no command was sent again for %q", reason)
		}
	}
	if r.metric(t, `redis_topology_refreshes_total{result="changed"`) == 0 {
		t.Error("the layout has never changed")
	}
}

// TestClusterPrimaryDies kills a primary under load: its replica is found, and what the
// clients were told is true.
func TestClusterPrimaryDies(t *testing.T) {
	c := testbed.NewCluster(t, 3, 1)
	r := startServe(t, testConfig(t))
	key := r.tenantAt(t, "acme", tenant.Secret(c.URL()), limits(0, 0))
	x := talkTo(t, r.addr, key)
	keys := []string{"a", "b", "c", "d", "e", "f"}
	count := countUp(t, r, key, keys, 4)
	testbed.Eventually(t, "the replicas have what their primaries have", func() bool {
		x.send("GET a", "GET b", "GET c")
		n := 0
		for range 3 {
			if x.line() != "$-1" {
				x.line()
				n++
			}
		}
		return n == 3
	})
	victim := c.OwnerOf(pool.Slot([]byte("a")))
	victim.Kill()
	testbed.Eventually(t, "its replica has taken over", func() bool {
		x.send("SET after:{a} 1")
		return x.line() == "+OK"
	})
	close(count.stop)
	count.wg.Wait()
	for i, k := range keys {
		if c.OwnerOf(pool.Slot([]byte(k))) == nil {
			t.Errorf("nobody has %s", k)
		}
		x.send("GET " + k)
		x.line()
		n, _ := strconv.Atoi(x.line())
		// What the dead primary had not given to its replica is lost by Redis itself.
		if n > count.acked[i]+count.errors[i] {
			t.Errorf("%s is %d after %d replies and %d errors that left it open", k, n, count.acked[i], count.errors[i])
		}
	}
}

// TestClusterPrimaryFallsSilent has a primary's machine go without a word: the client that
// waits for it is told as soon as its replica has its place, long before pool.stall_timeout
// and what a dial takes there.
func TestClusterPrimaryFallsSilent(t *testing.T) {
	c := testbed.NewCluster(t, 3, 1)
	cfg := testConfig(t)
	cfg.Pool.StallTimeout, cfg.Pool.DialTimeout = time.Hour, time.Hour
	r := startServe(t, cfg)
	x := talkTo(t, r.addr, r.tenantAt(t, "acme", tenant.Secret(c.URL()), limits(0, 0)))
	x.send("SET foo 1") // the last primary's
	x.expect("+OK")
	c.Replicas[2].WaitSynced()
	c.Primaries[2].Freeze()
	t.Cleanup(c.Primaries[2].Thaw)
	x.send("INCR foo")
	x.expect("-ERR backend connection lost: the command may have been executed")
	testbed.Eventually(t, "the replica is written to", func() bool {
		x.send("INCR foo")
		return strings.HasPrefix(x.line(), ":")
	})
}

// TestClusterPrimaryFallsSilentWhileLinksAreMade: who waits for a link of its own to a primary
// that says nothing is served by who takes its place, however long a dial may take.
func TestClusterPrimaryFallsSilentWhileLinksAreMade(t *testing.T) {
	c := testbed.NewCluster(t, 3, 1)
	cfg := testConfig(t)
	cfg.Pool.StallTimeout, cfg.Pool.DialTimeout = time.Hour, time.Hour
	r := startServe(t, cfg)
	key := r.tenantAt(t, "acme", tenant.Secret(c.URL()), limits(0, 0))
	x := talkTo(t, r.addr, key)
	x.send("SET foo 1") // the last primary's
	x.expect("+OK")
	c.Replicas[2].WaitSynced()
	all := []struct {
		ask  []string
		want []string
	}{
		{[]string{"MULTI", "INCRBY bar{foo} 2", "EXEC"}, []string{"+OK", "+QUEUED", "*1", ":2"}},
		{[]string{"BLPOP list{foo} 0.01"}, []string{"*-1"}},
		{[]string{"WATCH foo", "UNWATCH"}, []string{"+OK", "+OK"}},
		{[]string{"SSUBSCRIBE foo"}, []string{"*3", "$10", "ssubscribe", "$3", "foo", ":1"}},
	}
	var talks []*talker
	for range all {
		x := talkTo(t, r.addr, key)
		x.send("ECHO here")
		x.expect("$4", "here")
		talks = append(talks, x)
	}
	c.Primaries[2].Freeze()
	t.Cleanup(c.Primaries[2].Thaw)
	for i, one := range all {
		talks[i].send(one.ask...)
	}
	for i, one := range all {
		talks[i].expect(one.want...)
	}
}
