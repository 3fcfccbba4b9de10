package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/respgate/respgate/bench/load"
)

// targetNames are those that -targets knows, in the order of the tables.
var targetNames = []string{"direct", "respgate", "twemproxy", "haproxy"}

// family is the target that -targets names: respgate has variants.
func family(target string) string {
	name, _, _ := strings.Cut(target, " ")
	return name
}

// target is something to put a load on.
type target struct {
	addr, password string
	tlsAddr        string // "": plain only
	pids           []int  // whose CPU time is counted
	redis          string // the address of the Redis behind it
}

func (t target) endpoint() load.Endpoint { return load.Endpoint{Addr: t.addr, Password: t.password} }

// tlsEndpoint is the listener for TLS.
func (t target) tlsEndpoint() load.Endpoint {
	return load.Endpoint{Addr: t.tlsAddr, Password: t.password, TLS: trustAnything()}
}

// serving is how targets are started.
type serving struct {
	clients     int          // how many a target must take
	certificate *certificate // set: over TLS, too
	binary      string       // respgate
	loops       int          // respgate's; 0: as it is shipped
	config      string       // more of respgate's configuration
	cache       int64        // bytes of its instances' near caches; 0: they have none
}

// serving is what every load but many clients' needs.
func (b *bed) serving() serving { return serving{clients: 4000, binary: b.respgate} }

// startAll starts a Redis and the named targets, which all lead to it.
func (l *lab) startAll(ctx context.Context, names []string, s serving) (map[string]target, error) {
	redis, err := l.startRedis(ctx)
	if err != nil {
		return nil, err
	}
	all := map[string]target{}
	for _, name := range names {
		if all[name], err = l.startTarget(ctx, name, redis, s); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (l *lab) startTarget(ctx context.Context, name string, redis target, s serving) (t target, err error) {
	switch name {
	case "direct":
		t = redis
	case "twemproxy":
		t, err = l.startTwemproxy(ctx, redis)
	case "haproxy":
		t, err = l.startHAProxy(ctx, redis, s)
	case "respgate":
		var keys []string
		if t, keys, err = l.startRespgate(ctx, s, []string{redis.addr}); err == nil {
			t.password = keys[0]
		}
	default:
		err = fmt.Errorf("no target is named %q", name)
	}
	t.redis = redis.addr
	return t, err
}

// startRedis starts a Redis without persistence.
func (l *lab) startRedis(ctx context.Context, more ...string) (target, error) {
	addr, err := freeAddr()
	if err != nil {
		return target{}, err
	}
	_, port, _ := net.SplitHostPort(addr)
	args := []string{"--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--maxclients", "15000"}
	return l.start(ctx, addr, "redis-server", append(args, more...)...)
}

func (l *lab) startTwemproxy(ctx context.Context, redis target) (target, error) {
	addr, err1 := freeAddr()
	stats, err2 := freeAddr()
	config, err3 := l.write("nutcracker.yml", "bench:\n  listen: %s\n  redis: true\n  hash: fnv1a_64\n  distribution: ketama\n  servers:\n   - %s:1\n", addr, redis.addr)
	if err := errors.Join(err1, err2, err3); err != nil {
		return target{}, err
	}
	return l.start(ctx, addr, "nutcracker", "-c", config, "-s", portOf(stats), "-a", "127.0.0.1")
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

// startHAProxy has the default of one thread for each core.
func (l *lab) startHAProxy(ctx context.Context, redis target, s serving) (target, error) {
	addr, err1 := freeAddr()
	tlsAddr, err2 := freeAddr()
	if err := errors.Join(err1, err2); err != nil {
		return target{}, err
	}
	binds := "  bind " + addr + "\n"
	if s.certificate != nil {
		binds += fmt.Sprintf("  bind %s ssl crt %s ssl-min-ver TLSv1.3 ciphersuites %s curves %s\n", tlsAddr, s.certificate.both, cipherSuite, curve)
	}
	config, err := l.write("haproxy.cfg", "global\n  maxconn %d\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 5m\n  timeout server 5m\nlisten bench\n%s  server redis %s\n",
		s.clients, binds, redis.addr)
	if err != nil {
		return target{}, err
	}
	t, err := l.start(ctx, addr, "haproxy", "-f", config, "-db")
	t.tlsAddr = tlsAddr
	return t, err
}
