package main

import (
	"fmt"
	"math"
)

// goal is a line of the summary: what respgate is to reach.
type goal struct {
	what            string
	target, stretch float64
	atMost          bool // less is better
	inKiB           bool // shown so, and given in bytes
	of              func(r *results) float64
	note            func(r *results) string
}

// none is the stretch of a goal without one.
var none = math.NaN()

// against compares respgate's figure with another target's.
func against(section, row string, f figure, base string) func(*results) float64 {
	return func(r *results) float64 {
		v := r.at(section, row, "respgate")
		return v.over(v.target(base), f)
	}
}

// perClient is what a client costs.
func perClient(section string) func(*results) float64 {
	return func(r *results) float64 { return r.at(section, idleRow, "respgate").median(memory) }
}

const kib = 1024

var goals = []goal{
	{what: "50 clients: throughput / twemproxy", target: 1.15, stretch: 1.35, of: against("redis-benchmark", fifty, rps, "twemproxy")},
	{what: "50 clients: throughput / direct Redis", target: 1, stretch: 1.1, of: against("redis-benchmark", fifty, rps, "direct")},
	{what: "50 clients: CPU per command / twemproxy", target: 0.75, stretch: 0.6, atMost: true, of: against("redis-benchmark", fifty, cpu, "twemproxy")},
	{what: "50 clients, pipeline 16: throughput / twemproxy", target: 2.3, stretch: 2.7, of: against("redis-benchmark", pipeline, rps, "twemproxy")},
	{what: "50 clients, pipeline 16: CPU / twemproxy", target: 0.27, stretch: 0.2, atMost: true, of: against("redis-benchmark", pipeline, cpu, "twemproxy")},
	{what: "500 clients: throughput / twemproxy", target: 1, stretch: 1.2, of: against("redis-benchmark", "500 clients", rps, "twemproxy")},
	{what: "500 clients: CPU / twemproxy", target: 0.85, stretch: 0.7, atMost: true, of: against("redis-benchmark", "500 clients", cpu, "twemproxy")},
	{what: "10 KiB, 50 clients: throughput / twemproxy", target: 1.1, stretch: 1.3, of: against("redis-benchmark", "50 clients, 10 KiB", rps, "twemproxy")},
	{what: "1 client: added p50 / twemproxy's", target: 0.8, stretch: 0.6, atMost: true, of: func(r *results) float64 {
		return addedOver(r.at("latency", oneClient, "respgate"), "twemproxy")
	}},
	{what: "steady 20,000/s: CPU / twemproxy", target: 1, stretch: 0.8, atMost: true, of: against("steady", steady, cpu, "twemproxy")},
	{what: "steady 20,000/s: p99 / twemproxy", target: 1, stretch: 0.9, atMost: true, of: against("steady", steady, p99, "twemproxy")},
	{what: "throughput / HAProxy TCP, lowest of all redis-benchmark rows", target: 1, stretch: none, of: func(r *results) float64 {
		_, lowest := lowestOverHAProxy(r)
		return lowest
	}, note: func(r *results) string {
		row, _ := lowestOverHAProxy(r)
		return row
	}},
	{what: "TLS, 50 clients, pipeline 16: throughput / HAProxy TLS", target: 1, stretch: 1.3, of: against("tls", pipeline, rps, "haproxy")},
	{what: "memory per idle client", target: 1.5 * kib, stretch: 0.7 * kib, atMost: true, inKiB: true, of: perClient("idle")},
	{what: "memory per idle TLS client", target: 40 * kib, stretch: 25 * kib, atMost: true, inKiB: true, of: perClient("idle-tls")},
	{what: "many tenants: throughput / one tenant", target: 0.7, stretch: 0.85, of: func(r *results) float64 {
		return overOne(r.at("tenants", manyTenants, "respgate"))
	}, note: manyTenantsNote},
	{what: "the same, all on one Redis: throughput / one tenant", target: 0.7, stretch: 0.85, of: func(r *results) float64 {
		return overOne(r.at("tenants", oneRedis, "respgate"))
	}},
	{what: "policy + limit + metrics on / off: CPU, 50 clients", target: 1.03, stretch: none, atMost: true, of: against("bare", fifty, cpu, bare)},
	{what: "the same at pipeline 16", target: 1.1, stretch: none, atMost: true, of: against("bare", pipeline, cpu, bare)},
	{what: "slow log + top lists on / off: CPU, 50 clients", target: 1.03, stretch: none, atMost: true, of: against("watching", fifty, cpu, unwatched)},
	{what: "the same with tracing", target: 1.05, stretch: none, atMost: true, of: func(r *results) float64 {
		v := r.at("watching", fifty, traced)
		return v.over(v.target(unwatched), cpu)
	}},
	{what: manySet + ": time / direct", target: 1.5, stretch: 1.2, atMost: true, of: against("bulk", manySet, seconds, "direct")},
	{what: manyGet + ": time / direct", target: 1.5, stretch: 1.2, atMost: true, of: against("bulk", manyGet, seconds, "direct")},
}

// lowestOverHAProxy is the row in which respgate is least ahead of HAProxy.
func lowestOverHAProxy(r *results) (row string, lowest float64) {
	lowest = math.NaN()
	for _, name := range rowsOf(usages) {
		if v := against("redis-benchmark", name, rps, "haproxy")(r); !math.IsNaN(v) && !(v >= lowest) {
			row, lowest = name, v
		}
	}
	return row, lowest
}

// manyTenantsNote says how many they were, and what direct Redis loses by their number.
func manyTenantsNote(r *results) string {
	v := r.at("tenants", manyTenants, "respgate")
	if !v.measured() {
		return ""
	}
	return fmt.Sprintf("%.0f tenants; direct: %s", v.median(clients)/perTenant, shown("%.2f", overOne(v.target("direct"))))
}

// met says whether a value reaches the goal.
func (g goal) met(value float64) string {
	reaches := func(bound float64) bool { return g.atMost && value <= bound || !g.atMost && value >= bound }
	switch {
	case math.IsNaN(value):
		return "–"
	case reaches(g.stretch):
		return "stretch"
	case reaches(g.target):
		return "yes"
	}
	return "no"
}

// shown is one of the goal's numbers.
func (g goal) shown(format string, value float64) string {
	if g.inKiB && !math.IsNaN(value) {
		return fmt.Sprintf(format+" KiB", value/kib)
	}
	return shown(format, value)
}

// summary is all goals in Markdown.
func summary(r *results) string {
	lines := [][]string{{"what", "target", "stretch", "measured", "met"}}
	for _, g := range goals {
		value, what := g.of(r), g.what
		if g.note != nil && !math.IsNaN(value) {
			what += " (" + g.note(r) + ")"
		}
		sign := map[bool]string{true: "≤ ", false: "≥ "}[g.atMost]
		lines = append(lines, []string{what, sign + g.shown("%g", g.target), g.shown("%g", g.stretch), g.shown("%.2f", value), g.met(value)})
	}
	return align(lines, 1)
}
