package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/respgate/respgate/bench/load"
)

const (
	manyTenants = "many tenants, a backend each, 5 clients each"
	oneTenant   = "as many clients on 1 tenant"
	oneRedis    = "as many tenants, all on 1 redis-server"
	perTenant   = 5
)

// overOne is how a target fares with many tenants, compared with one.
func overOne(v view) float64 { return v.over(v.row(oneTenant), rps) }

var tenantsSection = section{
	name:  "tenants",
	title: "Tenants",
	about: "SET and GET of 64 bytes in turn, each client waiting for its reply. With many tenants each has a redis-server, a key and 5 clients; with\n" +
		"one all clients share a redis-server. Direct shows what the processes of Redis lose themselves on this machine's cores; tenants whose\n" +
		"instances are on one redis-server show what the many links of respgate cost.",
	rows:     []string{manyTenants, oneTenant, oneRedis},
	targets:  []string{"direct", "respgate"},
	together: true,
	columns: []column{value("clients", "%.0f", clients), throughput, cpuTime,
		over("throughput / direct", rps, "direct"),
		{"throughput / 1 tenant", "%.2f", overOne},
		{"that / direct's", "%.2f", func(v view) float64 { return overOne(v) / overOne(v.target("direct")) }}},
	open: func(ctx context.Context, b *bed) (measure, error) {
		crowd, err := startCrowd(ctx, b)
		return func(ctx context.Context, row, name string) (sample, error) {
			return swarm(ctx, crowd.endpoints(row, name), crowd.pids(row, name), b.span(time.Second), b.span(3*time.Second))
		}, err
	},
}

// crowd is a Redis for each of the tenants and, the last, one for all.
type crowd struct {
	redises  []target
	respgate target
	keys     []string // those of the redises' tenants, then those of as many on the last
}

// starters is how many servers are started at once.
const starters = 16

func startCrowd(ctx context.Context, b *bed) (*crowd, error) {
	c := &crowd{redises: make([]target, b.tenants+1)}
	errs := make([]error, len(c.redises))
	var wait sync.WaitGroup
	var started atomic.Int64
	for first := range starters {
		wait.Go(func() {
			for i := first; i < b.tenants; i += starters {
				c.redises[i], errs[i] = b.startRedis(ctx, "--maxclients", "100", "--hz", "1", "--dynamic-hz", "no")
				if errs[i] != nil {
					return
				}
				if n := started.Add(1); n%100 == 0 {
					b.tell("%d of %d redis-servers started", n, b.tenants)
				}
			}
		})
	}
	c.redises[b.tenants], errs[b.tenants] = b.startRedis(ctx)
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	var backends []string
	for _, t := range c.redises {
		backends = append(backends, t.addr)
	}
	for range b.tenants {
		backends = append(backends, c.redises[b.tenants].addr)
	}
	b.tell("making %d tenants", len(backends))
	var err error
	c.respgate, c.keys, err = b.startRespgate(ctx, serving{clients: perTenant*b.tenants + 100, binary: b.respgate}, backends)
	return c, err
}

// endpoints are those of a row's clients at a target.
func (c *crowd) endpoints(row, name string) (all []load.Endpoint) {
	last := len(c.redises) - 1
	for i := range perTenant * last {
		tenant := i / perTenant
		switch row {
		case oneTenant:
			tenant = last
		case oneRedis:
			tenant += last + 1
		}
		e := c.redises[min(tenant, last)].endpoint()
		if name == "respgate" {
			e = load.Endpoint{Addr: c.respgate.addr, Password: c.keys[tenant]}
		}
		all = append(all, e)
	}
	return all
}

// pids are the processes of a target that a row's clients reach.
func (c *crowd) pids(row, name string) (all []int) {
	last := len(c.redises) - 1
	switch {
	case name == "respgate":
		return c.respgate.pids
	case row != manyTenants:
		return c.redises[last].pids
	}
	for _, t := range c.redises[:last] {
		all = append(all, t.pids...)
	}
	return all
}

// swarm measures for a while, once its clients have warmed up.
func swarm(ctx context.Context, endpoints []load.Endpoint, pids []int, warmUp, during time.Duration) (sample, error) {
	s, err := load.StartSwarm(ctx, endpoints, 64)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if err := sleep(ctx, warmUp); err != nil {
		return nil, err
	}
	n0, err0 := s.Commands()
	began := time.Now()
	cpu0, err1 := cpuSeconds(pids)
	err2 := sleep(ctx, during)
	n1, err3 := s.Commands()
	took := time.Since(began)
	cpu1, err4 := cpuSeconds(pids)
	if err := errors.Join(err0, err1, err2, err3, err4); err != nil {
		return nil, err
	}
	n := float64(n1 - n0)
	if n == 0 {
		return nil, fmt.Errorf("no command was answered in %v", took)
	}
	return sample{clients: float64(len(endpoints)), rps: n / took.Seconds(), cpu: (cpu1 - cpu0) / n * 1e6}, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
