package main

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/tenant"
)

// onMovedSlot are conversations about one key, the slot of which is not where it was. They
// are had in one piece, and in two.
var onMovedSlot = []struct{ name, first, then, want string }{
	{"a transaction", "MULTI", "SET {m}k 1|GET {m}k|EXEC", "+OK|+QUEUED|+QUEUED|*2|+OK|$1|1"},
	{"one that begins without a key", "MULTI|PING|SELECT 0", "SET {m}k 1|NOSUCH|EXEC|MULTI|GET {m}k|EXEC",
		"+OK|+QUEUED|+QUEUED|+QUEUED|-ERR unknown command 'NOSUCH', with args beginning with: |-EXECABORT Transaction discarded because of previous errors.|+OK|+QUEUED|*1|$1|1"},
	{"one that begins with an unknown command", "MULTI|NOSUCH {m}k", "SET {m}k 1|WATCH {m}k|EXEC",
		"+OK|-ERR unknown command 'NOSUCH', with args beginning with: '{m}k' |+QUEUED|-ERR WATCH inside MULTI is not allowed|-EXECABORT Transaction discarded because of previous errors."},
	{"a discarded one", "MULTI", "SET {m}k 2|DISCARD|GET {m}k", "+OK|+QUEUED|+OK|$1|1"},
	{"watched keys", "WATCH {m}k", "MULTI|GET {m}k|EXEC", "+OK|+OK|+QUEUED|*1|$1|1"},
	{"watched keys that change", "WATCH {m}k|SET {m}k 1", "MULTI|GET {m}k|EXEC|GET {m}k", "+OK|+OK|+OK|+QUEUED|*-1|$1|1"},
	{"watched keys, and not any more", "WATCH {m}k", "SET {m}k 1|UNWATCH|MULTI|GET {m}k|EXEC", "+OK|+OK|+OK|+OK|+QUEUED|*1|$1|1"},
	{"what waits", "RPUSH {m}l a", "BLPOP {m}l 9", ":1|*2|$4|{m}l|$1|a"},
	{"a long key that is waited for", "BLPOP {m}" + strings.Repeat("x", 300<<10) + " 0.01", "GET {m}k", "*-1|$1|1"},
	{"long keys in a transaction", "MULTI", "GET {m}" + strings.Repeat("x", 300<<10) + "|EXEC", "+OK|+QUEUED|*1|$-1"},
	{"what waits first", "BLPOP {m}l 0.01", "RPUSH {m}l a|BLPOP {m}l 9", "*-1|:1|*2|$4|{m}l|$1|a"},
}

// holdsNothing waits until nothing is in flight: what clients that are still there have asked
// for is forgotten when it is answered.
func (r *running) holdsNothing(t *testing.T) {
	t.Helper()
	testbed.Within(t, 10*time.Second, "nothing is in flight", func() bool {
		return r.metric(t, "respgate_memory_in_flight_bytes") == 0
	})
}

// TestClusterSlotHasMoved begins conversations when all nodes know that a slot has moved, and
// the proxy does not.
func TestClusterSlotHasMoved(t *testing.T) {
	c := testbed.NewCluster(t, 3, 0)
	r := startServe(t, testConfig(t))
	key := r.tenantAt(t, "acme", tenant.Secret(c.URL()), limits(0, 0))
	x := talkTo(t, r.addr, key)
	x.send("SET {m}k 1")
	x.expect("+OK")
	slot := pool.Slot([]byte("m"))
	for _, row := range onMovedSlot {
		for _, apart := range []bool{false, true} {
			from := c.OwnerOf(slot)
			c.MigrateSlot(slot, from, c.Primaries[(slices.Index(c.Primaries, from)+1)%3], nil)
			x.converse(t, row.name, row.first, row.then, row.want, apart)
		}
	}
	if r.metric(t, `redis_command_retries_total{reason="moved"`) == 0 {
		t.Error("no command was sent again")
	}
	r.holdsNothing(t)
}

// TestClusterSlotIsMoving has conversations about a key that there is not, in a slot that is
// on its way: what has the slot sends it to what will have it.
func TestClusterSlotIsMoving(t *testing.T) {
	c := testbed.NewCluster(t, 3, 0)
	r := startServe(t, testConfig(t))
	key := r.tenantAt(t, "acme", tenant.Secret(c.URL()), limits(0, 0))
	x := talkTo(t, r.addr, key)
	slot := pool.Slot([]byte("m"))
	from := c.OwnerOf(slot)
	c.MigrateSlot(slot, from, c.Primaries[(slices.Index(c.Primaries, from)+1)%3], sync.OnceFunc(func() {
		for _, row := range onMovedSlot {
			for _, apart := range []bool{false, true} {
				x.converse(t, row.name, row.first, row.then, row.want, apart)
			}
		}
	}))
	x.converse(t, "afterwards", "WATCH {m}k", "MULTI|GET {m}k|EXEC", "+OK|+OK|+QUEUED|*1|$1|1", false)
	if r.metric(t, `redis_command_retries_total{reason="ask"`) == 0 {
		t.Error("no command was sent again")
	}
	r.holdsNothing(t)
}

