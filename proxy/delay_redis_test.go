package proxy

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/tenant"
)

// TestDelayedConversations: whoever has to wait for tokens is told the same as without a limit,
// in front of a real Redis.
func TestDelayedConversations(t *testing.T) {
	st := fixed{}
	keys := map[string]string{
		"unlimited": st.limitedAt("free", tenant.Secret("redis://"+testbed.Redis(t).Addr), tenant.Limits{Rate: new(int)}, tenant.Quota{}),
		"delayed":   st.limitedAt("slow", tenant.Secret("redis://"+testbed.Redis(t).Addr), delaying(500, 1), tenant.Quota{}),
		"bytes":     st.limitedAt("thin", tenant.Secret("redis://"+testbed.Redis(t).Addr), bytesOf(5000, tenant.LimitDelay), tenant.Quota{Rate: 1000, Burst: 2, LimitMode: tenant.LimitDelay}),
	}
	addr := startProxy(t, st)
	for _, c := range []struct{ name, in string }{
		{"a pipeline", strings.Repeat("INCR n\r\n", 30)},
		{"transactions", strings.Repeat("MULTI\r\nINCR n\r\nGET n\r\nEXEC\r\n", 5) + "MULTI\r\nNOSUCH\r\nEXEC\r\nMULTI\r\nSET a b\r\nDISCARD\r\nGET a\r\n"},
		{"watched keys", "SET w 1\r\nWATCH w\r\nMULTI\r\nINCR w\r\nEXEC\r\nWATCH w\r\nUNWATCH\r\nGET w\r\n"},
		{"blocking", "RPUSH l 1\r\nBLPOP l 1\r\nBLPOP l 0.01\r\nRPUSH l 2\r\nBLMPOP 1 1 l LEFT\r\n"},
		{"subscribing", "SUBSCRIBE c\r\nPING\r\nPSUBSCRIBE d*\r\nPUNSUBSCRIBE d*\r\nUNSUBSCRIBE c\r\nGET c\r\n"},
		{"RESP3, subscribed to itself", "HELLO 3\r\nSUBSCRIBE c\r\nPUBLISH c hello\r\nPUBLISH c again\r\nUNSUBSCRIBE c\r\n"},
		{"databases", "SET k 0\r\nSELECT 1\r\nSET k 1\r\nGET k\r\nSELECT 0\r\nGET k\r\n"},
		{"scripts, and replies that are kept back", "EVAL \"return redis.call('incr', 's')\" 1 s\r\nCLIENT REPLY SKIP\r\nINCR s\r\nGET s\r\nCLIENT REPLY OFF\r\nINCR s\r\nCLIENT REPLY ON\r\nGET s\r\n"},
		{"answers of the proxy's own", "CLIENT SETNAME me\r\nGET a\r\nCLIENT GETNAME\r\nGET a\r\nSELECT x\r\nGET a\r\n"},
	} {
		said := map[string]string{}
		for name, key := range keys {
			_, said[name], _ = strings.Cut(talk(t, addr, "AUTH "+key+"\r\n"+c.in+"QUIT\r\n"), "+OK|")
			if _, rest, hello := strings.Cut(said[name], "$7|modules|*0|"); hello {
				said[name] = rest
			}
		}
		for name, got := range said {
			if want := said["unlimited"]; got != want {
				t.Errorf("%s, %s: got\n%s\nwant\n%s", c.name, name, got, want)
			}
		}
	}
}

// TestDelayedModel has random programs say the same through a key whose commands wait as to
// Redis itself.
func TestDelayedModel(t *testing.T) {
	st := fixed{}
	key := st.limitedAt("acme", tenant.Secret("redis://"+testbed.Redis(t).Addr), delaying(20_000, 1), tenant.Quota{})
	if d := ordinary.compare(t, count(t, 300), true, testbed.Redis(t).Addr, startProxy(t, st), []string{"AUTH", key}); d != "" {
		t.Error(d)
	}
}

// TestBlockedAndDelayedClientLeaves has a client leave that waits for an element, and whose next
// command would wait for a token: its element is another one's.
func TestBlockedAndDelayedClientLeaves(t *testing.T) {
	st := fixed{}
	redis := testbed.Redis(t)
	key := st.limitedAt("acme", tenant.Secret("redis://"+redis.Addr), delaying(1, 1), tenant.Quota{})
	addr := startProxy(t, st)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "AUTH "+key+"\r\nBLPOP l 0\r\nGET a\r\n"); err != nil {
		t.Fatal(err)
	}
	blocked := func() bool {
		list, err := redis.Client().Info(t.Context(), "clients").Result()
		return err == nil && strings.Contains(list, "blocked_clients:1")
	}
	testbed.Eventually(t, "the client is blocked", blocked)
	c.Close()
	testbed.Eventually(t, "its wait has ended", func() bool { return !blocked() })
	if err := redis.Client().RPush(t.Context(), "l", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if got, err := redis.Client().LPop(t.Context(), "l").Result(); err != nil || got != "1" {
		t.Errorf("the element is %q (%v), want 1", got, err)
	}
}

// TestDelayedCalls has a cluster's session wait for tokens: commands go to their nodes in order, replies come in order.
func TestDelayedCalls(t *testing.T) {
	x := newTable(t)
	p := *x.session.principal
	p.Limits = delaying(10, 1)
	x.session.relimit(&p)
	n := &limitNotes{}
	x.core.Observers = []Observer{n}
	x.session.meter.follow(x.core, &p.Route)
	x.session.buckets.more.most = time.Minute
	one, two := x.cluster.Addrs[0], x.cluster.Addrs[1]
	x.send("GET a\r\nGET b\r\nMGET a b\r\n") // a is the second node's, b the first's
	if got := x.got(two, pool.Plain); got != "GET a" {
		t.Errorf("the second node got %q at once, want GET a", got)
	}
	x.passes(101 * time.Millisecond)
	if got := x.got(one, pool.Plain); got != "GET b" {
		t.Errorf("the first node got %q, want GET b", got)
	}
	x.answers(one, "$1|b|")
	x.says("")
	x.answers(two, "$1|a|")
	x.says("$1|a|$1|b|")
	x.passes(202 * time.Millisecond)
	for _, addr := range []string{one, two} {
		if got := x.got(addr, pool.Plain); !strings.HasPrefix(got, "MGET ") {
			t.Errorf("the node at %s got %q, want its part of MGET", addr, got)
		}
	}
	x.answers(two, "*1|$1|a|")
	x.answers(one, "*1|$1|b|")
	x.says("*2|$1|a|$1|b|")
	for i := range n.limited {
		n.limited[i] = n.limited[i].Round(50 * time.Millisecond)
	}
	if got := fmt.Sprint(n.limited); got != "[100ms 0s 100ms 100ms]" {
		t.Errorf("observers are told that they waited %s", got)
	}
}

// passes lets time pass, and waits end.
func (x *table) passes(then time.Duration) {
	x.passed = then
	x.core.endDelays()
	x.send("")
}
