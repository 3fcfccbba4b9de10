package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// bare is a respgate that was built without policy, limit and metrics.
const bare = "respgate (bare)"

var bareSection = section{
	name:    "bare",
	title:   "What policy, limit and metrics cost",
	about:   "redis-benchmark as above; `" + bare + "` is built from this source with the tag bare, which leaves all three out.",
	rows:    []string{fifty, pipeline},
	targets: []string{"respgate", bare},
	columns: []column{throughput, medianTime, cpuTime, over("CPU / bare", cpu, bare), over("throughput / bare", rps, bare)},
	open: func(ctx context.Context, b *bed) (measure, error) {
		b.tell("building with the tag bare")
		binary, err := b.buildBare(ctx)
		if err != nil {
			return nil, err
		}
		redis, err := b.startRedis(ctx)
		if err != nil {
			return nil, err
		}
		withoutAll := b.serving()
		withoutAll.binary = binary
		on, err1 := b.startTarget(ctx, "respgate", redis, b.serving())
		off, err2 := b.startTarget(ctx, "respgate", redis, withoutAll)
		all := map[string]target{"respgate": on, bare: off}
		return func(ctx context.Context, row, name string) (sample, error) {
			u := usageOf(row)
			u.commands *= 3 // the difference is a few ticks of the CPU's clock
			return u.measure(ctx, b, all[name])
		}, errors.Join(err1, err2)
	},
}

func (l *lab) buildBare(ctx context.Context) (string, error) {
	binary := filepath.Join(l.dir, "bare")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", "bare", "-ldflags", "-s -w", "-o", binary, "./cmd/proxy")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as make build does
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build -tags bare: %w: %s", err, out)
	}
	return binary, nil
}