// converse says what is in first and then, and checks the replies, read when all is said, or
// apart for first and for then.
func (x *talker) converse(t *testing.T, name, first, then, want string, apart bool) {
	t.Helper()
	x.t = t
	var got []string
	read := func(n int) {
		for range n {
			got = append(got, x.line())
		}
	}
	x.send(strings.Split(first, "|")...)
	if apart {
		read(strings.Count(first, "|") + 1)
	}
	x.send(strings.Split(then, "|")...)
	read(strings.Count(want, "|") + 1 - len(got))
	if strings.Join(got, "|") != want {
		t.Fatalf("%s, apart %v: %s|%s:\ngot  %s\nwant %s", name, apart, first, then, strings.Join(got, "|"), want)
	}
}

// TestClusterTransactionFollowed has scripted nodes send a transaction's first key elsewhere.
func TestClusterTransactionFollowed(t *testing.T) {
	for _, row := range []struct {
		name  string
		moved string // what the first node says, of the second
		multi string // what it says to MULTI
		send  string
		want  string
		got   string // by the second
	}{
		{"all of it", "-MOVED 15495 %s", "+OK", "MULTI|ECHO x|SET a 1|GET a|EXEC", "+OK|+QUEUED|+QUEUED|+QUEUED|*0", "MULTI ECHO x SET a 1 GET a EXEC"},
		{"behind ASKING", "-ASK 15495 %s", "+OK", "MULTI|SET a 1|EXEC", "+OK|+QUEUED|*0", "ASKING MULTI SET a 1 EXEC"},
		{"discarded", "-MOVED 15495 %s", "+OK", "MULTI|SET a 1|DISCARD|MULTI|EXEC", "+OK|+QUEUED|+OK|+OK|*0", "MULTI SET a 1 DISCARD"},
		{"not to be begun there", "-MOVED 15495 %s", "-NOPERM no", "MULTI|SET a 1|GET a|EXEC|EXEC",
			"+OK|-ERR backend unavailable: it answered NOPERM|-ERR backend unavailable: it answered NOPERM|-EXECABORT Transaction discarded because of previous errors.|-ERR EXEC without MULTI", "MULTI"},
		{"to a dead one", "-MOVED 15495 127.0.0.1:1", "", "MULTI|SET a 1|GET a|DISCARD|EXEC",
			"+OK|-ERR backend unavailable: connection refused|-ERR backend unavailable: connection refused|+OK|-ERR EXEC without MULTI", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			var mu sync.Mutex
			var got []string
			var c *testbed.ScriptedCluster
			c = testbed.NewScriptedCluster(t, 2, func(node int, command []string) string {
				mu.Lock()
				defer mu.Unlock()
				word := command[0]
				if node == 0 { // it is sent what the layout says that the second has
					got = append(got, strings.Join(command, " "))
				}
				switch {
				case node == 0 && word == "MULTI":
					return row.multi + "\r\n"
				case node == 1 && (word == "SET" || word == "GET"):
					return strings.ReplaceAll(row.moved, "%s", c.Addrs[0]) + "\r\n"
				case node == 1 && word == "EXEC":
					return "-EXECABORT Transaction discarded because of previous errors.\r\n"
				case word == "EXEC":
					return "*0\r\n"
				case word == "MULTI", word == "DISCARD", word == "ASKING":
					return "+OK\r\n"
				}
				return "+QUEUED\r\n"
			})
			cfg := testConfig(t)
			cfg.Pool.DialRetryDelay = time.Millisecond
			r := startServe(t, cfg)
			x := talkTo(t, r.addr, r.tenantAt(t, "acme", tenant.Secret(c.URL()), limits(0, 0)))
			first, then, _ := strings.Cut(row.send, "|")
			x.converse(t, row.name, first, then, row.want, true)
			mu.Lock()
			defer mu.Unlock()
			if all := strings.Join(got, " "); all != row.got {
				t.Errorf("the node was sent %q, want %q", all, row.got)
			}
		})
	}
}
