package testbed

import (
	"strings"
	"testing"
)

func TestSentinelsFailOver(t *testing.T) {
	primary := Redis(t, "--requirepass", "s3cret")
	replica := Replica(t, primary)
	sentinels := Sentinels(t, 3, primary, "w4tch")
	primary.Kill()
	client := sentinels[0].Client()
	Eventually(t, "the sentinels name the replica", func() bool {
		addr, err := client.Do(t.Context(), "SENTINEL", "GET-MASTER-ADDR-BY-NAME", PrimaryName).StringSlice()
		return err == nil && strings.Join(addr, ":") == replica.Addr
	})
}

func TestClusterMovesSlotsAndFailsOver(t *testing.T) {
	c := NewCluster(t, 3, 1, "--requirepass", "s3cret")
	from, to := c.Primaries[0], c.AddNode("--requirepass", "s3cret")
	tag := ""
	for i := 0; ; i++ {
		tag = strings.Repeat("x", i)
		if n, err := from.client().ClusterKeySlot(t.Context(), tag).Result(); err != nil {
			t.Fatal(err)
		} else if n < 5461 {
			c.do(from, "SET", tag, "v")
			c.MigrateSlot(int(n), from, to, nil)
			break
		}
	}
	if got, err := to.client().Get(t.Context(), tag).Result(); err != nil || got != "v" {
		t.Errorf("GET of a moved key: %q, %v", got, err)
	}
	c.Primaries[1].Kill()
	Eventually(t, "the replica has become a primary", func() bool {
		return strings.Contains(c.Replicas[1].client().Info(t.Context(), "replication").Val(), "role:master")
	})
}
