package main

import (
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/respgate/respgate/internal/testbed"
)

// TestRedisBenchmark runs redis-benchmark through the proxy: no command of it fails.
func TestRedisBenchmark(t *testing.T) {
	r := startServe(t, testConfig(t))
	key := r.tenant(t, "acme", testbed.Redis(t).Addr, limits(0, 0))
	host, port, err := net.SplitHostPort(r.addr)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), testbed.Binary(t, "redis-benchmark", "redis-tools"),
		"-h", host, "-p", port, "-a", key, "-P", "16", "-c", "50", "-n", "3000", "-t", "set,get,incr,lpush,lrange,mset", "--csv")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, name := range []string{"SET", "GET", "INCR", "LPUSH", "LRANGE_600 (first 600 elements)", "MSET (10 keys)"} {
		if !strings.Contains(string(out), `"`+name+`"`) {
			t.Errorf("no result for %s", name)
		}
	}
	if strings.Contains(string(out), "Error") {
		t.Errorf("it reports errors:\n%s", out)
	}
	if failed := r.metric(t, "redis_command_errors_total") - r.metric(t, `redis_command_errors_total{code="NOPERM",command="config"`); failed != 0 {
		t.Errorf("%v commands failed", failed)
	}
}

// TestRefusedDatabases has a client try databases that there are not: its backend is not
// dialled for each, also where another client has all links that could be asked on.
func TestRefusedDatabases(t *testing.T) {
	for _, c := range []struct{ name, before string }{{"links to be had", "PING"}, {"all links taken", "WATCH k"}} {
		t.Run(c.name, func(t *testing.T) {
			cfg := testConfig(t)
			cfg.Loops, cfg.Pool.PinnedMax = 1, 1
			r := startServe(t, cfg)
			key := r.tenant(t, "acme", testbed.Redis(t).Addr, limits(0, 0))
			other := talkTo(t, r.addr, key)
			other.send(c.before, "PING")
			other.line()
			other.expect("+PONG")
			const n = 200
			input := ""
			for i := range n {
				input += fmt.Sprintf("SELECT %d\r\n", 99+i)
			}
			got := talk(t, r.addr, "AUTH "+key+"\r\n"+input+"SELECT 15\r\nQUIT\r\n")
			if refused := strings.Count(got, "-ERR DB index is out of range|"); refused != n || !strings.HasSuffix(got, "|+OK|+OK|") {
				t.Errorf("%d of %d were refused: %.200s", refused, n, got)
			}
			if dials := r.metric(t, "redis_connection_attempts_total"); dials > n/10 {
				t.Errorf("the backend was dialled %v times", dials)
			}
		})
	}
}
