package metrics

import (
	"math"
	"testing"
	"time"

	"github.com/respgate/respgate/command"
)

func durationsIn(h *histogram) Durations {
	var sum [numDuration]uint64
	h.addTo(sum[:])
	return durationsOf(sum[:])
}

// TestQuantile: what Prometheus's histogram_quantile says of the same buckets.
func TestQuantile(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name     string
		q        float64
		observed map[time.Duration]int
		want     float64
	}{
		{"the first bucket begins at 0", 0.5, map[time.Duration]int{0: 10}, 50e-6},
		{"all of a bucket is below its bound", 1, map[time.Duration]int{ms: 10}, 0.001},
		{"in the middle of a bucket", 0.5, map[time.Duration]int{ms: 100}, 0.00075},
		{"a single one", 0.99, map[time.Duration]int{ms: 1}, 0.000995},
		{"the last of the lower bucket", 0.5, map[time.Duration]int{ms: 50, 20 * ms: 50}, 0.001},
		{"the first of the upper bucket", 0.51, map[time.Duration]int{ms: 50, 20 * ms: 50}, 0.0103},
		{"buckets between are empty", 0.99, map[time.Duration]int{ms: 98, 2 * time.Second: 2}, 1.75},
		{"rare slow ones do not count below their part", 0.5, map[time.Duration]int{ms: 98, 2 * time.Second: 2}, 0.0005 + 0.0005*50/98},
		{"beyond the greatest bound", 0.99, map[time.Duration]int{time.Minute: 7}, 10},
		{"half beyond the greatest bound", 0.5, map[time.Duration]int{8 * time.Second: 5, time.Minute: 5}, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var h histogram
			for d, n := range tt.observed {
				h.observe(d, n)
			}
			d := durationsIn(&h)
			got, ok := d.Quantile(tt.q)
			if !ok || math.Abs(got-tt.want) > 1e-9 {
				t.Errorf("got %v, %t, want %v", got, ok, tt.want)
			}
		})
	}
	if v, ok := new(Durations).Quantile(0.5); ok {
		t.Errorf("of nothing: got %v, want none", v)
	}
}

// TestSumNeverFallsBelowZero: commands that take centuries together begin anew at 0, which
// Prometheus knows of counters. 1,000 at a time have taken so long in a few months.
func TestSumNeverFallsBelowZero(t *testing.T) {
	for _, tt := range []struct {
		name     string
		observed []time.Duration
		want     float64
	}{
		{"centuries", []time.Duration{math.MaxInt64, 200 * 24 * 365 * time.Hour}, (float64(math.MaxInt64) + 200*24*365*3600e9) / 1e9},
		{"a clock that went back", []time.Duration{-time.Second, time.Millisecond}, 0.001},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var h histogram
			for _, d := range tt.observed {
				h.observe(d, 1)
			}
			var sum [numDuration]uint64
			h.addTo(sum[:])
			got := newDuration(descPhases, sum[:], nil, "acme/cache", "backend").histogram.GetSampleSum()
			if math.Abs(got-tt.want) > 1e-6*tt.want {
				t.Errorf("got %v s, want %v", got, tt.want)
			}
		})
	}
}

// TestTotals: a tenant's own, of all loops, as they are scraped.
func TestTotals(t *testing.T) {
	m, _ := newMetrics(t, 2)
	get, config := command.Lookup([]byte("get")), command.Lookup([]byte("config"))
	for i := range 2 {
		acme := m.Loop(i).Tenant("acme/cache")
		acme.Commands(get, 3)
		acme.Commands(config.Sub([]byte("get")), 1)
		acme.Error(get, "WRONGTYPE")
		acme.Error(get, "INVENTED")
		acme.Phase(PhaseBackend, time.Millisecond, 3)
		acme.Bytes(100, 200)
		acme.Clients(1)
		acme.RateLimited(7)
		m.Loop(i).Tenant("globex/cache").Commands(get, 100)
	}
	m.LinkOpened("acme/cache", "shared")
	m.LinkOpened("acme/cache", "shared")
	m.LinkOpened("acme/cache", "pinned")
	m.LinkOpened("globex/cache", "subscriber")
	want := Totals{Errors: 4, Limited: 14, In: 200, Out: 400, Clients: 2, Links: Links{Shared: 2, Pinned: 1}}
	want.Commands[get], want.Commands[config] = 6, 2
	want.Phases[PhaseBackend] = Durations{count: 6, nanos: 6e6}
	want.Phases[PhaseBackend].buckets[3] = 6
	got := Totals{In: 1} // of another before
	if m.Totals("acme/cache", &got); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if m.Totals("nosuch/cache", &got); got != (Totals{}) {
		t.Errorf("of nobody: got %+v, want nothing", got)
	}
}

func TestDurationsSince(t *testing.T) {
	taken := func(fast, slow int) Durations {
		var h histogram
		h.observe(time.Millisecond, fast)
		h.observe(time.Second, slow)
		return durationsIn(&h)
	}
	for _, tt := range []struct {
		name              string
		now, before, want Durations
	}{
		{"both have grown", taken(10, 7), taken(4, 5), taken(6, 2)},
		{"nothing has come", taken(4, 5), taken(4, 5), Durations{}},
		{"they have begun anew", taken(2, 0), taken(4, 5), taken(2, 0)},
		{"anew, and are more by now", taken(20, 0), taken(4, 5), taken(20, 0)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.now.Since(&tt.before); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}
