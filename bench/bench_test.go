package main

import (
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/bench/load"
)

func TestParse(t *testing.T) {
	const head = `"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"` + "\n"
	for _, c := range []struct {
		name, in string
		want     sample
		tests    int
	}{
		{"one test", head + `"GET","1000.50","0.5","0.1","0.4","1","2","3"` + "\n", sample{rps: 1000.5, p50: 0.4, p99: 2}, 1},
		{"two are averaged", "WARNING: something\n" + head + `"SET","100","0","0","1","0","3","0"` + "\n" + `"GET","300","0","0","3","0","5","0"` + "\n", sample{rps: 200, p50: 2, p99: 4}, 2},
		{"no table", "Could not connect\n", nil, 0},
		{"an empty table", head, nil, 0},
		{"a figure that is none", head + `"GET","x","0","0","0","0","0","0"` + "\n", nil, 0},
	} {
		got, tests, err := parse(c.in)
		if (err != nil) != (c.want == nil) || !reflect.DeepEqual(got, c.want) || tests != c.tests {
			t.Errorf("%s: got %+v, %d tests, %v, want %+v, %d tests", c.name, got, tests, err, c.want, c.tests)
		}
	}
}

func TestPace(t *testing.T) {
	at := func(seconds, commands float64) load.Point {
		return load.Point{At: time.Duration(seconds * float64(time.Second)), Commands: commands}
	}
	for _, c := range []struct {
		name   string
		points []load.Point
		want   float64 // 0: an error
	}{
		{"the pause between the two does not count", []load.Point{at(0, 0), at(1, 20), at(2, 80), at(7, 120), at(9, 180), at(12, 200)}, 45},
		{"nothing of GET", []load.Point{at(0, 0), at(1, 20), at(2, 80), at(7, 120)}, 0},
		{"nothing", nil, 0},
	} {
		if got, err := pace(c.points, 100); got != c.want || (err != nil) != (c.want == 0) {
			t.Errorf("%s: got %v, %v, want %v", c.name, got, err, c.want)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		args  string
		want  options // rounds, scale, out, tenants, idle
		fails string
	}{
		{"", options{rounds: 5, scale: 1, out: resultsFile, tenants: 1000, idle: 10_000}, ""},
		{"-only steady", options{rounds: 5, scale: 1, tenants: 1000, idle: 10_000}, ""},
		{"-targets direct,respgate -o x", options{rounds: 5, scale: 1, out: "x", tenants: 1000, idle: 10_000}, ""},
		{"-smoke", options{rounds: 1, scale: 0.05, tenants: 20, idle: 500}, ""},
		{"-rounds 2 -smoke -o x", options{rounds: 2, scale: 0.05, out: "x", tenants: 20, idle: 500}, ""},
		{"-targets nginx", options{}, `-targets: unknown target "nginx"`},
		{"-rounds 0", options{}, "-rounds and -scale"},
		{"-idle 0", options{}, "-tenants and -idle"},
		{"-only (", options{}, "-only: "},
		{"steady", options{}, `want flags only, got "steady"`},
	} {
		got, err := parseOptions(strings.Fields(c.args))
		if c.fails != "" {
			if err == nil || !strings.HasPrefix(err.Error(), c.fails) {
				t.Errorf("%s: got %v, want %s…", c.args, err, c.fails)
			}
			continue
		}
		got.respgate, got.targets, got.only = "", nil, nil
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, %v, want %+v", c.args, got, err, c.want)
		}
	}
}

func TestChoose(t *testing.T) {
	all := []section{
		{name: "one", rows: []string{"a", "b"}, targets: []string{"direct", "respgate"}},
		{name: "two", rows: []string{"a"}, targets: []string{"respgate", bare}},
		{name: "three", rows: []string{"c"}, targets: []string{"haproxy"}},
	}
	for _, c := range []struct{ only, targets, want string }{
		{"", "direct respgate haproxy", "one[a b][direct respgate] two[a][respgate respgate (bare)] three[c][haproxy]"},
		{"/a$", "direct", "one[a][direct]"},
		{"^two", "respgate", "two[a][respgate respgate (bare)]"},
		{"c", "direct", ""},
	} {
		chosen, err := choose(all, options{only: regexp.MustCompile(c.only), targets: strings.Fields(c.targets)})
		var got []string
		for _, s := range chosen {
			got = append(got, s.name+"["+strings.Join(s.rows, " ")+"]["+strings.Join(s.targets, " ")+"]")
		}
		if text := strings.Join(got, " "); text != c.want || (err != nil) != (c.want == "") {
			t.Errorf("-only %q -targets %q: got %q, %v, want %q", c.only, c.targets, text, err, c.want)
		}
	}
}

