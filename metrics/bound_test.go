package metrics

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/respgate/respgate/command"
)

// bounded is metrics with a bound of tenants, as one scraper after the other sees them.
type bounded struct {
	*Metrics
	t   *testing.T
	reg *prometheus.Registry
	now time.Time
}

func newBounded(t *testing.T, most int) *bounded {
	m, reg := newMetrics(t, 2)
	b := &bounded{Metrics: m, t: t, reg: reg, now: time.Unix(0, 0)}
	m.Bound(most, func() time.Time { return b.now })
	return b
}

// commands counts n commands of a tenant's.
func (b *bounded) commands(tenant string, n int) {
	shard := b.Loop(n % 2).Tenant(tenant)
	shard.Commands(command.Lookup([]byte("get")), n)
	shard.Error(command.Lookup([]byte("get")), "WRONGTYPE")
	shard.Phase(PhaseBackend, time.Millisecond, n)
	shard.Bytes(n, 2*n)
	b.DialResult(tenant, "ok")
}

// scraped returns the counters by series, histograms by their buckets.
func (b *bounded) scraped() map[string]float64 {
	b.t.Helper()
	families, err := b.reg.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	all := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			name := family.GetName()
			for _, l := range metric.GetLabel() {
				name += "," + l.GetName() + "=" + l.GetValue()
			}
			switch {
			case metric.GetCounter() != nil:
				all[name] = metric.GetCounter().GetValue()
			case metric.GetHistogram() != nil:
				all[name+" count"] = float64(metric.GetHistogram().GetSampleCount())
				all[name+" sum"] = metric.GetHistogram().GetSampleSum()
				for i, n := range native(metric.GetHistogram()) {
					all[fmt.Sprint(name, " native ", i)] = float64(n)
				}
				for le, n := range classicBuckets(metric.GetHistogram()) {
					all[fmt.Sprint(name, " le ", le)] = float64(n)
				}
			}
		}
	}
	return all
}

// tenantsIn returns which tenants have series.
func tenantsIn(scraped map[string]float64) (names []string) {
	for series := range scraped {
		if name, ok := strings.CutPrefix(series, "rate_limited_commands_total,tenant="); ok {
			names = append(names, name)
		}
	}
	return slices.Sorted(slices.Values(names))
}

func TestTheBusiestHaveSeriesOfTheirOwn(t *testing.T) {
	b := newBounded(t, 2)
	for i, tenant := range []string{"a/x", "b/x", "c/x", "d/x"} {
		b.AddTenant(tenant)
		b.commands(tenant, 100*(i+1))
	}
	check := func(when string, want ...string) {
		t.Helper()
		if got := tenantsIn(b.scraped()); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", when, got, want)
		}
	}
	check("at first", "c/x", "d/x", "other")
	b.commands("a/x", 10_000)
	b.now = b.now.Add(reconsidered - 1)
	check("within the minute", "c/x", "d/x", "other")
	b.now = b.now.Add(1)
	check("in the scrape that decides", "c/x", "d/x", "other")
	check("after it", "a/x", "d/x", "other")
	b.now = b.now.Add(reconsidered)
	b.commands("c/x", 5_060) // no more than twice as many as half of d's or a's, and 60
	b.commands("d/x", 5_000)
	b.scraped()
	check("when another is hardly busier", "a/x", "d/x", "other")
	b.RemoveTenant("d/x")
	check("when there is room", "a/x", "other")
	b.AddTenant("e/x")
	check("a new one takes it", "a/x", "e/x", "other")
}

func TestAllHaveSeriesOfTheirOwnWhereThereIsRoom(t *testing.T) {
	for most, want := range map[int][]string{0: {"a/x", "b/x", "c/x"}, 3: {"a/x", "b/x", "c/x"}, 1: {"a/x", "other"}} {
		b := newBounded(t, most)
		for _, tenant := range []string{"c/x", "b/x", "a/x"} {
			b.AddTenant(tenant)
		}
		if got := tenantsIn(b.scraped()); !slices.Equal(got, want) {
			t.Errorf("at most %d: got %v, want %v", most, got, want)
		}
	}
}

