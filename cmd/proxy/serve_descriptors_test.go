package main

import (
	"net"
	"strings"
	"testing"

	"github.com/respgate/respgate/auth"
	"github.com/respgate/respgate/internal/testbed"
)

// TestDescriptorsAreKeptForBackends has the process use what it may for all but backends, SQLite's
// connections, HTTP and clients that are refused, when clients who are served want links of
// their own, all at once.
func TestDescriptorsAreKeptForBackends(t *testing.T) {
	p := startProcess(t, "ulimit -n 200; ", "rate_limit: {default_rps: 0}\n")
	key := p.tenant("acme", testbed.Redis(t).Addr)
	var served []*talker
	for range 8 {
		x := talkTo(t, p.addr, key)
		x.send("PING")
		x.expect("+PONG")
		served = append(served, x)
	}
	var idle []net.Conn
	open := func(addr string, n int) {
		for range n {
			idle = append(idle, dial(t, addr))
		}
	}
	open(p.addr, 32)
	for _, c := range idle { // looked up in the store, many at once
		_, _ = c.Write(commands("AUTH " + auth.Generate().Text.Reveal()))
	}
	open(p.addr, 300)
	open(p.http, 64)
	testbed.Eventually(t, "clients are refused", func() bool {
		return strings.Contains(p.log.String(), `msg="connections are refused" reason=descriptors`)
	})
	for _, x := range served {
		x.send("MULTI", "PING", "EXEC")
	}
	for _, x := range served {
		x.expect("+OK", "+QUEUED", "*1", "+PONG")
	}
	for _, c := range idle {
		c.Close()
	}
}
