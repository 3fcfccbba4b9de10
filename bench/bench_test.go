package main

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	const head = `"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"` + "\n"
	for _, c := range []struct {
		name, in string
		want     sample
		tests    int
		fails    bool
	}{
		{"one test", head + `"GET","1000.50","0.5","0.1","0.4","1","2","3"` + "\n", sample{rps: 1000.5, p50: 0.4, p99: 2}, 1, false},
		{"two are averaged", "WARNING: something\n" + head + `"SET","100","0","0","1","0","3","0"` + "\n" + `"GET","300","0","0","3","0","5","0"` + "\n", sample{rps: 200, p50: 2, p99: 4}, 2, false},
		{"no table", "Could not connect\n", sample{}, 0, true},
		{"an empty table", head, sample{}, 0, true},
		{"a figure that is none", head + `"GET","x","0","0","0","0","0","0"` + "\n", sample{}, 0, true},
	} {
		got, tests, err := parse(c.in)
		if (err != nil) != c.fails || !c.fails && (got != c.want || tests != c.tests) {
			t.Errorf("%s: got %+v, %d tests, %v, want %+v, %d tests", c.name, got, tests, err, c.want, c.tests)
		}
	}
}

func TestRatioIsOfPairs(t *testing.T) {
	// The machine was slow in the second round, for both.
	if got := ratio([]float64{100, 50, 110}, []float64{50, 25, 50}); got != 2 {
		t.Errorf("got %v, want 2", got)
	}
	if got := median([]float64{4, 1, 3, 2}); got != 2.5 {
		t.Errorf("median %v, want 2.5", got)
	}
}

func TestTable(t *testing.T) {
	r := newResults([]string{"respgate", "twemproxy"})
	r.add(rows[0].name, "respgate", sample{rps: 2000, p50: 0.5, p99: 1, cpu: 5})
	r.add(rows[0].name, "twemproxy", sample{rps: 1000, p50: 1, p99: 2, cpu: 10})
	got := r.table()
	for _, want := range []string{"| 50 clients | respgate  ", " 2.00 ", " 0.50 |"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	lines := strings.Split(strings.TrimSpace(got), "\n")
	for _, l := range lines {
		if len([]rune(l)) != len([]rune(lines[0])) {
			t.Errorf("not aligned: %q", l)
		}
	}
}