// TestNothingIsLostBetweenPlaces has tenants change places, come and go. No counter ever goes
// down, and what Prometheus adds up of all of them is what has happened.
func TestNothingIsLostBetweenPlaces(t *testing.T) {
	b := newBounded(t, 3)
	tenants := []string{"a/x", "b/x", "c/x", "d/x", "e/x", "f/x"}
	for _, tenant := range tenants {
		b.AddTenant(tenant)
	}
	last := b.scraped()
	seen := maps.Clone(last) // the last value of every series that there ever was
	increase, happened, places := map[string]float64{}, 0, map[string]bool{}
	for round := range 40 {
		for i, tenant := range tenants {
			n := 10
			if (round/4+i)%len(tenants) < 3 {
				n = 1000 * (i + 1)
			}
			b.commands(tenant, n)
			happened += n
		}
		if round == 20 {
			b.scraped() // what a tenant has counted since the last scrape goes with it
			last = b.scraped()
			for series, v := range last {
				increase[series] += v - seen[series]
				seen[series] = v
			}
			b.RemoveTenant("b/x")
			tenants = slices.DeleteFunc(tenants, func(s string) bool { return s == "b/x" })
		}
		b.now = b.now.Add(20 * time.Second)
		now := b.scraped()
		for series, v := range now {
			before, ok := seen[series]
			if ok && v < before && !strings.Contains(series, "b/x") {
				t.Fatalf("round %d: %s went from %v to %v", round, series, before, v)
			}
			increase[series] += v - before // one that is new begins at 0
			seen[series] = v
		}
		places[strings.Join(tenantsIn(now), " ")] = true
	}
	if len(places) < 4 {
		t.Errorf("the tenants were %v: they have hardly changed places", places)
	}
	for name, per := range map[string]float64{
		"redis_commands_total,command=get": 1, "redis_tenant_duration_seconds,phase=backend": 1,
		"client_bytes_total,direction=out": 2,
	} {
		var sum float64
		for series, n := range increase {
			if strings.HasPrefix(series, name+",tenant=") && (strings.HasSuffix(series, "/x") || strings.HasSuffix(series, "other") || strings.HasSuffix(series, " count")) {
				sum += n
			}
		}
		if want := float64(happened) * per; sum != want {
			t.Errorf("%s: the increases are %v, want %v", name, sum, want)
		}
	}
}

// TestOthersTogether: gauges are summed, of breakers the worst is said, and all metrics with a
// tenant are folded.
func TestOthersTogether(t *testing.T) {
	b := newBounded(t, 1)
	b.AddTenant("a/x")
	for i, tenant := range []string{"b/x", "c/x", "d/x"} {
		b.AddTenant(tenant)
		b.LinkOpened(tenant, "shared")
		b.BreakerState(tenant, i)
		b.Loop(i % 2).Tenant(tenant).Clients(2)
		b.TopologyResult(tenant, "changed")
	}
	b.BreakerState("d/x", 1)
	b.BreakerState("b/x", 2)
	text := scrape(t, b.reg)
	for _, want := range []string{
		`redis_connections_active{kind="shared",tenant="other"} 3`,
		`redis_breaker_state{tenant="other"} 2`,
		`client_connections{tenant="other"} 6`,
		`redis_topology_refreshes_total{result="changed",tenant="other"} 3`,
		`redis_pool_waiting{kind="pinned",tenant="other"} 0`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("missing %s", want)
		}
	}
	if i := strings.Index(text, `tenant="b/x"`); i >= 0 {
		t.Errorf("a folded tenant has a series: %s", text[max(0, i-100):i])
	}
}

