package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/respgate/respgate/bench/load"
)

// The key that the latencies are of.
var (
	setOne = load.Command("SET", "bench", strings.Repeat("x", 64))
	getOne = load.Command("GET", "bench")
)

const (
	oneClient = "1 client, added latency"
	steady    = "steady 20,000 commands/s over 50 clients"
)

// addedTo is how much longer than direct a target took in each round.
func addedTo(v view) []float64 {
	return paired(v.all(p50), v.target("direct").all(p50), func(a, b float64) float64 { return a - b })
}

// addedOver compares what two targets add.
func addedOver(v view, base string) float64 { return ratio(addedTo(v), addedTo(v.target(base))) }

var latencySection = section{
	name:    "latency",
	title:   "Latency of one client",
	about:   "GET of 64 bytes, one after the other, timed in nanoseconds. Added is what a target takes longer than direct Redis in the same round.",
	rows:    []string{oneClient},
	targets: targetNames,
	columns: []column{
		value("p50 µs", "%.2f", p50), value("p99 µs", "%.2f", p99),
		{"added p50 µs", "%.2f", func(v view) float64 { return median(addedTo(v)) }},
		{"added / twemproxy", "%.2f", func(v view) float64 { return addedOver(v, "twemproxy") }},
	},
	open: openTimed(func(ctx context.Context, b *bed, t target) (sample, error) {
		if _, err := load.Latencies(ctx, t.endpoint(), getOne, b.count(2_000, 100)); err != nil { // to warm up
			return nil, err
		}
		took, err := load.Latencies(ctx, t.endpoint(), getOne, b.count(25_000, 1000))
		return sample{p50: micros(took, 0.5), p99: micros(took, 0.99)}, err
	}),
}

var steadySection = section{
	name:  "steady",
	title: "A steady rate",
	about: "20,000 GETs of 64 bytes per second over 50 connections, one due every 50 µs whether or not the others have been answered. Times count\n" +
		"from when a command was due. A target that falls behind has fewer commands/s.",
	rows:    []string{steady},
	targets: targetNames,
	columns: []column{throughput, value("p50 µs", "%.1f", p50), value("p99 µs", "%.1f", p99), cpuTime,
		over("CPU / twemproxy", cpu, "twemproxy"), over("p50 / twemproxy", p50, "twemproxy"), over("p99 / twemproxy", p99, "twemproxy")},
	open: openTimed(func(ctx context.Context, b *bed, t target) (sample, error) {
		var spent []float64
		var failed error
		l := load.Steady{Rate: 20_000, Clients: 50, Request: getOne, During: b.span(4 * time.Second)}
		got, err := l.Run(ctx, t.endpoint(), func() {
			seconds, err := cpuSeconds(t.pids)
			spent, failed = append(spent, seconds), errors.Join(failed, err)
		})
		if err := errors.Join(err, failed); err != nil {
			return nil, err
		}
		return sample{
			rps: float64(got.Answered) / got.Took.Seconds(), p50: micros(got.Latencies, 0.5), p99: micros(got.Latencies, 0.99),
			cpu: (spent[1] - spent[0]) / float64(got.Answered) * 1e6,
		}, nil
	}),
}

// openTimed starts the targets, with the key in their Redis.
func openTimed(run func(context.Context, *bed, target) (sample, error)) func(context.Context, *bed) (measure, error) {
	return func(ctx context.Context, b *bed) (measure, error) {
		all, err := b.startAll(ctx, b.targets, b.serving())
		for _, t := range all {
			err = errors.Join(err, load.Do(ctx, t.endpoint(), setOne))
		}
		return func(ctx context.Context, _, name string) (sample, error) { return run(ctx, b, all[name]) }, err
	}
}

func micros(took []time.Duration, q float64) float64 {
	return float64(load.Percentile(took, q)) / float64(time.Microsecond)
}
