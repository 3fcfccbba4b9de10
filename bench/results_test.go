package main

import (
	"math"
	"strings"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{3}, 3},
		{[]float64{9, 1, 3}, 3},
		{[]float64{4, 1, 3, 2}, 2.5},
		{nil, math.NaN()},
	} {
		if got := median(c.values); got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("of %v: got %v, want %v", c.values, got, c.want)
		}
	}
}

func TestRatioIsOfPairs(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b []float64
		want float64
	}{
		{"a slow round for both", []float64{100, 50, 110}, []float64{50, 25, 50}, 2},
		{"a round is missing", []float64{100, 50, 110}, []float64{50}, 2},
		{"nothing to divide by", []float64{100, 50}, []float64{0, 25}, 2},
		{"no pair", []float64{100}, nil, math.NaN()},
	} {
		if got := ratio(c.a, c.b); got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

// measured are results of one round.
func measured(section, row string, by map[string]sample) *results {
	r := newResults()
	for target, s := range by {
		r.add(section, row, target, s)
	}
	return r
}

func TestAddedLatency(t *testing.T) {
	r := measured("latency", oneClient, map[string]sample{"direct": {p50: 10}, "respgate": {p50: 25}, "twemproxy": {p50: 40}})
	if got := addedOver(r.at("latency", oneClient, "respgate"), "twemproxy"); got != 0.5 {
		t.Errorf("got %v, want 15 of 30", got)
	}
}

func TestTable(t *testing.T) {
	r := measured("redis-benchmark", fifty, map[string]sample{
		"respgate":  {rps: 2000, p50: 0.5, p99: 1, cpu: 5},
		"twemproxy": {rps: 1000, p50: 1, p99: 2, cpu: 10},
	})
	got := benchmarkSection.table(r)
	for _, want := range []string{"| 50 clients | respgate  ", " 2000 |", " 2.00 |", " 0.50 |", " – |"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	lines := strings.Split(strings.TrimSpace(got), "\n")
	if len(lines) != 4 {
		t.Errorf("%d lines, want a head, a rule and two", len(lines))
	}
	for _, l := range lines {
		if len([]rune(l)) != len([]rune(lines[0])) {
			t.Errorf("not aligned: %q", l)
		}
	}
}

func TestGoalMet(t *testing.T) {
	more, less := goal{target: 1, stretch: 2}, goal{target: 2, stretch: 1, atMost: true}
	for _, c := range []struct {
		goal  goal
		value float64
		want  string
	}{
		{more, 0.99, "no"}, {more, 1, "yes"}, {more, 2, "stretch"},
		{less, 2.01, "no"}, {less, 2, "yes"}, {less, 1, "stretch"},
		{goal{target: 1, stretch: none}, 5, "yes"},
		{more, math.NaN(), "–"}, {less, math.NaN(), "–"},
	} {
		if got := c.goal.met(c.value); got != c.want {
			t.Errorf("%+v, %v: got %s, want %s", c.goal, c.value, got, c.want)
		}
	}
}

func TestSummary(t *testing.T) {
	r := newResults()
	empty := summary(r)
	if n := strings.Count(empty, "|   – |"); n != len(goals) {
		t.Errorf("%d of %d goals are not measured:\n%s", n, len(goals), empty)
	}
	r.add("idle", idleRow, "respgate", sample{memory: 1024})
	for row, v := range map[string]float64{fifty: 200, "1 client": 150, pipeline: 300} {
		r.add("redis-benchmark", row, "respgate", sample{rps: v})
		r.add("redis-benchmark", row, "haproxy", sample{rps: 100})
	}
	r.add("tenants", manyTenants, "respgate", sample{rps: 80, clients: 50})
	r.add("tenants", oneTenant, "respgate", sample{rps: 100, clients: 50})
	got := strings.Join(strings.Fields(summary(r)), " ")
	for _, want := range []string{
		"| memory per idle client | ≤ 1.5 KiB | 0.7 KiB | 1.00 KiB | yes |",
		"lowest of all redis-benchmark rows (1 client) | ≥ 1 | – | 1.50 | yes |",
		"(10 tenants; direct: –) | ≥ 0.7 | 0.85 | 0.80 | yes |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// TestGoalsNameSections: a goal of a row that is not measured would never be met.
func TestGoalsNameSections(t *testing.T) {
	r := newResults()
	for _, s := range sections {
		for _, row := range s.rows {
			for _, target := range s.targets {
				r.add(s.name, row, target, sample{rps: 1, p50: 2 - map[string]float64{"direct": 1}[target], p99: 1, cpu: 1, clients: 1, memory: 1, seconds: 1})
			}
		}
	}
	for _, g := range goals {
		if math.IsNaN(g.of(r)) {
			t.Errorf("%s: nothing is measured for it", g.what)
		}
	}
}
