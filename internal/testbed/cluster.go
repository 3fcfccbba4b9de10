package testbed

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// slots is how many hash slots a cluster has.
const slots = 16384

// ClusterNode is a server of a cluster.
type ClusterNode struct {
	*Server
	ID      string // as the cluster names it
	busPort string
}

// Cluster is a Redis Cluster.
type Cluster struct {
	Primaries []*ClusterNode // as they were at first
	Replicas  []*ClusterNode // of the primaries, in their order, round after round

	tb testing.TB
}

// NewCluster starts a cluster of n primaries with the same number of slots each, and
// replicas of each. A node that has been silent for a second is failed over. Each has the
// further arguments. They are killed when the test ends.
func NewCluster(tb testing.TB, n, replicas int, args ...string) *Cluster {
	tb.Helper()
	c := &Cluster{tb: tb}
	for i := range n * (1 + replicas) {
		node := c.start(args...)
		if i < n {
			c.Primaries = append(c.Primaries, node)
		} else {
			c.Replicas = append(c.Replicas, node)
		}
	}
	for i, p := range c.Primaries {
		c.do(p, "CLUSTER", "SET-CONFIG-EPOCH", i+1)
		c.do(p, "CLUSTER", "ADDSLOTSRANGE", i*slots/n, (i+1)*slots/n-1)
	}
	all := c.Nodes()
	for _, node := range all[1:] {
		c.join(node)
	}
	for i, node := range c.Replicas {
		c.do(node, "CLUSTER", "REPLICATE", c.Primaries[i%n].ID)
	}
	for _, node := range all {
		c.waitAgreed(node, len(all))
	}
	for _, node := range c.Replicas {
		node.WaitSynced()
	}
	return c
}

// AddNode starts one more node, a primary without slots.
func (c *Cluster) AddNode(args ...string) *ClusterNode {
	c.tb.Helper()
	node := c.start(args...)
	c.join(node)
	c.Primaries = append(c.Primaries, node)
	for _, n := range c.Nodes() {
		c.waitAgreed(n, len(c.Nodes()))
	}
	return node
}

// Nodes returns all nodes, the primaries first.
func (c *Cluster) Nodes() []*ClusterNode {
	return append(append([]*ClusterNode(nil), c.Primaries...), c.Replicas...)
}

// OwnerOf returns the node that has a slot, as the first node that answers says; nil is
// none.
func (c *Cluster) OwnerOf(slot int) *ClusterNode {
	for _, asked := range c.Nodes() {
		if id := asked.ownerOf(slot); id != "" {
			for _, node := range c.Nodes() {
				if node.ID == id {
					return node
				}
			}
		}
	}
	return nil
}

// ownerOf returns the id of the node that has a slot in n's eyes; "" when it does not know,
// or answer.
func (n *ClusterNode) ownerOf(slot int) string {
	ranges, err := n.client().ClusterSlots(context.Background()).Result() //nolint:staticcheck // what Redis 6 knows too
	if err != nil {
		return ""
	}
	for _, r := range ranges {
		if r.Start <= slot && slot <= r.End && len(r.Nodes) > 0 {
			return r.Nodes[0].ID
		}
	}
	return ""
}

// epochs are the primaries' configuration epochs in n's eyes.
func (n *ClusterNode) epochs() string {
	var epochs []string
	for line := range strings.Lines(n.client().ClusterNodes(context.Background()).Val()) {
		if words := strings.Fields(line); len(words) > 6 && strings.Contains(words[2], "master") {
			epochs = append(epochs, words[0]+"="+words[6])
		}
	}
	slices.Sort(epochs)
	return strings.Join(epochs, " ")
}

// distinct reports whether no two of these end in the same epoch.
func distinct(epochs []string) bool {
	seen := map[string]bool{}
	for _, e := range epochs {
		_, epoch, _ := strings.Cut(e, "=")
		if seen[epoch] {
			return false
		}
		seen[epoch] = true
	}
	return true
}

// URL is what an instance's URL names the cluster by.
func (c *Cluster) URL() string {
	addrs := make([]string, 0, len(c.Primaries))
	for _, p := range c.Primaries {
		addrs = append(addrs, p.Addr)
	}
	scheme, auth := "redis-cluster://", ""
	if c.Primaries[0].TLS != nil {
		scheme = "rediss-cluster://"
	}
	if p := c.Primaries[0].Password; p != "" {
		auth = ":" + p + "@"
	}
	return scheme + auth + strings.Join(addrs, ",")
}

// settleTime is how long nodes may take to agree whose a slot is.
const settleTime = 2 * time.Second

