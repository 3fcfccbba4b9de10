package main

import (
	"context"
	"errors"
)

// near is a respgate whose instance has a near cache.
const near = "respgate (near cache)"

var cacheSection = section{
	name:  "cache",
	title: "What a near cache saves",
	about: "GET of 64 bytes over 1,000 hot keys, nothing else: `" + near + "` answers nearly all from its cache, `respgate` has none. CPU is the proxy's; what a cache also saves, Redis's own\n" +
		"time and the way to it, is not in that figure, and on one machine there is hardly any way.",
	rows:    []string{fifty, pipeline},
	targets: []string{"direct", "respgate", near},
	columns: []column{throughput, medianTime, cpuTime, over("throughput / without", rps, "respgate"), over("CPU / without", cpu, "respgate"), over("throughput / direct", rps, "direct")},
	open: func(ctx context.Context, b *bed) (measure, error) {
		redis, err := b.startRedis(ctx)
		if err != nil {
			return nil, err
		}
		hot := []string{"-r", "1000", "-t"}
		cached := b.serving()
		cached.cache = 64 << 20
		without, err1 := b.startTarget(ctx, "respgate", redis, b.serving())
		with, err2 := b.startTarget(ctx, "respgate", redis, cached)
		_, err3 := usageOf(pipeline).run(ctx, 50_000, redis.addr, redis, append(hot, "set")...)
		all := map[string]target{"direct": redis, "respgate": without, near: with}
		return func(ctx context.Context, row, name string) (sample, error) {
			u := usageOf(row)
			return u.run(ctx, b.count(2*u.commands, u.clients), all[name].addr, all[name], append(hot, "get")...)
		}, errors.Join(err1, err2, err3)
	},
}
