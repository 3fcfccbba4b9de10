//go:build linux

package chaos

import (
	"net"
	"sync"
	"time"

	"github.com/respgate/respgate/internal/testbed"
)

// told is the worst that a fault may have clients told.
type told uint8

const (
	nothing  told = iota // every command is acknowledged, every connection lasts
	refusals             // commands may be refused
	doubts               // it may be unknown whether commands were done, and connections may end
)

// fault is something that breaks around the proxy.
type fault struct {
	name, how string
	path      path
	told      told
	elsewhere told                        // the same for another tenant's clients
	felt      bool                        // it lasts until a command was not acknowledged,
	hold      time.Duration               // and then this long
	inject    func(s *site) (heal func()) // heal returns when what was broken is well again
	well      func(s *site) bool          // what must hold after that too; nil is nothing
}

// faults are what breaks between the proxy and Redis. The times are short against what real
// ones take, but the stalls: those have to be longer than stall_timeout.
var faults = []fault{
	{
		name: "redis killed", how: "SIGKILL, started again with what its append-only file has",
		told: doubts, felt: true, hold: 200 * time.Millisecond,
		inject: func(s *site) func() {
			s.redis.Kill()
			return s.redis.Start
		},
	},
	{
		name: "redis killed for longer", how: "SIGKILL; every round of dialling fails before it is started again",
		told: doubts, felt: true, hold: 4 * time.Second,
		inject: func(s *site) func() {
			s.redis.Kill()
			return s.redis.Start
		},
	},
	{
		name: "redis frozen briefly", how: "SIGSTOP and SIGCONT within `pool.stall_timeout`",
		told: nothing, hold: 500 * time.Millisecond, inject: freeze,
	},
	{
		name: "redis frozen", how: "SIGSTOP, SIGCONT when the proxy has given its links up",
		told: doubts, felt: true, hold: 200 * time.Millisecond, inject: freeze,
	},
	{
		name: "redis deaf", how: "something else has its port: it accepts and never answers",
		told: doubts, felt: true, hold: time.Second, inject: deafen,
	},
	{
		name: "slow network", how: "toxiproxy `latency`: 100 ms, give or take 50", path: toxic,
		told: nothing, hold: time.Second, inject: toxics(`{"type":"latency","attributes":{"latency":100,"jitter":50}}`),
	},
	{
		name: "thin network", how: "toxiproxy `bandwidth`: 10 KB/s each way", path: toxic,
		told: nothing, hold: time.Second, inject: toxics(
			`{"type":"bandwidth","attributes":{"rate":10}}`, `{"type":"bandwidth","stream":"upstream","attributes":{"rate":10}}`),
	},
	{
		name: "crumbling network", how: "toxiproxy `slicer`: packets of 1 to 5 bytes", path: toxic,
		told: nothing, hold: time.Second, inject: toxics(
			`{"type":"slicer","attributes":{"average_size":3,"size_variation":2,"delay":10}}`,
			`{"type":"slicer","stream":"upstream","attributes":{"average_size":3,"size_variation":2,"delay":10}}`),
	},
	{
		name: "half open, replies vanish", how: "toxiproxy `timeout`: commands arrive, nothing comes back and nothing closes", path: toxic,
		told: doubts, felt: true, hold: 200 * time.Millisecond, inject: toxics(`{"type":"timeout","attributes":{"timeout":0}}`),
	},
	{
		name: "half open, commands vanish", how: "toxiproxy `timeout` the other way", path: toxic,
		told: doubts, felt: true, hold: 200 * time.Millisecond, inject: toxics(`{"type":"timeout","stream":"upstream","attributes":{"timeout":0}}`),
	},
	{
		name: "network down", how: "toxiproxy disabled: connections close, new ones are refused", path: toxic,
		told: doubts, felt: true, hold: 500 * time.Millisecond,
		inject: func(s *site) func() {
			s.net.proxy.Stop()
			return s.net.start
		},
	},
	{
		name: "connections reset", how: "toxiproxy `reset_peer`: each ends 50 ms after its first answer", path: toxic,
		told: doubts, felt: true, hold: 500 * time.Millisecond, inject: toxics(`{"type":"reset_peer","attributes":{"timeout":50}}`),
	},
	{
		name: "replies cut off", how: "toxiproxy `limit_data`: each connection ends after 600 bytes, anywhere in an answer", path: toxic,
		told: doubts, felt: true, hold: 500 * time.Millisecond, inject: toxics(`{"type":"limit_data","attributes":{"bytes":600}}`),
	},
	{
		name: "resets within replies", how: "RST in the middle of an answer, five times", path: byMiddle,
		told: doubts, felt: true, inject: trickery(reset, 5),
	},
	{
		name: "garbage replies", how: "bytes that are no RESP between two answers, five times", path: byMiddle,
		told: doubts, felt: true, inject: trickery(garbage, 5),
	},
	{
		name: "name moves", how: "the backend's host name gets another address, the old one refuses connections", path: byName,
		told: doubts, felt: true, hold: 200 * time.Millisecond, inject: move,
	},
	{
		name: "Sentinel: primary killed", how: "SIGKILL when its replica has all; well again when the sentinels name the new primary", path: bySentinel,
		told: doubts, inject: func(s *site) func() { return s.pair.losePrimary((*testbed.Server).Kill) },
	},
	{
		name: "Sentinel: primary silent", how: "SIGSTOP as its machine's end would be: its port stays open and says nothing", path: bySentinel,
		told: doubts, inject: func(s *site) func() { return s.pair.losePrimary((*testbed.Server).Freeze) },
	},
	{
		name: "Sentinel: primary demoted", how: "`SENTINEL FAILOVER` while it lives and takes no writes", path: bySentinel,
		told: doubts, inject: func(s *site) func() { return s.pair.demotePrimary() },
	},
	{
		name: "Cluster: primary killed", how: "SIGKILL when its replica has all; well again when every node knows the new primary", path: inCluster,
		told: doubts, inject: func(s *site) func() { return s.nodes.losePrimary((*testbed.Server).Kill) },
	},
	{
		name: "Cluster: primary silent", how: "SIGSTOP as its machine's end would be: its port stays open and says nothing", path: inCluster,
		told: doubts, inject: func(s *site) func() { return s.nodes.losePrimary((*testbed.Server).Freeze) },
	},
	{
		name: "Cluster: slots move", how: "four slots with the keys in use, as redis-cli --cluster reshard does", path: inCluster,
		told: refusals, inject: func(s *site) func() { return s.nodes.moveSlots() },
	},
}

