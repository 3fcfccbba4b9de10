//go:build linux

package chaos

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/internal/testbed"
)

// path is what is between the proxy and Redis.
type path uint8

const (
	direct     path = iota
	toxic           // a network that can fail
	byMiddle        // a middleman
	byName          // a network that can fail, found by a name that can change
	bySentinel      // sentinels, which watch a primary and a replica
	inCluster       // nothing: it is a cluster
	fewFiles        // nothing; the proxy may open few files
)

// durable has Redis lose nothing that it acknowledged when it is killed: each command is given
// to the kernel before it is answered, which "everysec" may put off. No power fails here, so
// nothing needs to reach the disk.
var durable = []string{"--appendonly", "yes", "--appendfsync", "no"}

// site is a proxy, a Redis whose way to it may be broken, and clients that use it; and a
// bystander: a tenant with a Redis of its own, who is to feel nothing.
type site struct {
	t      *testing.T
	proxy  *proxy
	redis  *testbed.Server
	ctl    redis.UniversalClient // of Redis itself
	net    *network
	middle *middleman
	names  *names
	pair   *replicated
	nodes  *clustered
	key    string
	load   *load

	otherKey  string
	otherCtl  redis.UniversalClient
	bystander *load
	before    usage
}

// newSite starts a site with clients at work.
func newSite(t *testing.T, how path) *site {
	t.Helper()
	binary, err := built()
	if err != nil {
		t.Fatal(err)
	}
	s := openSite(t, how, binary)
	s.startLoads(0)
	s.proven(time.Now(), 20*time.Second)
	return s
}

// openSite starts a site without clients.
func openSite(t *testing.T, how path, binary string) *site {
	t.Helper()
	s := &site{t: t, redis: testbed.Redis(t, durable...)}
	s.ctl = s.redis.Client()
	url, before := s.way(how)
	other := testbed.Redis(t)
	s.otherCtl = other.Client()
	s.proxy = startProxy(t, binary, before...)
	s.key = s.proxy.tenant("acme", url)
	s.otherKey = s.proxy.tenant("bystander", "redis://"+other.Addr)
	var err error
	if s.before, err = s.proxy.usage(); err != nil {
		t.Fatal(err)
	}
	return s
}

// way makes what is between the proxy and Redis. It returns the URL that the proxy is given,
// and the command that it is started by.
func (s *site) way(how path) (url string, before []string) {
	s.t.Helper()
	switch how {
	case toxic:
		s.net = newNetwork(s.t, "127.0.0.1:0", s.redis.Addr)
		return "redis://" + s.net.proxy.Listen, nil
	case byMiddle:
		s.middle = newMiddleman(s.t, s.redis.Addr)
		return "redis://" + s.middle.addr, nil
	case byName:
		s.names = newNames(s.t)
		s.names.set("127.0.0.2")
		_, port, _ := net.SplitHostPort(testbed.FreeAddr(s.t))
		s.net = newNetwork(s.t, "127.0.0.2:"+port, s.redis.Addr)
		return "redis://" + backendName + ":" + port, s.names.before()
	case bySentinel:
		s.pair = newReplicated(s.t, s.redis)
		s.ctl = s.pair.client()
		return s.pair.url(), nil
	case inCluster:
		s.nodes = newClustered(s.t)
		s.ctl = s.nodes.ctl
		return s.nodes.URL(), nil
	case fewFiles:
		return "redis://" + s.redis.Addr, []string{"prlimit", "--nofile=200"}
	}
	return "redis://" + s.redis.Addr, nil
}

// startLoads starts the clients of both tenants. Their numbers begin with first.
func (s *site) startLoads(first int) {
	s.t.Helper()
	s.load = startLoad(s.t, s.ctl, s.proxy.addr, s.key, first)
	s.bystander = startLoad(s.t, s.otherCtl, s.proxy.addr, s.otherKey, first)
}

// ctls are clients of both Redis themselves.
func (s *site) ctls() []redis.UniversalClient { return []redis.UniversalClient{s.ctl, s.otherCtl} }

// usage is what leaks would show in.
type usage struct {
	clients, links, goroutines float64
	sockets                    int
}

// usage asks the proxy and the kernel.
func (p *proxy) usage() (usage, error) {
	f, err := p.metrics()
	if err != nil {
		return usage{}, err
	}
	u := usage{clients: f.sum("client_connections"), links: f.sum("redis_connections_active"), goroutines: f.sum("go_goroutines")}
	folder := fmt.Sprintf("/proc/%d/fd/", p.cmd.Process.Pid)
	open, err := os.ReadDir(folder)
	for _, fd := range open {
		if file, err := os.Readlink(folder + fd.Name()); err == nil && strings.HasPrefix(file, "socket:") {
			u.sockets++
		}
	}
	return u, err
}

// passing is how many goroutines come and go by themselves: those of the question for the
// metrics, and those that ask the store for changes.
const passing = 4

// noLeaks waits, once all clients have left, until the proxy uses no more than before. What it
// knows of a group of servers, and asks them over, it keeps for up to half a minute: the short
// form does not wait for that.
func (s *site) noLeaks() {
	s.t.Helper()
	var now usage
	var err error
	within(s.t, 60*time.Second, func() bool {
		pause(s.t.Context(), 100*time.Millisecond) // asking costs more than waiting
		now, err = s.proxy.usage()
		if lingers := s.pair != nil || s.nodes != nil; lingers && *longRuns == 0 {
			return err == nil && now.clients == 0 && now.links == 0
		}
		return err == nil && now.clients == 0 && now.links == 0 && now.sockets <= s.before.sockets &&
			now.goroutines <= s.before.goroutines+passing
	}, func() string {
		return fmt.Sprintf("the clients have left: %+v, %v; before they came: %+v", now, err, s.before)
	})
}

// within is testbed.Eventually with words for the failure that are found when it has come.
func within(t *testing.T, limit time.Duration, cond func() bool, what func() string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); !cond(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", limit, what())
		}
	}
}

// proven waits until every client has been answered something it sent after at.
func (s *site) proven(at time.Time, limit time.Duration) {
	s.t.Helper()
	var missing []string
	within(s.t, limit, func() (ok bool) {
		ok, missing = s.load.provenSince(at)
		return ok
	}, func() string { return fmt.Sprintf("all clients are served (still waiting: %s)", missing) })
}

// check stops the clients and returns what the checker finds.
func (s *site) check() (found []finding) {
	s.t.Helper()
	s.load.stop()
	s.bystander.stop()
	for i, l := range []*load{s.load, s.bystander} {
		r, err := l.record(readState(s.ctls()[i]))
		if err != nil {
			s.t.Fatal(err)
		}
		found = append(append(found, l.hung()...), check(r)...)
	}
	return found
}
