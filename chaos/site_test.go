//go:build linux

package chaos

import (
	"fmt"
	"maps"
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
	direct   path = iota
	toxic         // a network that can fail
	byMiddle      // a middleman
	byName        // a network that can fail, found by a name that can change
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
	ctl    *redis.Client // of Redis itself
	net    *network
	middle *middleman
	names  *names
	key    string
	load   *load

	otherKey  string
	otherCtl  *redis.Client
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
	url, env := "redis://"+s.redis.Addr, []string(nil)
	switch how {
	case direct:
	case toxic:
		s.net = newNetwork(t, "127.0.0.1:0", s.redis.Addr)
		url = "redis://" + s.net.proxy.Listen
	case byMiddle:
		s.middle = newMiddleman(t, s.redis.Addr)
		url = "redis://" + s.middle.addr
	case byName:
		s.names = newNames(t)
		s.names.set("127.0.0.2")
		env = s.names.env()
		_, port, _ := net.SplitHostPort(testbed.FreeAddr(t))
		s.net = newNetwork(t, "127.0.0.2:"+port, s.redis.Addr)
		url = "redis://" + backendName + ":" + port
	}
	other := testbed.Redis(t)
	s.otherCtl = other.Client()
	s.proxy = startProxy(t, binary, env...)
	s.key = s.proxy.tenant("acme", url)
	s.otherKey = s.proxy.tenant("bystander", "redis://"+other.Addr)
	var err error
	if s.before, err = s.proxy.usage(); err != nil {
		t.Fatal(err)
	}
	return s
}

// startLoads starts the clients of both tenants. Their numbers begin with first.
func (s *site) startLoads(first int) {
	s.t.Helper()
	s.load = startLoad(s.t, s.ctl, s.proxy.addr, s.key, first)
	s.bystander = startLoad(s.t, s.otherCtl, s.proxy.addr, s.otherKey, first)
}

// ctls are clients of both Redis themselves.
func (s *site) ctls() []*redis.Client { return []*redis.Client{s.ctl, s.otherCtl} }

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

// noLeaks waits, once all clients have left, until the proxy uses no more than before.
func (s *site) noLeaks() {
	s.t.Helper()
	var now usage
	var err error
	within(s.t, 20*time.Second, func() bool {
		pause(s.t.Context(), 100*time.Millisecond) // asking costs more than waiting
		now, err = s.proxy.usage()
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
	var missing []int
	within(s.t, limit, func() (ok bool) {
		ok, missing = s.load.provenSince(at)
		return ok
	}, func() string { return fmt.Sprintf("all clients are served (still waiting: %v)", missing) })
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

// names is what a host name stands for, as the proxy's resolver is told.
type names struct {
	t    *testing.T
	file string
}

const backendName = "backend.chaos.test"

// wrapper has the C library read host names from a file.
const wrapper = "libnss_wrapper.so"

func newNames(t *testing.T) *names {
	return &names{t, t.TempDir() + "/hosts"}
}

// env has the resolver of a program ask the file. It is the C library's: Go's own cannot be
// told from outside where to look.
func (n *names) env() []string {
	return []string{"LD_PRELOAD=" + wrapper, "NSS_WRAPPER_HOSTS=" + n.file, "GODEBUG=netdns=cgo"}
}

// set changes the address.
func (n *names) set(addr string) {
	n.t.Helper()
	text := fmt.Sprintf("%s %s\n127.0.0.1 localhost\n", addr, backendName)
	if err := os.WriteFile(n.file+".new", []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
	if err := os.Rename(n.file+".new", n.file); err != nil {
		n.t.Fatal(err)
	}
}

// sorted is a map for people.
func sorted(found map[breach]int) string {
	var parts []string
	for b := range maps.Keys(found) {
		parts = append(parts, fmt.Sprintf("%d %s", found[b], b))
	}
	return strings.Join(parts, ", ")
}
