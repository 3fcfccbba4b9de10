//go:build linux

package chaos

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/internal/testbed"
)

// clustered is a Redis Cluster of three primaries with a replica each.
type clustered struct {
	*testbed.Cluster
	t    *testing.T
	ctl  *redis.ClusterClient
	dead *testbed.ClusterNode // that has gone while it was a primary
}

func newClustered(t *testing.T) *clustered {
	t.Helper()
	c := &clustered{t: t, Cluster: testbed.NewCluster(t, 3, 1, durable...)}
	var addrs []string
	for _, p := range c.Primaries {
		addrs = append(addrs, p.Addr)
	}
	c.ctl = redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs})
	t.Cleanup(func() { _ = c.ctl.Close() })
	return c
}

// slotOf is the slot of a key.
func (c *clustered) slotOf(key string) int {
	slot, err := c.ctl.ClusterKeySlot(c.t.Context(), key).Result()
	if err != nil {
		c.t.Fatal(err)
	}
	return int(slot)
}

// replicaOf finds the replica of a primary.
func (c *clustered) replicaOf(primary *testbed.ClusterNode) *testbed.ClusterNode {
	for _, node := range c.Nodes() {
		if strings.Contains(view(primary, node.ID), "slave "+primary.ID+" ") {
			return node
		}
	}
	c.t.Fatal("a primary has no replica")
	return nil
}

// view is what a node knows of another one: its line of CLUSTER NODES.
func view(asked *testbed.ClusterNode, id string) string {
	client := asked.Client()
	defer client.Close()
	nodes, _ := client.ClusterNodes(context.Background()).Result()
	for line := range strings.Lines(nodes) {
		if strings.HasPrefix(line, id) {
			return line
		}
	}
	return ""
}

// losePrimary has the primary of the first worker's list go, killed or without a word, at a
// moment when its replica has all that it acknowledged.
func (c *clustered) losePrimary(how func(*testbed.Server)) (heal func()) {
	c.t.Helper()
	c.whole()
	primary := c.OwnerOf(c.slotOf("list:0"))
	replica := c.replicaOf(primary)
	catchUp(c.t, primary.Server, replica.Server)
	how(primary.Server)
	c.dead = primary
	return func() {
		testbed.Eventually(c.t, "all know that the replica is a primary", func() bool {
			for _, node := range c.Nodes() {
				if node != primary && !serves(node, replica.ID) {
					return false
				}
			}
			return true
		})
		c.ctl.ReloadState(c.t.Context())
	}
}

// serves reports whether a node finds the cluster well, with that one as a primary.
func serves(asked *testbed.ClusterNode, id string) bool {
	client := asked.Client()
	defer client.Close()
	info, err := client.ClusterInfo(context.Background()).Result()
	return err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(view(asked, id), "master - ")
}

// whole starts what is dead, which becomes the replica of who has taken its place.
func (c *clustered) whole() {
	c.t.Helper()
	if c.dead == nil {
		return
	}
	c.dead.Kill() // it may be silent only
	c.dead.Start()
	testbed.Eventually(c.t, "all know that the former primary is a replica", func() bool {
		for _, node := range c.Nodes() {
			if line := view(node, c.dead.ID); !strings.Contains(line, "slave ") || strings.Contains(line, "fail") {
				return false
			}
		}
		return true
	})
	c.dead.WaitSynced()
	c.dead = nil
}

// moveSlots moves the slots of the first worker's keys, one after the other, to another
// primary each.
func (c *clustered) moveSlots() (heal func()) {
	c.t.Helper()
	for _, prefix := range []string{"list", "counter", "slot", "queue"} {
		slot := c.slotOf(fmt.Sprintf("%s:0", prefix))
		from := c.OwnerOf(slot)
		to := c.Primaries[0]
		if from == to {
			to = c.Primaries[1]
		}
		c.MigrateSlot(slot, from, to, nil)
	}
	return func() {}
}
