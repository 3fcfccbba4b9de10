package backup

import (
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/internal/testbed"
)

// TestCopyWhileSlotsMove: a key whose slot moves during the copy is neither lost nor a
// reason to fail, whichever way it goes.
func TestCopyWhileSlotsMove(t *testing.T) {
	ctx := t.Context()
	cluster := testbed.NewCluster(t, 2, 0)
	from, to := several(t, cluster), one(t, testbed.Redis(t))
	tags := []string{"{move}", "{a}", "{b}", "{c}"}
	n := 0
	for _, tag := range tags {
		pipe := from.cluster.Pipeline()
		for i := range 600 {
			pipe.Set(ctx, fmt.Sprint(tag, i), i, 0)
			n++
		}
		if _, err := pipe.Exec(ctx); err != nil {
			t.Fatal(err)
		}
	}
	slot := int(from.cluster.ClusterKeySlot(ctx, "{move}").Val())
	here, there := cluster.OwnerOf(slot), cluster.Primaries[1]
	if here == there {
		there = cluster.Primaries[0]
	}
	for i := range 2 {
		moved := false
		got, err := Copy(ctx, from, to, Options{Existing: Replace, Progress: func(p Progress) {
			if !moved && p.Keys > 0 {
				moved = true
				cluster.MigrateSlot(slot, here, there, nil)
			}
		}})
		if err != nil || got.Keys < int64(n) {
			t.Fatalf("copy %d: %+v, %v, want %d keys", i, got, err, n)
		}
		found, err := Compare(ctx, from, to, Options{}, nil)
		if err != nil || !found.Same() || found.Keys < int64(n) {
			t.Errorf("copy %d: %v, %v, want %d keys the same", i, found, err, n)
		}
		to.of(0).FlushAll(ctx)
		here, there = there, here
	}
	// A slot that stays half moved all the time.
	step := 0
	cluster.MigrateSlot(slot, here, there, func() {
		if step++; step%20 != 1 || t.Failed() {
			return
		}
		got, err := Copy(ctx, from, to, Options{Existing: Replace})
		if err != nil || got.Keys < int64(n) {
			t.Errorf("half moved: %+v, %v, want %d keys", got, err, n)
		}
		if keys := to.of(0).DBSize(ctx).Val(); keys != int64(n) {
			t.Errorf("half moved: %d keys, want %d", keys, n)
		}
		to.of(0).FlushAll(ctx)
	})
}

// TestOwnSlots reads what nodes say of themselves.
func TestOwnSlots(t *testing.T) {
	const text = "aaa 127.0.0.1:7000@17000 master - 0 0 1 connected 0-99\n" +
		"bbb 127.0.0.1:7001@17001,host myself,master - 0 0 2 connected 100-200 300 [17->-ccc] [150-<-aaa]\n"
	id, ranges, moving := ownSlots(text)
	if id != "bbb" || ranges != "100-200 300" || fmt.Sprint(moving) != "[17 150]" {
		t.Errorf("got %q, %q, %v", id, ranges, moving)
	}
	was, is := owners(map[string]string{"a": "0-2 7", "b": "3"}), owners(map[string]string{"a": "0-1 7", "b": "2-3 16383 99999"})
	if got := differing(was, is); fmt.Sprint(got) != "[2 16383]" {
		t.Errorf("moved: %v, want 2 and 16383", got)
	}
}

// TestOneNodeOfCluster: a node of a cluster by itself is no Redis to copy, since it has only
// its own keys, unless there is no other.
func TestOneNodeOfCluster(t *testing.T) {
	const want = "it is one node of a cluster, and the other nodes' keys would be missing: the instance's URL has to begin with redis-cluster:// or rediss-cluster://"
	for name, c := range map[string]struct {
		nodes int
		want  string
	}{"of three": {3, want}, "the only one": {1, "<nil>"}} {
		t.Run(name, func(t *testing.T) {
			r := Server(&redis.Options{Addr: testbed.NewCluster(t, c.nodes, 0).Primaries[0].Addr, DisableIdentity: true})
			t.Cleanup(func() { _ = r.Close() })
			if _, err := r.Info(t.Context()); fmt.Sprint(err) != c.want {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// TestNodeOfClusterByAnyName: Valkey calls its mode otherwise than Redis does.
func TestNodeOfClusterByAnyName(t *testing.T) {
	const one = "it is one node of a cluster, and the other nodes' keys would be missing: the instance's URL has to begin with redis-cluster:// or rediss-cluster://"
	for name, c := range map[string]struct{ info, want string }{
		"Redis":              {"redis_version:7.0.15\r\nredis_mode:cluster\r\n# Cluster\r\ncluster_enabled:1\r\n", one},
		"Valkey":             {"redis_version:7.2.4\r\nvalkey_version:8.1.1\r\nserver_mode:cluster\r\n# Cluster\r\ncluster_enabled:1\r\n", one},
		"Valkey by itself":   {"redis_version:7.2.4\r\nvalkey_version:8.1.1\r\nserver_mode:standalone\r\n# Cluster\r\ncluster_enabled:0\r\n", "<nil>"},
		"one without a mode": {"redis_version:7.0.15\r\n", "<nil>"},
	} {
		t.Run(name, func(t *testing.T) {
			node := testbed.NewScriptedCluster(t, 1, func(_ int, _ []string) string {
				return fmt.Sprintf("$%d\r\n%s\r\n", len(c.info), c.info)
			})
			r := Server(&redis.Options{Addr: node.Addrs[0], DisableIdentity: true})
			t.Cleanup(func() { _ = r.Close() })
			if _, err := r.Info(t.Context()); fmt.Sprint(err) != c.want {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}
