package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

const tooMany = "-ERR max number of clients reached"

func (r *running) setOrg(t testing.TB, org string, connections int) {
	t.Helper()
	if _, err := r.store.UpdateOrganization(t.Context(), org, func(o *tenant.Organization) error { o.MaxConnections = connections; return nil }); err != nil {
		t.Fatal(err)
	}
}

// TestConnectionLimits has a key and its organization with all connections in use: what is
// beyond is refused, told so and counted, and let in when there is room or the limit is
// raised.
func TestConnectionLimits(t *testing.T) {
	r := startServe(t, testConfig(t))
	key := r.tenant(t, "acme", testbed.Redis(t).Addr, func(k *tenant.Key) { k.MaxConnections = 2 })
	other := r.key(t, "acme", nil)
	r.setOrg(t, "acme", 3)
	const here = "127.0.0.1"
	open := func(key, want string) net.Conn {
		t.Helper()
		c, said := openFrom(t, r.addr, here, key)
		if said != want {
			t.Errorf("got %q, want %q", said, want)
		}
		if want == tooMany && !ended(c, 10*time.Second) {
			t.Error("a refused client's connection is not closed")
		}
		return c
	}
	first := open(key, "+OK")
	open(key, "+OK")
	open(key, tooMany)
	third := open(other, "+OK")
	open(other, tooMany)
	if got := talk(t, r.addr, "HELLO 3 AUTH default "+other+"\r\nPING\r\n"); got != tooMany+"|" {
		t.Errorf("HELLO: got %s", got)
	}
	if got := r.metric(t, `respgate_clients_refused_total{reason="key"}`); got != 1 {
		t.Errorf("%v refused for the key, want 1", got)
	}
	if got := r.metric(t, `respgate_clients_refused_total{reason="organization"}`); got != 2 {
		t.Errorf("%v refused for the organization, want 2", got)
	}
	if log := r.log.String(); !strings.Contains(log, `msg="client refused: all connections are in use" of=key key=`+keyID(key)+" tenant=acme/cache") {
		t.Error("the log does not tell of the refused client")
	}

	// Room is made by another key, by RESET and by leaving.
	_, _ = io.WriteString(third, "GET nothing\r\nAUTH "+key+"\r\n")
	if got := line(t, third) + line(t, third); got != "$-1"+tooMany || !ended(third, 10*time.Second) {
		t.Errorf("changing to a full key: got %s, want it refused after what is owed, and closed", got)
	}
	third = open(other, "+OK")
	_, _ = io.WriteString(first, "RESET\r\n")
	if got := line(t, first); got != "+RESET" {
		t.Errorf("RESET: got %s", got)
	}
	first = open(key, "+OK")
	first.Close()
	testbed.Eventually(t, "there is room when one has left", func() bool {
		c, said := openFrom(t, r.addr, here, key)
		first = c
		return said == "+OK"
	})

	// Lowered, a limit ends nobody; raised, it lets more in.
	r.setOrg(t, "acme", 1)
	testbed.Eventually(t, "the lower limit counts", func() bool {
		c, said := openFrom(t, r.addr, here, other)
		c.Close()
		return said == tooMany
	})
	for _, c := range []net.Conn{first, third} {
		if !alive(t, c) {
			t.Error("a lower limit has ended a session")
		}
	}
	r.setOrg(t, "acme", 0)
	testbed.Eventually(t, "the limit is lifted", func() bool {
		_, said := openFrom(t, r.addr, here, other)
		return said == "+OK"
	})
}

// TestUnusedSeatIsFree has a client let in by its key, and not by its backend: it holds no
// connection.
func TestUnusedSeatIsFree(t *testing.T) {
	cfg := testConfig(t)
	cfg.Pool.DialAttempts = 1
	r := startServe(t, cfg)
	key := r.tenant(t, "acme", testbed.FreeAddr(t), func(k *tenant.Key) { k.MaxConnections = 1 })
	first := dial(t, r.addr)
	defer first.Close()
	_, _ = io.WriteString(first, "HELLO 3 AUTH default "+key+"\r\n")
	if got := line(t, first); !strings.HasPrefix(got, "-ERR backend unavailable") {
		t.Errorf("HELLO without a backend: got %s", got)
	}
	if _, said := openFrom(t, r.addr, "127.0.0.1", key); said != "+OK" {
		t.Errorf("then: got %s, want the connection free", said)
	}
}

// TestConnectionLimitsHoldOnAllLoops has many clients of two keys come and go, on four
// loops: there are never more than may be, and as many as may be once all have gone.
func TestConnectionLimitsHoldOnAllLoops(t *testing.T) {
	cfg := testConfig(t)
	cfg.Loops = 4
	r := startServe(t, cfg)
	const ofKey, ofOrg = 6, 9
	bounded := func(k *tenant.Key) { k.MaxConnections = ofKey }
	keys := []string{r.tenant(t, "acme", testbed.Redis(t).Addr, bounded), r.key(t, "acme", bounded)}
	r.setOrg(t, "acme", ofOrg)
	var in [2]atomic.Int64 // clients of each key that have been let in and not begun to leave
	var all, refused atomic.Int64
	visit := func(i int) {
		c := dial(t, r.addr)
		defer c.Close()
		_, _ = io.WriteString(c, "AUTH "+keys[i]+"\r\n")
		switch said := line(t, c); said {
		case "+OK":
		case tooMany:
			refused.Add(1)
			return
		default:
			t.Errorf("got %q", said)
			return
		}
		if n, of := in[i].Add(1), all.Add(1); n > ofKey || of > ofOrg {
			t.Errorf("%d clients of a key that may have %d, %d of an organization that may have %d", n, ofKey, of, ofOrg)
		}
		alive(t, c)
		leave := []string{"", "RESET\r\n", "QUIT\r\n", "AUTH " + keys[1-i] + "\r\n", "AUTH " + keys[i] + "\r\nBLPOP nothing 0\r\n"}[rand.IntN(5)]
		in[i].Add(-1)
		all.Add(-1)
		_, _ = io.WriteString(c, leave)
		if strings.HasPrefix(leave, "AUTH "+keys[1-i]) {
			line(t, c)
		}
	}
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			for range 25 {
				visit(i % 2)
			}
		})
	}
	wg.Wait()
	if refused.Load() == 0 {
		t.Error("nobody was refused: the test shows nothing")
	}
	testbed.Within(t, 10*time.Second, "all have gone", func() bool { return r.metric(t, "client_connections{") == 0 })
	var said []string
	for i := range ofOrg + 1 {
		_, s := openFrom(t, r.addr, "127.0.0.1", keys[min(1, i/ofKey)])
		said = append(said, s)
	}
	if want := strings.Repeat("+OK ", ofOrg) + tooMany; strings.Join(said, " ") != want {
		t.Errorf("after all have gone: got %s, want %s", fmt.Sprint(said), want)
	}
}
