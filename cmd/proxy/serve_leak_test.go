package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

// TestNothingIsLeft runs a proxy through clients that stay, leave and fail, and a
// backend that dies. What it then tells Prometheus is sound, and once it has stopped no
// goroutine, no descriptor and no link to the backend is left.
func TestNothingIsLeft(t *testing.T) {
	_ = testbed.FreeAddr(t) // the runtime's own poller opens descriptors with the first socket
	before := goleak.IgnoreCurrent()
	files := openFiles(t)

	server := testbed.Redis(t)
	admin := server.Client()
	cfg := testConfig(t)
	cfg.Loops = 4
	cfg.RateLimit.DefaultRPS, cfg.RateLimit.SharedURL = 1_000_000, tenant.Secret("redis://"+server.Addr)
	r := startServe(t, cfg)
	key := r.tenant(t, "acme", server.Addr, nil)
	var clients []net.Conn
	for i := range 40 {
		c := dial(t, r.addr)
		clients = append(clients, c)
		fmt.Fprintf(c, "AUTH %s\r\nSELECT %d\r\nINCR n\r\n", key, i%4)
		read(t, c, len("+OK\r\n+OK\r\n:1"))
		if i%2 == 0 {
			c.Close()
		}
	}
	_ = talk(t, r.addr, "AUTH nonsense\r\n*1\r\n$x\r\n")
	server.Kill()
	server.Start()
	testbed.Eventually(t, "the backend is used again", func() bool {
		return strings.HasPrefix(talk(t, r.addr, "AUTH "+key+"\r\nPING\r\nQUIT\r\n"), "+OK|+PONG|")
	})
	for _, c := range clients {
		c.Close()
	}
	testbed.Within(t, 5*time.Second, "nothing is in flight", func() bool { return r.metric(t, inFlight) == 0 })
	check := exec.Command(testbed.Binary(t, "promtool", "prometheus"), "check", "metrics")
	_, body := httpGet(t, "http://"+r.http+"/metrics")
	check.Stdin = strings.NewReader(body)
	var out bytes.Buffer
	check.Stdout, check.Stderr = &out, &out
	if err := check.Run(); err != nil || out.Len() > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, &out)
	}

	if err := r.stop(); err != nil {
		t.Fatalf("serve: %v", err)
	}
	for _, c := range clients {
		c.Close()
	}
	if err := r.store.Close(); err != nil {
		t.Fatal(err)
	}
	testbed.Within(t, 5*time.Second, "the backend has no clients but the test's", func() bool {
		list, err := admin.ClientList(t.Context()).Result()
		return err == nil && strings.Count(list, "\n") == 1
	})
	_ = admin.Close()
	server.Kill()
	goleak.VerifyNone(t, before)
	if got := openFiles(t); got > files { // fewer: an earlier test let go of some late
		t.Errorf("%d descriptors are open, %d were before", got, files)
	}
}

// openFiles counts this process's descriptors.
func openFiles(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