// MigrateSlot moves a slot with its keys from one primary to another, as redis-cli
// --cluster reshard does. Between the steps it calls between, which may be nil: the slot is
// half moved then.
func (c *Cluster) MigrateSlot(slot int, from, to *ClusterNode, between func()) {
	c.tb.Helper()
	if to.ownerOf(slot) == to.ID { // and the others have yet to learn it
		c.settle(slot, to)
		return
	}
	c.do(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", from.ID)
	c.do(from, "CLUSTER", "SETSLOT", slot, "MIGRATING", to.ID)
	host, port, _ := net.SplitHostPort(to.Addr)
	source := from.Client()
	ctx := context.Background()
	for {
		keys, err := source.ClusterGetKeysInSlot(ctx, slot, 10).Result()
		if err != nil {
			c.tb.Fatal(err)
		}
		if between != nil {
			between()
		}
		if len(keys) == 0 {
			break
		}
		args := []any{"MIGRATE", host, port, "", 0, 5000}
		if to.Password != "" {
			args = append(args, "AUTH", to.Password)
		}
		args = append(args, "KEYS")
		for _, k := range keys {
			args = append(args, k)
		}
		c.do(from, args...)
	}
	c.settle(slot, to)
}

// settle gives a slot to a primary, and waits until all know.
func (c *Cluster) settle(slot int, to *ClusterNode) {
	c.tb.Helper()
	give := func() {
		for _, node := range append([]*ClusterNode{to}, c.Primaries...) {
			// A primary that has become a replica refuses.
			_ = node.client().Do(context.Background(), "CLUSTER", "SETSLOT", slot, "NODE", to.ID).Err()
		}
	}
	give()
	// Two nodes that have chosen the same epoch without knowing of each other settle that
	// later, and who has a slot may change back meanwhile: then it is given again, with an
	// epoch above all others.
	given := time.Now()
	Eventually(c.tb, "all know whose the slot is", func() bool {
		if time.Since(given) > settleTime {
			_ = to.client().Do(context.Background(), "CLUSTER", "BUMPEPOCH").Err()
			give()
			given = time.Now()
		}
		first := c.Primaries[0].epochs()
		for _, node := range c.Primaries {
			if node.ownerOf(slot) != to.ID || node.epochs() != first {
				return false
			}
		}
		return distinct(strings.Fields(first))
	})
}

func (c *Cluster) start(args ...string) *ClusterNode {
	c.tb.Helper()
	_, bus, _ := net.SplitHostPort(FreeAddr(c.tb))
	args = append([]string{"--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "1000",
		"--cluster-replica-validity-factor", "0"}, args...)
	for i, a := range args {
		if a == "--requirepass" {
			args = append(args, "--masterauth", args[i+1])
			break
		}
	}
	node := &ClusterNode{Server: Redis(c.tb, args...), busPort: bus}
	node.ID = node.client().Do(context.Background(), "CLUSTER", "MYID").Val().(string)
	return node
}

// join makes node one of the cluster.
func (c *Cluster) join(node *ClusterNode) {
	c.tb.Helper()
	first := c.Primaries[0]
	host, port, _ := net.SplitHostPort(first.Addr)
	c.do(node, "CLUSTER", "MEET", host, port, first.busPort)
	for _, known := range []*ClusterNode{first, node} {
		other := node.ID
		if known == node {
			other = first.ID
		}
		Eventually(c.tb, "the nodes have met", func() bool {
			nodes, err := known.client().ClusterNodes(context.Background()).Result()
			return err == nil && strings.Contains(nodes, other) && !strings.Contains(nodes, "handshake")
		})
	}
}

// waitAgreed waits until node knows n nodes and finds the cluster fit to serve.
func (c *Cluster) waitAgreed(node *ClusterNode, n int) {
	c.tb.Helper()
	Eventually(c.tb, "the cluster is ready", func() bool {
		info, err := node.client().ClusterInfo(context.Background()).Result()
		return err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r", n))
	})
}

func (c *Cluster) do(node *ClusterNode, args ...any) {
	c.tb.Helper()
	ctx, err := context.Background(), error(nil)
	Eventually(c.tb, fmt.Sprintf("%v", args[:2]), func() bool {
		err = node.client().Do(ctx, args...).Err()
		return err == nil || !strings.Contains(err.Error(), "Unknown node") // gossip is on its way
	})
	if err != nil {
		c.tb.Fatalf("%v: %v", args, err)
	}
}

// client returns the node's one client, made at the first call.
func (n *ClusterNode) client() *redis.Client {
	if n.own == nil {
		n.own = n.Client()
	}
	return n.own
}