func freeze(s *site) func() {
	s.redis.Freeze()
	return s.redis.Thaw
}

// toxics adds them, and removes them.
func toxics(list ...string) func(s *site) func() {
	return func(s *site) func() {
		for _, toxic := range list {
			s.net.add(toxic)
		}
		return s.net.heal
	}
}

// trickery has the middleman play a trick, and ends when it has been played so often.
func trickery(what trick, times int64) func(s *site) func() {
	return func(s *site) func() {
		s.middle.play(what, times)
		return func() {
			testbed.Eventually(s.t, "the middleman has played its tricks", s.middle.played)
		}
	}
}

// deafen puts a listener that never answers in Redis's place.
func deafen(s *site) func() {
	s.redis.Kill()
	ln, err := net.Listen("tcp", s.redis.Addr)
	if err != nil {
		s.t.Fatal(err)
	}
	var accepting sync.WaitGroup
	var conns []net.Conn
	accepting.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			conns = append(conns, conn)
		}
	})
	return func() {
		_ = ln.Close()
		accepting.Wait()
		for _, conn := range conns {
			_ = conn.Close()
		}
		s.redis.Start()
	}
}

// move has the backend's name stand for another address, where the same Redis is.
func move(s *site) func() {
	host, port, _ := net.SplitHostPort(s.net.proxy.Listen)
	s.net.proxy.Stop()
	next := map[string]string{"127.0.0.2": "127.0.0.3", "127.0.0.3": "127.0.0.2"}[host]
	return func() {
		s.net = newNetwork(s.t, net.JoinHostPort(next, port), s.redis.Addr)
		s.names.set(next)
	}
}
