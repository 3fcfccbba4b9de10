package main

import (
	"context"

	"github.com/respgate/respgate/bench/load"
)

const idleRow = "idle clients"

var idleColumns = []column{value("clients", "%.0f", clients), value("bytes per client", "%.0f", memory)}

var idleSection = section{
	name:  "idle",
	title: "Memory of idle clients",
	about: "How much the resident memory of a fresh process grows with clients that have authenticated (at respgate), sent one GET and are silent.\n" +
		"HAProxy has fewer clients, since each costs it two files. The kernel's memory for sockets is not counted.",
	rows:    []string{idleRow},
	targets: []string{"respgate", "twemproxy", "haproxy"},
	rounds:  3,
	columns: idleColumns,
	open: func(_ context.Context, b *bed) (measure, error) {
		return func(ctx context.Context, _, name string) (sample, error) {
			return idle(ctx, b, name, nil, target.endpoint)
		}, nil
	},
}

var idleTLSSection = section{
	name:    "idle-tls",
	title:   "Memory of idle TLS clients",
	about:   "The same over TLS.",
	rows:    []string{idleRow},
	targets: []string{"respgate", "haproxy"},
	rounds:  3,
	columns: idleColumns,
	open: func(_ context.Context, b *bed) (measure, error) {
		c, err := b.newCertificate()
		return func(ctx context.Context, _, name string) (sample, error) {
			return idle(ctx, b, name, c, target.tlsEndpoint)
		}, err
	},
}

// spareFiles are what a process needs besides those for its clients.
const spareFiles = 300

// idle starts a target afresh and connects clients to it.
func idle(ctx context.Context, b *bed, name string, c *certificate, endpoint func(target) load.Endpoint) (sample, error) {
	files := 1 // for each client
	if name == "haproxy" {
		files = 2
	}
	n := min(b.idle, (fileLimit()-spareFiles)/files)
	fresh, err := newLab()
	if err != nil {
		return nil, err
	}
	defer fresh.close()
	all, err := fresh.startAll(ctx, []string{name}, serving{clients: n + 20, binary: b.respgate, certificate: c})
	if err != nil {
		return nil, err
	}
	t := all[name]
	// The first client brings what all share, such as the connection to Redis.
	if err := load.Do(ctx, endpoint(t), getOne); err != nil {
		return nil, err
	}
	before, err := settledMemory(ctx, t.pids[0])
	if err != nil {
		return nil, err
	}
	conns, err := load.Open(ctx, load.Repeat(endpoint(t), n), getOne)
	if err != nil {
		return nil, err
	}
	defer conns.Close()
	after, err := settledMemory(ctx, t.pids[0])
	return sample{clients: float64(n), memory: (after - before) / float64(n)}, err
}
