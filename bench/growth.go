package main

import (
	"context"
)

// twoLoops is a respgate with an event loop more than it has on two cores as shipped.
const twoLoops = "respgate (2 loops)"

// growths vary one thing at a time.
var growths = []namedUsage{
	{"10 clients", usage{10, 1, 64, 0, 100_000}},
	{"100 clients", usage{100, 1, 64, 0, 100_000}},
	{"1,000 clients", usage{1000, 1, 64, 0, 100_000}},
	{"5,000 clients", usage{5000, 1, 64, 0, 100_000}},
	{"pipeline 4", usage{50, 4, 64, 0, 300_000}},
	{"pipeline 64", usage{50, 64, 64, 0, 1_500_000}},
	{"pipeline 256", usage{50, 256, 64, 0, 2_000_000}},
	{"1 KiB", usage{50, 1, 1 << 10, 0, 100_000}},
	{"4 KiB", usage{50, 1, 4 << 10, 0, 100_000}},
	{"64 KiB", usage{50, 1, 64 << 10, 0, 30_000}},
	{"1 MiB", usage{10, 1, 1 << 20, 0, 2_000}},
}

var growthSection = section{
	name:  "growth",
	title: "How the cost grows",
	about: "redis-benchmark as above, 50 clients, no pipeline and 64 bytes unless said (10 clients with 1 MiB); at most two rounds. Two loops leave\n" +
		"no core to redis-benchmark, Redis and the kernel's network work on this machine.",
	rows:    rowsOf(growths),
	targets: []string{"direct", "respgate", twoLoops},
	rounds:  2,
	columns: []column{throughput, medianTime, tailTime, cpuTime, over("throughput / direct", rps, "direct"), over("CPU / direct's Redis", cpu, "direct")},
	open: func(ctx context.Context, b *bed) (measure, error) {
		s := b.serving()
		s.clients = 6000
		all, err := b.startAll(ctx, []string{"direct", "respgate"}, s)
		if err != nil {
			return nil, err
		}
		s.loops = 2
		two, keys, err := b.startRespgate(ctx, s, []string{all["direct"].addr})
		if err == nil {
			two.password, two.redis = keys[0], all["direct"].addr
		}
		all[twoLoops] = two
		return func(ctx context.Context, row, name string) (sample, error) {
			return usageOf(row).measure(ctx, b, all[name])
		}, err
	},
}
