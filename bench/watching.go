package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
)

const (
	// unwatched is a respgate that looks at no command: no slow log, no top lists.
	unwatched = "respgate (unwatched)"
	// traced is one that sends spans to a collector besides.
	traced = "respgate (traced)"
)

var watchingSection = section{
	name:  "watching",
	title: "What slow log, top lists and tracing cost",
	about: "redis-benchmark as above; `respgate` is as it is shipped, with slow log and top lists; `" + unwatched + "` has both switched off; `" + traced + "` sends the\n" +
		"spans of one command in a hundred, as tracing is shipped once it has an endpoint, to a collector that throws them away.",
	rows:    []string{fifty, pipeline},
	targets: []string{"respgate", unwatched, traced},
	columns: []column{throughput, medianTime, cpuTime, over("CPU / unwatched", cpu, unwatched), over("throughput / unwatched", rps, unwatched)},
	open: func(ctx context.Context, b *bed) (measure, error) {
		redis, err := b.startRedis(ctx)
		if err != nil {
			return nil, err
		}
		collector := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		context.AfterFunc(ctx, collector.Close)
		start := func(more string) (target, error) {
			s := b.serving()
			s.config = more
			return b.startTarget(ctx, "respgate", redis, s)
		}
		shipped, err1 := start("")
		blind, err2 := start("slowlog: {threshold: -1us}\ninsight: {sample: 0}\n")
		tracing, err3 := start("tracing: {endpoint: \"" + collector.URL + "\", protocol: http}\n")
		all := map[string]target{"respgate": shipped, unwatched: blind, traced: tracing}
		return func(ctx context.Context, row, name string) (sample, error) {
			u := usageOf(row)
			u.commands *= 3 // the difference is a few ticks of the CPU's clock
			return u.measure(ctx, b, all[name])
		}, errors.Join(err1, err2, err3)
	},
}
