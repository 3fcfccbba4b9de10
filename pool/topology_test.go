package pool

import (
	"log/slog"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

// looks are how looking at groups has ended.
type looks chan string

func (l looks) TopologyResult(_, result string) {
	select {
	case l <- result:
	default: // the test has ended
	}
}

// TestTopologyTakesUpItsTimeout: how long a server may take to answer can be changed while
// its group is looked at.
func TestTopologyTakesUpItsTimeout(t *testing.T) {
	server := testbed.Redis(t)
	backend, err := ParseURL(tenant.Secret("redis://" + server.Addr + "?read_from=prefer_replica"))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(looks, 1000)
	topologies := NewTopologies(t.Context(), DialConfig{Timeout: time.Hour}, slog.New(slog.DiscardHandler), seen, func(*Topology, []Backend) {})
	t.Cleanup(topologies.Wait)
	topology := topologies.Of("id", "acme/cache", backend)
	await := func(want string) {
		t.Helper()
		testbed.Eventually(t, "a look ends: "+want, func() bool {
			topology.Refresh()
			select {
			case got := <-seen:
				return got == want
			default:
				return false
			}
		})
	}
	await("changed")
	topologies.SetConfig(DialConfig{Timeout: 200 * time.Millisecond})
	await("ok")
	await("ok") // this one has begun since
	server.Freeze()
	t.Cleanup(server.Thaw)
	await("error")
}

// TestGroupIsLookedAtAgain: who is to take the place of a server that has gone may not be known
// yet at the first look after that has been noticed.
func TestGroupIsLookedAtAgain(t *testing.T) {
	server := testbed.Redis(t)
	seen := make(looks, 1000)
	topologies := NewTopologies(t.Context(), DialConfig{Timeout: 20 * time.Second}, slog.New(slog.DiscardHandler), seen, func(*Topology, []Backend) {})
	t.Cleanup(topologies.Wait)
	topology := topologies.Of("id", "acme/cache", mustParse(t, "redis://"+server.Addr+"?read_from=prefer_replica"))
	topology.Refresh()
	enough := time.After(topologyPoll)
	for range 5 {
		select {
		case <-seen:
		case <-enough:
			t.Fatal("it is not looked at five times before it would be if nothing had happened")
		}
	}
}

// follow looks at a group whose servers may take far longer to answer than a test takes.
func follow(t *testing.T, url string) *Topology {
	t.Helper()
	backend, err := ParseURL(tenant.Secret(url))
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	topologies := NewTopologies(ctx, DialConfig{Timeout: 20 * time.Second}, slog.New(slog.DiscardHandler), nil, func(*Topology, []Backend) {})
	t.Cleanup(topologies.Wait)
	topology := topologies.Of("id", "acme/cache", backend)
	testbed.Eventually(t, "who is who is known", func() bool { return topology.Layout() != nil })
	return topology
}

// TestSilentSentinelHoldsUpNothing has the machine of the primary and one of its sentinels
// go silent: what the other sentinels say is followed though the silent one's word never comes.
func TestSilentSentinelHoldsUpNothing(t *testing.T) {
	primary := testbed.Redis(t)
	replica := testbed.Replica(t, primary)
	sentinels := testbed.Sentinels(t, 3, primary, "")
	topology := follow(t, "redis-sentinel://"+sentinels[0].Addr+","+sentinels[1].Addr+"/"+testbed.PrimaryName+"?read_from=prefer_replica")
	sentinels[0].Freeze()
	t.Cleanup(sentinels[0].Thaw)
	primary.Freeze()
	t.Cleanup(primary.Thaw)
	testbed.Within(t, 15*time.Second, "the new primary is known", func() bool {
		return topology.Layout().Primaries[0].Addr == replica.Addr
	})
}

// TestSilentSentinelHoldsUpNoBeginning is the same for a sentinel that has been silent ever since.
func TestSilentSentinelHoldsUpNoBeginning(t *testing.T) {
	primary := testbed.Redis(t)
	sentinels := testbed.Sentinels(t, 2, primary, "")
	sentinels[0].Freeze()
	topology := follow(t, "redis-sentinel://"+sentinels[0].Addr+","+sentinels[1].Addr+"/"+testbed.PrimaryName)
	t.Cleanup(sentinels[0].Thaw)
	if got := topology.Layout().Primaries[0].Addr; got != primary.Addr {
		t.Errorf("the primary is %s, want %s", got, primary.Addr)
	}
}

// TestSilentNodeHoldsUpNothing is the same in a cluster.
func TestSilentNodeHoldsUpNothing(t *testing.T) {
	cluster := testbed.NewCluster(t, 3, 1)
	topology := follow(t, "redis-cluster://"+cluster.Primaries[0].Addr)
	slot := Slot([]byte("foo")) // of the last primary
	cluster.Primaries[2].Freeze()
	t.Cleanup(cluster.Primaries[2].Thaw)
	testbed.Within(t, 15*time.Second, "its replica is known to have its slots", func() bool {
		topology.Refresh()
		l := topology.Layout()
		return l.Primaries[l.Owner(slot)].Addr == cluster.Replicas[2].Addr
	})
}

// TestReadOnlyHasTheGroupLookedAt: whichever command meets a server that is no primary any
// more, on whichever link, its group is looked at.
func TestReadOnlyHasTheGroupLookedAt(t *testing.T) {
	const readOnly = "-READONLY You can't write against a read only replica.\r\n"
	for _, c := range []struct {
		name, reply string
		own, want   bool
	}{
		{"on a shared link", readOnly, false, true},
		{"on a client's own", readOnly, true, true},
		{"another error", "-ERR READONLY\r\n", true, false},
		{"no error", "+READONLY\r\n", true, false},
	} {
		l, _, _ := newLink()
		l.key.Group = &Topology{wake: make(chan struct{}, 1)}
		if c.own {
			l.pin = &pinned{}
		}
		l.Up(&wire{}, Hello{})
		send(t, l, &client{}, "C")
		l.Data([]byte(c.reply))
		if got := len(l.key.Group.wake) == 1; got != c.want {
			t.Errorf("%s: looked at: %v, want %v", c.name, got, c.want)
		}
	}
}
