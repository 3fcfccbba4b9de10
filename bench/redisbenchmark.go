package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"math"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/respgate/respgate/bench/load"
)

// usage is a way of using redis-benchmark. SET and GET run in one call; their figures
// are averaged.
type usage struct {
	clients, pipeline int
	size              int // bytes of a value
	threads           int // 0: redis-benchmark has none
	commands          int // of each kind
}

const (
	fifty    = "50 clients"
	pipeline = "50 clients, pipeline 16"
)

// namedUsage is a usage and its row.
type namedUsage struct {
	row string
	usage
}

var usages = []namedUsage{
	{fifty, usage{50, 1, 64, 0, 150_000}},
	{pipeline, usage{50, 16, 64, 0, 1_200_000}},
	{"500 clients", usage{500, 1, 64, 0, 140_000}},
	{"50 clients, 10 KiB", usage{50, 1, 10 << 10, 0, 100_000}},
	{"1 client", usage{1, 1, 64, 0, 30_000}},
	{"50 clients, 2 threads", usage{50, 1, 64, 2, 150_000}},
	{"50 clients, pipeline 16, 2 threads", usage{50, 16, 64, 2, 1_200_000}},
	{"500 clients, 2 threads", usage{500, 1, 64, 2, 140_000}},
}

// usageOf is the one of a row.
func usageOf(row string) usage {
	for _, u := range slices.Concat(usages, growths) {
		if u.row == row {
			return u.usage
		}
	}
	return usage{}
}

func rowsOf(all []namedUsage) (rows []string) {
	for _, u := range all {
		rows = append(rows, u.row)
	}
	return rows
}

var benchmarkSection = section{
	name:  "redis-benchmark",
	title: "redis-benchmark",
	about: "SET and GET of 64 bytes unless said, over 10,000 keys, the figures of both averaged. redis-benchmark rounds p50 and p99 to 8 µs.\n" +
		"With threads it also rounds a run's time up to 250 ms: there commands/s is what Redis says it has processed.",
	rows:    rowsOf(usages),
	targets: targetNames,
	columns: []column{throughput, medianTime, tailTime, cpuTime,
		over("throughput / twemproxy", rps, "twemproxy"), over("CPU / twemproxy", cpu, "twemproxy"),
		over("throughput / direct", rps, "direct"), over("throughput / haproxy", rps, "haproxy")},
	open: func(ctx context.Context, b *bed) (measure, error) {
		all, err := b.startAll(ctx, b.targets, b.serving())
		return func(ctx context.Context, row, name string) (sample, error) {
			return usageOf(row).measure(ctx, b, all[name])
		}, err
	},
}

// measure runs it once. With threads the pace is taken from Redis.
func (u usage) measure(ctx context.Context, b *bed, t target) (sample, error) {
	if u.threads == 0 {
		return u.run(ctx, b.count(u.commands, u.clients), t.addr, t)
	}
	n := b.count(u.commands, u.commands/10) // fewer are over before there is a pace
	stop, points, failed := make(chan struct{}), []load.Point(nil), error(nil)
	var watching sync.WaitGroup
	watching.Go(func() {
		points, failed = load.Watch(ctx, load.Endpoint{Addr: t.redis}, 20*time.Millisecond, stop)
	})
	s, err := u.run(ctx, n, t.addr, t)
	close(stop)
	watching.Wait()
	if err := errors.Join(err, failed); err != nil {
		return nil, err
	}
	s[rps], err = pace(points, float64(n))
	return s, err
}

// pace is the mean of those of SET and GET, n commands each, without their beginnings and
// ends.
func pace(points []load.Point, n float64) (float64, error) {
	set, get := load.PerSecond(points, 0.1*n, 0.9*n), load.PerSecond(points, 1.1*n, 1.9*n)
	if set == 0 || get == 0 {
		return 0, fmt.Errorf("%.0f commands are over before there is a pace: use a larger -scale", n)
	}
	return (set + get) / 2, nil
}

// run has redis-benchmark send n commands of each kind to one of the target's addresses.
func (u usage) run(ctx context.Context, n int, addr string, t target, more ...string) (sample, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	args := []string{"-h", host, "-p", port, "-t", "set,get", "-c", strconv.Itoa(u.clients), "-P", strconv.Itoa(u.pipeline),
		"-d", strconv.Itoa(u.size), "-n", strconv.Itoa(n), "-r", "10000", "--csv"}
	if u.threads > 0 {
		args = append(args, "--threads", strconv.Itoa(u.threads))
	}
	if t.password != "" {
		args = append(args, "-a", t.password)
	}
	before, err := cpuSeconds(t.pids)
	if err != nil {
		return nil, err
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "redis-benchmark", append(args, more...)...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("redis-benchmark: %w: %s", err, stderr.String())
	}
	after, err := cpuSeconds(t.pids)
	if err != nil {
		return nil, err
	}
	s, tests, err := parse(string(out))
	if err != nil {
		return nil, err
	}
	s[cpu] = (after - before) / float64(n*tests) * 1e6
	return s, nil
}

// parse reads redis-benchmark's CSV and averages the tests in it. The first lines may
// be warnings.
func parse(out string) (s sample, tests int, err error) {
	_, table, found := strings.Cut(out, `"test",`)
	if !found {
		return nil, 0, fmt.Errorf("redis-benchmark printed no table: %q", out)
	}
	records, err := csv.NewReader(strings.NewReader(`"test",` + table)).ReadAll()
	if err != nil {
		return nil, 0, err
	}
	tests = len(records) - 1
	s = sample{}
	for name, f := range map[string]figure{"rps": rps, "p50_latency_ms": p50, "p99_latency_ms": p99} {
		for _, r := range records[1:] {
			s[f] += field(records[0], r, name) / float64(tests)
		}
		if math.IsNaN(s[f]) || tests == 0 {
			return nil, 0, fmt.Errorf("redis-benchmark's table lacks a figure: %q", out)
		}
	}
	return s, tests, nil
}

// field is the number in the named column, or not a number.
func field(head, record []string, name string) float64 {
	i := slices.Index(head, name)
	if i < 0 || i >= len(record) {
		return math.NaN()
	}
	v, err := strconv.ParseFloat(record[i], 64)
	if err != nil {
		return math.NaN()
	}
	return v
}
