package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/respgate/respgate/bench/load"
)

const (
	noNeighbour    = "alone"
	busyNeighbour  = "beside 200 clients at full speed"
	largeNeighbour = "beside 20 clients with values of 256 KiB"
)

// noise is how many clients the other tenant has, and how large its values are.
var noise = map[string]struct{ clients, size int }{
	busyNeighbour:  {200, 64},
	largeNeighbour: {20, 256 << 10},
}

// overAlone is how much longer a quiet client takes with a neighbour than without.
func overAlone(f figure) func(v view) float64 {
	return func(v view) float64 { return v.over(v.row(noNeighbour), f) }
}

var neighboursSection = section{
	name:  "neighbours",
	title: "A noisy neighbour",
	about: "One tenant's client gets 64 bytes, one after the other, while another tenant's clients SET and GET in turn as fast as they are answered. Each has a\n" +
		"redis-server; the proxy is what they share. Direct shows what it costs that all share the machine's cores.",
	rows:     []string{noNeighbour, busyNeighbour, largeNeighbour},
	targets:  []string{"direct", "respgate", "twemproxy"},
	together: true,
	columns: []column{value("p50 µs", "%.1f", p50), value("p99 µs", "%.1f", p99),
		{"p50 / alone", "%.1f", overAlone(p50)}, {"p99 / alone", "%.1f", overAlone(p99)}, over("p99 / direct", p99, "direct")},
	open: func(ctx context.Context, b *bed) (measure, error) {
		all, err := startNeighbours(ctx, b)
		return func(ctx context.Context, row, name string) (sample, error) {
			return quietBeside(ctx, b, all[name], row)
		}, err
	},
}

// neighbours is how two tenants reach their Redis through a target.
type neighbours struct{ quiet, noisy load.Endpoint }

// startNeighbours starts two of Redis and the targets, each of which leads to both.
func startNeighbours(ctx context.Context, b *bed) (map[string]neighbours, error) {
	quiet, err1 := b.startRedis(ctx)
	noisy, err2 := b.startRedis(ctx)
	if err := errors.Join(err1, err2, load.Do(ctx, quiet.endpoint(), setOne)); err != nil {
		return nil, err
	}
	all := map[string]neighbours{}
	for _, name := range b.targets {
		var n neighbours
		var err error
		switch name {
		case "direct":
			n = neighbours{quiet.endpoint(), noisy.endpoint()}
		case "respgate":
			n, err = b.startSharedRespgate(ctx, quiet, noisy)
		case "twemproxy":
			n, err = b.startSharedTwemproxy(ctx, quiet, noisy)
		}
		if err != nil {
			return nil, err
		}
		all[name] = n
	}
	return all, nil
}

func (b *bed) startSharedRespgate(ctx context.Context, quiet, noisy target) (neighbours, error) {
	t, keys, err := b.startRespgate(ctx, b.serving(), []string{quiet.addr, noisy.addr})
	if err != nil {
		return neighbours{}, err
	}
	return neighbours{load.Endpoint{Addr: t.addr, Password: keys[0]}, load.Endpoint{Addr: t.addr, Password: keys[1]}}, nil
}

func (b *bed) startSharedTwemproxy(ctx context.Context, quiet, noisy target) (n neighbours, err error) {
	stats, err := freeAddr()
	config := ""
	for _, pool := range []struct {
		name  string
		redis target
		to    *load.Endpoint
	}{{"quiet", quiet, &n.quiet}, {"noisy", noisy, &n.noisy}} {
		addr, err1 := freeAddr()
		err = errors.Join(err, err1)
		pool.to.Addr = addr
		config += fmt.Sprintf("%s:\n  listen: %s\n  redis: true\n  hash: fnv1a_64\n  distribution: ketama\n  servers:\n   - %s:1\n", pool.name, addr, pool.redis.addr)
	}
	file, err1 := b.write("neighbours.yml", "%s", config)
	if err := errors.Join(err, err1); err != nil {
		return n, err
	}
	_, err = b.start(ctx, n.quiet.Addr, "nutcracker", "-c", file, "-s", portOf(stats), "-a", "127.0.0.1")
	return n, err
}

// quietBeside measures the quiet tenant's client beside a row's neighbour.
func quietBeside(ctx context.Context, b *bed, n neighbours, row string) (sample, error) {
	if others, ok := noise[row]; ok {
		swarm, err := load.StartSwarm(ctx, load.Repeat(n.noisy, others.clients), others.size)
		if err != nil {
			return nil, err
		}
		defer swarm.Close()
		if err := sleep(ctx, b.span(500*time.Millisecond)); err != nil {
			return nil, err
		}
		if served, err := swarm.Commands(); err != nil {
			return nil, err
		} else if served == 0 {
			return nil, errors.New("the neighbour was not answered")
		}
	}
	took, err := load.Latencies(ctx, n.quiet, getOne, b.count(5_000, 200))
	return sample{p50: micros(took, 0.5), p99: micros(took, 0.99)}, err
}
