package main

import (
	"io"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

// TestClusterTransactionThatCannotBegin has a node die after it was sent a transaction's
// MULTI and before it has answered: the client, which was told OK, learns of it.
func TestClusterTransactionThatCannotBegin(t *testing.T) {
	cluster := testbed.NewCluster(t, 1, 0)
	r := startServe(t, testConfig(t))
	c := talkTo(t, r.addr, r.tenantAt(t, "acme", tenant.Secret(cluster.URL()), limits(0, 0)))
	c.send("MULTI", "SET k 1", "EXEC") // leaves a link behind
	c.expect("+OK", "+QUEUED", "*1", "+OK")
	cluster.Primaries[0].Freeze()
	c.send("MULTI", "SET k 2")
	c.expect("+OK")
	cluster.Primaries[0].Kill()
	_ = c.SetDeadline(time.Now().Add(testbed.Patience))
	if rest, err := io.ReadAll(c.in); err != nil {
		t.Errorf("a transaction whose node has died: %q, %v; want the end", rest, err)
	}
}