func TestGroups(t *testing.T) {
	s := section{rows: []string{"a", "b"}, targets: []string{"x", "y"}}
	apart := [][]cell{{{"a", "x"}, {"a", "y"}}, {{"b", "x"}, {"b", "y"}}}
	if got := s.groups(); !reflect.DeepEqual(got, apart) {
		t.Errorf("got %v, want %v", got, apart)
	}
	s.together = true
	if got, want := s.groups(), [][]cell{append(apart[0], apart[1]...)}; !reflect.DeepEqual(got, want) {
		t.Errorf("together: got %v, want %v", got, want)
	}
}

func TestScaling(t *testing.T) {
	o := options{scale: 0.5}
	if got := o.count(1000, 50); got != 500 {
		t.Errorf("count %d", got)
	}
	if got := o.count(10, 50); got != 50 {
		t.Errorf("count %d, want the least", got)
	}
	if got := o.span(4 * time.Second); got != 2*time.Second {
		t.Errorf("span %v", got)
	}
	if got := o.span(time.Millisecond); got != 300*time.Millisecond {
		t.Errorf("span %v, want the least", got)
	}
}

func TestProcessFigures(t *testing.T) {
	stat := "7 (a) b) S 1 7 7 0 -1 0 0 0 0 0 12 30 0 0 20 0 1 0"
	if got, err := statTicks([]byte(stat)); got != 42 || err != nil {
		t.Errorf("ticks: %d, %v", got, err)
	}
	if _, err := statTicks([]byte("7 (a) S")); err == nil {
		t.Error("ticks of a short line")
	}
	if got, err := residentBytes("Name:\tx\nVmRSS:\t    1234 kB\nThreads:\t1\n"); got != 1234*1024 || err != nil {
		t.Errorf("memory: %v, %v", got, err)
	}
	if _, err := residentBytes("Name:\tx\n"); err == nil {
		t.Error("memory of a zombie")
	}
}

func TestSettled(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   bool
	}{
		{[]float64{1000, 1000, 1000}, false},
		{[]float64{500, 1000, 1001, 1004, 1002}, true},
		{[]float64{1000, 1000, 1000, 1006}, false},
	} {
		if got := settled(c.values); got != c.want {
			t.Errorf("%v: got %v", c.values, got)
		}
	}
}

func TestCrowd(t *testing.T) {
	c := &crowd{
		redises:  []target{{addr: "r0", pids: []int{10}}, {addr: "r1", pids: []int{11}}, {addr: "all", pids: []int{12}}},
		respgate: target{addr: "proxy", pids: []int{20}},
		keys:     []string{"k0", "k1", "kall"},
	}
	for _, s := range []struct {
		row, target string
		first, last string // address and password
		pids        []int
	}{
		{manyTenants, "direct", "r0 ", "r1 ", []int{10, 11}},
		{oneTenant, "direct", "all ", "all ", []int{12}},
		{manyTenants, "respgate", "proxy k0", "proxy k1", []int{20}},
		{oneTenant, "respgate", "proxy kall", "proxy kall", []int{20}},
	} {
		all := c.endpoints(s.row, s.target)
		if len(all) != 2*perTenant {
			t.Fatalf("%d clients", len(all))
		}
		first, last := all[0], all[len(all)-1]
		if first.Addr+" "+first.Password != s.first || last.Addr+" "+last.Password != s.last {
			t.Errorf("%s, %s: from %+v to %+v", s.row, s.target, first, last)
		}
		if got := c.pids(s.row, s.target); !reflect.DeepEqual(got, s.pids) {
			t.Errorf("%s, %s: processes %v, want %v", s.row, s.target, got, s.pids)
		}
	}
}
