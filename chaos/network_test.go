//go:build linux

package chaos

import (
	"strings"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// network is a toxiproxy between the proxy and Redis: a network that can fail.
type network struct {
	t     *testing.T
	proxy *toxiproxy.Proxy
}

// newNetwork starts one at listen, in front of upstream, until the test ends.
func newNetwork(t *testing.T, listen, upstream string) *network {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	n := &network{t, toxiproxy.NewProxy(server, t.Name(), listen, upstream)}
	n.start()
	t.Cleanup(n.proxy.Stop)
	return n
}

func (n *network) start() {
	n.t.Helper()
	if err := n.proxy.Start(); err != nil {
		n.t.Fatal(err)
	}
}

// add adds a toxic, in toxiproxy's JSON.
func (n *network) add(toxic string) {
	n.t.Helper()
	if _, err := n.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		n.t.Fatalf("%s: %v", toxic, err)
	}
}

// heal removes all toxics.
func (n *network) heal() { n.proxy.Toxics.ResetToxics(n.t.Context()) }
