package proxy

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/tenant"
)

// anySlot is what programs for a cluster say of keys of any slot, each on its own or in
// commands that are sent in parts.
const anySlot = `SET K V
SET K V
GET K
GET K
GET K
INCR K
INCRBY K N
APPEND K V
STRLEN K
TYPE K
DEL K L
UNLINK K K Z
TOUCH K L Hx
MGET K K K
MGET K K K K L K
MSET K V K V
MSET K V K V K V
EXISTS K K
EXISTS K L Z
LPUSH L V V
RPUSH L V V V
LRANGE L 0 -1
LPOP L
RPOP L 2
HSET Hx f V g V
HGET Hx f
ZADD Z N a N b
ZRANGE Z 0 -1 WITHSCORES
ZPOPMIN Z
XADD S * f V
XLEN S
LPUSH K V
SETRANGE K -1 x
OBJECT ENCODING L
EVAL return{KEYS[1],ARGV[1],redis.call('get',KEYS[1])} 1 K V
EVAL return{redis.call('incrby',KEYS[1],ARGV[1]),redis.call('get',KEYS[1])} 1 K N
`

// noSlot is what they say without keys.
const noSlot = `PING
PING V
ECHO V
EVAL return{err='MOVED\u00201\u0020x'} 0
EVALSHA ffffffffffffffffffffffffffffffffffffffff 0
GET
SET T
MSET T V T
HSET TH f
SELECT 0
SELECT 1
SELECT x
CLUSTER INFO
`

// oneSlot is what they say of keys of one slot, which a transaction has to be of.
const oneSlot = `SET T V
GET T
GET T
INCR T
MGET T T T
MSET T V T V
MSETNX T V T V
RENAME T T
DEL T TL
RPUSH TL V V V
LPOP TL
LMOVE TL TL LEFT RIGHT
HSET TH f V g V
HGET TH f
ZADD TZ N a N b
ZRANGE TZ 0 -1 WITHSCORES
SUNIONSTORE TS TS TS
SADD TS V
EVAL return{redis.call('get',KEYS[1]),redis.call('get',KEYS[2])} 2 T T
`

// waiting is what they say that may wait, with a key of any slot.
const waiting = `BLPOP L 0.001
BRPOP L 0.001
BLMPOP 0.001 1 L LEFT COUNT 2
BZPOPMIN Z 0.001
BZPOPMAX Z 0.001
`

// bound is what binds a client to one node.
const bound = `MULTI
MULTI
MULTI
EXEC
EXEC
EXEC
EXEC
DISCARD
WATCH T T
WATCH TL
UNWATCH
MULTI x
EXEC x
WATCH
NOSUCH T
BLPOP TL TL 0.001
BRPOP TL 0.001
BLMOVE TL TL LEFT RIGHT 0.001
BLMPOP 0.001 2 TL TL LEFT COUNT 2
BZPOPMIN TZ 0.001
`

const listening = `SUBSCRIBE C
SUBSCRIBE C C
PSUBSCRIBE C*
UNSUBSCRIBE
UNSUBSCRIBE C
PUNSUBSCRIBE
UNSUBSCRIBE C C
PUNSUBSCRIBE C*
SUBSCRIBE
`

const sharded = `SSUBSCRIBE C
SUNSUBSCRIBE C
SUNSUBSCRIBE
UNSUBSCRIBE
`

// clustered is the language of programs for a cluster. What a client without a cluster
// would be told otherwise is not in it: commands that need keys of several slots at once,
// transactions of several slots, databases, and what binds a client to two nodes.
var clustered = language{
	[][]string{lines(anySlot, noSlot, oneSlot, waiting), lines(anySlot, noSlot, oneSlot, bound), lines(anySlot, noSlot, oneSlot, listening), lines(anySlot, noSlot, oneSlot, sharded)},
	func(line string) bool {
		return !slices.Contains(lines(noSlot, oneSlot, bound), line)
	},
	nil, false,
}

func lines(of ...string) []string {
	return strings.Split(strings.TrimSpace(strings.Join(of, "")), "\n")
}

// TestClusterModel has random programs say the same through the proxy in front of a cluster
// as to one Redis with one database.
func TestClusterModel(t *testing.T) {
	c := testbed.NewCluster(t, 3, 0)
	st := fixed{}
	key := st.grantAt("acme", tenant.Secret(c.URL()), 0, "+@all")
	direct := testbed.Redis(t, "--databases", "1")
	if d := clustered.compare(t, count(t, 2000), true, direct.Addr, startProxy(t, st), []string{"AUTH", key}); d != "" {
		t.Error(d)
	}
}

// TestMovingClusterModel is TestClusterModel while slots with the programs' keys move to and
// fro.
func TestMovingClusterModel(t *testing.T) {
	c := testbed.NewCluster(t, 3, 0)
	st := fixed{}
	key := st.grantAt("acme", tenant.Secret(c.URL()), 0, "+@all")
	direct := testbed.Redis(t, "--databases", "1")
	addr := startProxy(t, st)
	stop := make(chan struct{})
	var moving sync.WaitGroup
	moves := 0
	moving.Go(func() {
		for ; ; moves++ {
			select {
			case <-stop:
				return
			default:
			}
			slot := pool.Slot([]byte(fmt.Sprintf("w%d:%s", moves%4, []string{"K0", "L1", "Z1"}[moves/4%3])))
			from := c.OwnerOf(slot)
			to := c.Primaries[(slices.Index(c.Primaries, from)+1)%len(c.Primaries)]
			c.MigrateSlot(slot, from, to, nil)
		}
	})
	d := clustered.compare(t, count(t, 1000), true, direct.Addr, addr, []string{"AUTH", key})
	close(stop)
	moving.Wait()
	if d != "" {
		t.Error(d)
	}
	if moves == 0 {
		t.Error("no slot has moved")
	}
	t.Logf("%d slots have moved", moves)
}

// TestMovedClusterModel is TestClusterModel with slots that transactions and watched keys are
// in: they move between two programs, and the proxy is not told.
func TestMovedClusterModel(t *testing.T) {
	c := testbed.NewCluster(t, 3, 0)
	st := fixed{}
	key := st.grantAt("acme", tenant.Secret(c.URL()), 0, "+@all")
	direct := testbed.Redis(t, "--databases", "1")
	var mu sync.Mutex
	programs, moves := 0, 0
	l := clustered
	l.ahead = func(worker int) {
		mu.Lock()
		defer mu.Unlock()
		if programs++; programs%3 > 0 {
			return
		}
		moves++
		slot := pool.Slot(fmt.Appendf(nil, "w%d:", worker))
		from := c.OwnerOf(slot)
		c.MigrateSlot(slot, from, c.Primaries[(slices.Index(c.Primaries, from)+1)%len(c.Primaries)], nil)
	}
	if d := l.compare(t, count(t, 300), true, direct.Addr, startProxy(t, st), []string{"AUTH", key}); d != "" {
		t.Error(d)
	}
	t.Logf("%d slots have moved", moves)
}
