package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

// TestClusterPublishesAChannelAtOneNode has clients publish to a channel between transactions
// all over the cluster. Messages from different nodes would come in any order.
func TestClusterPublishesAChannelAtOneNode(t *testing.T) {
	cluster := testbed.NewCluster(t, 3, 0)
	r := startServe(t, testConfig(t))
	key := r.tenantAt(t, "acme", tenant.Secret(cluster.URL()), limits(0, 0))
	for range 3 {
		c := talkTo(t, r.addr, key)
		for _, k := range []string{"a", "b", "c"} {
			c.send("MULTI", "SET "+k+" 1", "EXEC", "PUBLISH news 1")
			c.expect("+OK", "+QUEUED", "*1", "+OK", ":0")
		}
	}
	var publishers []string
	for _, node := range cluster.Primaries {
		stats, err := node.Client().Info(t.Context(), "commandstats").Result()
		if err != nil {
			t.Fatal(err)
		}
		if _, n, ok := strings.Cut(stats, "cmdstat_publish:calls="); ok {
			publishers = append(publishers, fmt.Sprintf("%s: %s", node.Addr, n[:strings.IndexByte(n, ',')]))
		}
	}
	if len(publishers) != 1 || !strings.HasSuffix(publishers[0], ": 9") {
		t.Errorf("messages to one channel were published at %v, want all 9 at one node", publishers)
	}
}
