package main

import (
	"context"
	"time"

	"github.com/respgate/respgate/bench/load"
)

const (
	manySet = "MSET of 1,000,000 pairs"
	manyGet = "MGET of 100,000 keys"
)

var bulkSection = section{
	name:    "bulk",
	title:   "Huge commands",
	about:   "Values of 16 bytes. The time from the first byte of the command until its reply has been read.",
	rows:    []string{manySet, manyGet},
	targets: []string{"direct", "respgate"},
	columns: []column{value("seconds", "%.3f", seconds), over("time / direct", seconds, "direct")},
	open: func(ctx context.Context, b *bed) (measure, error) {
		all, err := b.startAll(ctx, b.targets, b.serving())
		if err != nil {
			return nil, err
		}
		requests := map[string][]byte{manySet: load.MSET(b.count(1_000_000, 1000)), manyGet: load.MGET(b.count(100_000, 100))}
		for _, t := range all { // the keys exist from the first round on
			if _, err := load.Bulk(ctx, t.endpoint(), requests[manySet]); err != nil {
				return nil, err
			}
		}
		return func(ctx context.Context, row, name string) (sample, error) {
			// One run may be over in a blink: the median of some.
			var took []time.Duration
			for range 3 {
				one, err := load.Bulk(ctx, all[name].endpoint(), requests[row])
				if err != nil {
					return nil, err
				}
				took = append(took, one)
			}
			return sample{seconds: load.Percentile(took, 0.5).Seconds()}, nil
		}, nil
	},
}