// TestScrapersSideBySide: several scrape at once while tenants count; each sees no counter go
// down.
func TestScrapersSideBySide(t *testing.T) {
	m, reg := newMetrics(t, 2)
	var mu sync.Mutex
	now := time.Unix(0, 0)
	m.Bound(2, func() time.Time { mu.Lock(); defer mu.Unlock(); now = now.Add(time.Minute); return now })
	stop := make(chan struct{})
	var counting, scraping sync.WaitGroup
	for i := range 2 {
		counting.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
					m.Loop(i).Tenant(fmt.Sprintf("t%d/x", n/1000%5)).Commands(command.Lookup([]byte("get")), 1)
				}
			}
		})
	}
	for range 3 {
		scraping.Go(func() {
			b := &bounded{Metrics: m, t: t, reg: reg}
			last := map[string]float64{}
			for range 20 {
				for series, v := range b.scraped() {
					if v < last[series] {
						t.Errorf("%s went from %v to %v", series, last[series], v)
					}
					last[series] = v
				}
			}
		})
	}
	scraping.Wait()
	close(stop)
	counting.Wait()
}

// TestTenThousandTenants says what they take: docs/METRICS.md has the figures. That a scrape
// stays small with the bound is what is tested.
func TestTenThousandTenants(t *testing.T) {
	const tenants, most = 10_000, 1000
	reg := prometheus.NewRegistry() // as a proxy's
	m, err := New(reg, 2, "", "")
	if err != nil {
		t.Fatal(err)
	}
	before := heap()
	var commands []command.ID
	for _, name := range []string{"get", "set", "mget", "del", "incr", "hget", "hset", "expire", "lpush", "zadd"} {
		commands = append(commands, command.Lookup([]byte(name)))
	}
	for i := range tenants {
		label := fmt.Sprintf("org%d/cache", i)
		m.AddTenant(label)
		for loop := range 2 {
			shard := m.Loop(loop).Tenant(label)
			for j, id := range commands {
				shard.Commands(id, i+1)
				shard.Phase(PhaseLimit, 0, 1)
				shard.Phase(PhasePool, 0, 1)
				shard.Phase(PhaseBackend, time.Duration(50+20*j)*time.Microsecond, 1)
				shard.Phase(PhaseWrite, time.Duration(5+j)*time.Microsecond, 1)
			}
		}
	}
	t.Logf("%d tenants of %d commands each on 2 loops take %d MiB", tenants, len(commands), (heap()-before)>>20)
	lines := map[int]int{}
	text, native := expfmt.NewFormat(expfmt.TypeTextPlain), expfmt.NewFormat(expfmt.TypeProtoDelim)
	for _, scrape := range []struct {
		most   int
		format expfmt.Format
	}{{0, text}, {most, text}, {most, native}} {
		m.Bound(scrape.most, time.Now)
		n, size, took, allocated := measure(t, reg, scrape.format)
		if scrape.format == text {
			lines[scrape.most] = n
		}
		t.Logf("at most %d with series of their own, 0 is all, %s: %v of CPU, %d MiB, %d MiB allocated", scrape.most, strings.SplitN(string(scrape.format), ";", 2)[0], took.Round(time.Millisecond), size>>20, allocated>>20)
	}
	t.Logf("%d lines of text without the bound, %d with it", lines[0], lines[most])
	if want := lines[0] / (tenants / most) * 11 / 10; lines[most] > want {
		t.Errorf("with the bound there are %d lines, without %d: want at most %d", lines[most], lines[0], want)
	}
}

// counted counts lines and bytes.
type counted struct{ lines, size int }

func (c *counted) Write(p []byte) (int, error) {
	c.size += len(p)
	c.lines += strings.Count(string(p), "\n")
	return len(p), nil
}

func measure(t *testing.T, reg *prometheus.Registry, format expfmt.Format) (lines, size int, took time.Duration, allocated uint64) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := cpuTime(t)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var c counted
	encoder := expfmt.NewEncoder(&c, format)
	for _, family := range families {
		if err := encoder.Encode(family); err != nil {
			t.Fatal(err)
		}
	}
	took = cpuTime(t) - began
	runtime.ReadMemStats(&after)
	return c.lines, c.size, took, after.TotalAlloc - before.TotalAlloc
}

// cpuTime is what the process has used of processors.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
