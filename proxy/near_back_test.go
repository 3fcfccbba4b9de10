package proxy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/respgate/respgate/resp"
)

// keepK has the puppet's k be 0, and kept.
func keepK(t *testing.T, server *puppet, p *nearProxy, c *caller) {
	t.Helper()
	for range 2 { // the first goes past the cache: there is no link that tracks yet
		c.send("GET", "k")
		server.want(t)
		server.answers <- "$1\r\n0\r\n"
		if got := c.next(); got != "$1|0|" {
			t.Fatalf("k is %q", got)
		}
		p.settle()
	}
	if got := c.do("GET", "k"); got != "$1|0|" {
		t.Fatalf("k is %q in the cache", got)
	}
}

// TestCacheDoesNotGoBack: a client that has been given a key's newer value is given no older one
// behind it, although the change has not been announced yet.
func TestCacheDoesNotGoBack(t *testing.T) {
	for _, c := range []struct {
		name  string
		newer []string // which tells of k = 1
	}{
		{"behind a miss in the same pipeline", []string{"MGET", "k", "j"}},
		{"behind a command that is too long to be kept", []string{"MGET", "k", strings.Repeat("j", maxNearCommand)}},
		{"behind one of too many keys to be kept", append([]string{"MGET", "k"}, strings.Fields(strings.Repeat("j ", maxNearKeys))...)},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := newPuppet(t)
			p := startNear(t, server.addr, 1<<20)
			client := p.call("2")
			keepK(t, server, p, client)
			both := resp.AppendCommand(resp.AppendCommand(nil, c.newer...), "GET", "k")
			if _, err := client.Write(both); err != nil {
				t.Fatal(err)
			}
			server.want(t)
			newer := fmt.Sprintf("*%d\r\n", len(c.newer)-1) + strings.Repeat("$1\r\n1\r\n", len(c.newer)-1)
			server.answers <- newer
			if got := client.next(); got != strings.ReplaceAll(newer, "\r\n", "|") {
				t.Errorf("got %q, want the newer value", got)
			}
			server.want(t)
			server.answers <- "$1\r\n1\r\n"
			if got := client.next(); got != "$1|1|" {
				t.Errorf("got %q, and 1 was told before", got)
			}
		})
	}
}
