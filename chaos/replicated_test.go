//go:build linux

package chaos

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/internal/testbed"
)

// replicated is a primary and a replica that sentinels watch.
type replicated struct {
	t         *testing.T
	primary   *testbed.Server
	replica   *testbed.Server
	sentinels []*testbed.Server
	dead      bool // the replica has gone while it was the primary
}

func newReplicated(t *testing.T, primary *testbed.Server) *replicated {
	t.Helper()
	r := &replicated{t: t, primary: primary, replica: testbed.Replica(t, primary, durable...)}
	r.sentinels = testbed.Sentinels(t, 3, primary, "")
	return r
}

func (r *replicated) addrs() (addrs []string) {
	for _, s := range r.sentinels {
		addrs = append(addrs, s.Addr)
	}
	return addrs
}

func (r *replicated) url() string {
	return "redis-sentinel://" + strings.Join(r.addrs(), ",") + "/" + testbed.PrimaryName + "/0"
}

// client follows the primary by itself.
func (r *replicated) client() redis.UniversalClient {
	c := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: testbed.PrimaryName, SentinelAddrs: r.addrs()})
	r.t.Cleanup(func() { _ = c.Close() })
	return c
}

// losePrimary has the primary go, killed or without a word, at a moment when its replica has
// all that it acknowledged: what is lost then is not lost by Redis.
func (r *replicated) losePrimary(how func(*testbed.Server)) (heal func()) {
	r.t.Helper()
	r.whole()
	catchUp(r.t, r.primary, r.replica)
	how(r.primary)
	r.dead = true
	return r.failedOver
}

// demotePrimary has the sentinels fail over while the primary lives. It takes no writes
// meanwhile: those that it acknowledges after its replica was promoted are lost by Redis.
func (r *replicated) demotePrimary() (heal func()) {
	r.t.Helper()
	r.whole()
	catchUp(r.t, r.primary, r.replica)
	client := r.sentinels[0].Client()
	testbed.Eventually(r.t, "the sentinels begin a failover", func() bool {
		return client.Do(r.t.Context(), "SENTINEL", "FAILOVER", testbed.PrimaryName).Err() == nil
	})
	return r.failedOver
}

// catchUp has a primary take no more writes, and waits until its replica has all.
func catchUp(t *testing.T, primary, replica *testbed.Server) {
	t.Helper()
	from, to := primary.Client(), replica.Client()
	if err := from.Do(t.Context(), "CLIENT", "PAUSE", 60_000, "WRITE").Err(); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "the replica has all", func() bool {
		sent, err1 := offset(from, "master_repl_offset:")
		got, err2 := offset(to, "slave_repl_offset:")
		return err1 == nil && err2 == nil && sent != "" && sent == got
	})
}

// offset reads how far replication is.
func offset(c *redis.Client, field string) (string, error) {
	info, err := c.Info(context.Background(), "replication").Result()
	_, rest, _ := strings.Cut(info, field)
	value, _, _ := strings.Cut(rest, "\r")
	return value, err
}

// failedOver waits until all sentinels name the former replica, which says so itself.
func (r *replicated) failedOver() {
	r.t.Helper()
	r.primary, r.replica = r.replica, r.primary
	primary := r.primary.Client()
	testbed.Eventually(r.t, "the replica is the primary", func() bool {
		role, err := offset(primary, "role:")
		return err == nil && role == "master"
	})
	for _, s := range r.sentinels {
		client := s.Client()
		testbed.Eventually(r.t, "the sentinels name it", func() bool {
			return r.named(client) == r.primary.Addr
		})
	}
}

// named is who is the primary, as a sentinel says.
func (r *replicated) named(sentinel *redis.Client) string {
	addr, err := sentinel.Do(r.t.Context(), "SENTINEL", "GET-MASTER-ADDR-BY-NAME", testbed.PrimaryName).StringSlice()
	if err != nil {
		return err.Error()
	}
	return net.JoinHostPort(addr[0], addr[1])
}

// whole starts what is dead, as a replica, and waits until the sentinels could fail over to it.
func (r *replicated) whole() {
	r.t.Helper()
	if r.dead {
		r.dead = false
		r.replica.Kill() // it may be silent only
		r.replica.Start()
	}
	host, port, _ := net.SplitHostPort(r.primary.Addr)
	replica := r.replica.Client()
	if err := replica.Do(r.t.Context(), "CLIENT", "UNPAUSE").Err(); err != nil {
		r.t.Fatal(err)
	}
	if err := replica.Do(r.t.Context(), "REPLICAOF", host, port).Err(); err != nil {
		r.t.Fatal(err)
	}
	r.replica.WaitSynced()
	for _, s := range r.sentinels {
		client := s.Client()
		testbed.Eventually(r.t, "the sentinels know the replica", func() bool {
			if now := r.named(client); now != r.primary.Addr {
				r.t.Fatalf("a sentinel names %s as the primary, want %s: they have failed over unasked, as they do where a machine is too busy", now, r.primary.Addr)
			}
			list, err := client.Do(r.t.Context(), "SENTINEL", "REPLICAS", testbed.PrimaryName).Slice()
			return err == nil && fit(list, r.replica.Addr)
		})
	}
}

// fit reports whether a sentinel's list of replicas has the one at addr, up and in step.
func fit(list []any, addr string) bool {
	for _, replica := range list {
		fields := map[string]string{}
		switch values := replica.(type) {
		case []any:
			for i := 0; i+1 < len(values); i += 2 {
				name, _ := values[i].(string)
				fields[name], _ = values[i+1].(string)
			}
		case map[any]any:
			for name, value := range values {
				name, _ := name.(string)
				fields[name], _ = value.(string)
			}
		}
		if net.JoinHostPort(fields["ip"], fields["port"]) == addr {
			return fields["flags"] == "slave" && fields["master-link-status"] == "ok"
		}
	}
	return false
}
