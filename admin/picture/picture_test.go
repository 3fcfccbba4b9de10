package picture

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/tenant"
)

var (
	acme   = tenant.Instance{ID: "1", Org: "acme", Name: "cache"}
	globex = tenant.Instance{ID: "2", Org: "globex", Name: "cache"}
)

// world is a sampler that runs, of two loops' metrics.
type world struct {
	*Sampler
	t     *testing.T
	loops [2]*metrics.Loop
	all   *metrics.Metrics
	stop  func() // ends it and waits
}

// inWorld runs a test with a clock that stands still until all wait.
func inWorld(t *testing.T, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := newMetrics(t)
		w := &world{Sampler: New(m, "proxy1"), t: t, loops: [2]*metrics.Loop{m.Loop(0), m.Loop(1)}, all: m}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { w.Run(ctx) })
		w.stop = func() { cancel(); running.Wait() }
		defer w.stop()
		test(w)
	})
}

func newMetrics(t testing.TB) *metrics.Metrics {
	t.Helper()
	m, err := metrics.New(prometheus.NewPedanticRegistry(), 2, "", "")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// picture asks for one.
func (w *world) picture(in tenant.Instance, after time.Time) control.Picture {
	w.t.Helper()
	p, err := w.Picture(w.t.Context(), in, after)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// next has things counted on both loops in the second after after, and returns the point of
// that.
func (w *world) next(in tenant.Instance, after time.Time, count func(*metrics.Loop)) control.Picture {
	w.t.Helper()
	time.AfterFunc(interval/10, func() {
		for _, l := range w.loops {
			count(l)
		}
	})
	p := w.picture(in, after)
	if len(p.Points) != 1 {
		w.t.Fatalf("got %d points, want 1: %+v", len(p.Points), p)
	}
	return p
}

func id(name string) command.ID { return command.Lookup([]byte(name)) }

// TestPicture: a point has what has come since the one before, of its instance only.
func TestPicture(t *testing.T) {
	inWorld(t, func(w *world) {
		w.loops[0].Tenant(acme.Label()).Commands(id("get"), 1000) // before anybody looks
		begun := time.Now()
		p := w.next(acme, time.Time{}, func(l *metrics.Loop) {
			of := l.Tenant(acme.Label())
			of.Commands(id("get"), 50)
			of.Commands(id("set"), 10)
			of.Error(id("get"), "WRONGTYPE")
			of.Error(id("get"), "RATELIMIT")
			of.RateLimited(1)
			of.Bytes(1000, 2000)
			of.Clients(2)
			of.Phase(metrics.PhaseBackend, time.Millisecond, 50)
			l.Tenant(globex.Label()).Commands(id("del"), 7)
			w.all.LinkOpened(acme.Label(), "shared")
		})
		w.all.LinkOpened(acme.Label(), "pinned")
		got := p.Points[0]
		if got.P50 == nil || math.Abs(*got.P50-0.00075) > 1e-9 || got.P99 == nil || math.Abs(*got.P99-0.000995) > 1e-9 {
			w.t.Errorf("got p50 %v and p99 %v, want 0.75 and 0.995 ms", got.P50, got.P99)
		}
		got.P50, got.P99 = nil, nil
		want := control.Point{At: begun.Add(interval).UTC(), Commands: 120, Errors: 4, Limited: 2, BytesIn: 2000, BytesOut: 4000, Clients: 4, Links: control.Links{Shared: 2}}
		if !got.At.Equal(want.At) {
			w.t.Errorf("the point is of %v, want %v", got.At, want.At)
		}
		if got.At = want.At; got != want {
			w.t.Errorf("got %+v, want %+v", got, want)
		}
		if hot := []control.HotCommand{{Command: "get", PerSecond: 100}, {Command: "set", PerSecond: 20}}; p.Proxy != "proxy1" || !slices.Equal(p.Hot, hot) {
			w.t.Errorf("got hot commands %v of %q, want %v of proxy1", p.Hot, p.Proxy, hot)
		}

		p = w.next(acme, got.At, func(*metrics.Loop) {})
		want = control.Point{At: want.At.Add(interval), Clients: 4, Links: control.Links{Shared: 2, Pinned: 1}}
		if got := p.Points[0]; got != want || p.Hot == nil || len(p.Hot) > 0 {
			w.t.Errorf("when nothing comes: got %+v, want %+v and no hot commands", p, want)
		}
	})
}

// TestHotCommands are the most frequent, by name where they are alike.
func TestHotCommands(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.next(acme, time.Time{}, func(l *metrics.Loop) {
			of := l.Tenant(acme.Label())
			for i, name := range []string{"ttl", "del", "get", "set", "incr", "ping", "exists", "hset", "config"} {
				of.Commands(id(name), 2*i+1)
			}
			of.Commands(id("config").Sub([]byte("get")), 1)
			of.Commands(id("zadd"), 15)
			of.Commands(command.Other, 1)
		})
		var got []string
		for _, h := range p.Hot {
			got = append(got, fmt.Sprint(h.Command, " ", h.PerSecond))
		}
		if text, want := strings.Join(got, ", "), "config 36, hset 30, zadd 30, exists 26, ping 22, incr 18, set 14, get 10"; text != want {
			w.t.Errorf("got %s, want %s", text, want)
		}
	})
}

// TestPointsAreKept for two minutes while somebody looks, and many may.
func TestPointsAreKept(t *testing.T) {
	inWorld(t, func(w *world) {
		var watchers sync.WaitGroup
		for range 10 {
			watchers.Go(func() {
				var seen time.Time
				for range maxPoints + 7 {
					p, err := w.Picture(w.t.Context(), acme, seen)
					if err != nil || len(p.Points) != 1 {
						w.t.Errorf("got %+v, %v, want the next point", p, err)
						return
					}
					seen = p.Points[0].At
				}
			})
		}
		time.Sleep(interval / 2)
		for range maxPoints {
			w.loops[0].Tenant(acme.Label()).Commands(id("get"), 3)
			time.Sleep(interval)
		}
		watchers.Wait()
		last := time.Now()
		got := w.picture(acme, time.Time{})
		if n := len(got.Points); n != maxPoints {
			w.t.Fatalf("got %d points, want %d", n, maxPoints)
		}
		for i, p := range got.Points {
			if want := last.Add(-interval * time.Duration(maxPoints-1-i)); !p.At.Equal(want) {
				w.t.Fatalf("point %d is of %v, want %v", i, p.At, want)
			}
		}
		if got := got.Points[0].Commands; got != 3 {
			w.t.Errorf("the oldest has %v commands/s, want 3", got)
		}
	})
}

// TestNobodyLooks: after a minute an instance is not sampled any more, and when none is,
// nothing runs until somebody looks again.
func TestNobodyLooks(t *testing.T) {
	inWorld(t, func(w *world) {
		sampled := func() (n int, round <-chan struct{}) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return len(w.of), w.points
		}
		w.picture(acme, time.Time{})
		time.Sleep(keep - 2*interval)
		w.picture(globex, time.Time{})
		if n, _ := sampled(); n != 2 {
			w.t.Errorf("within a minute %d are sampled, want 2", n)
		}
		time.Sleep(keep / 2)
		if n, _ := sampled(); n != 1 {
			w.t.Errorf("half a minute later %d are sampled, want the one that was looked at", n)
		}
		time.Sleep(keep)
		n, round := sampled()
		time.Sleep(time.Hour)
		if _, later := sampled(); n != 0 || later != round {
			w.t.Errorf("at last %d are sampled, and goes on: %t; want none and nothing going on", n, later != round)
		}
		if p := w.picture(acme, time.Time{}); len(p.Points) != 1 {
			w.t.Errorf("somebody looks again and sees %d points, want a first", len(p.Points))
		}
	})
}

// TestNames: what is seen is the instance's, whoever has its name now or had it before.
func TestNames(t *testing.T) {
	inWorld(t, func(w *world) {
		w.next(acme, time.Time{}, func(l *metrics.Loop) { l.Tenant(acme.Label()).Commands(id("get"), 1) })
		other := tenant.Instance{ID: "3", Org: "acme", Name: "cache"}
		p := w.next(other, time.Time{}, func(l *metrics.Loop) { l.Tenant(acme.Label()).Commands(id("set"), 1) })
		if got := p.Points[0].Commands; got != 2 {
			w.t.Errorf("another with the name: got %v commands/s, want 2", got)
		}
		renamed := tenant.Instance{ID: "1", Org: "acme", Name: "old"}
		p = w.next(renamed, time.Time{}, func(l *metrics.Loop) { l.Tenant(renamed.Label()).Commands(id("del"), 2) })
		if got := p.Points[0].Commands; got != 4 || p.Hot[0].Command != "del" {
			w.t.Errorf("renamed: got %v commands/s of %v, want 4 of del", got, p.Hot)
		}
	})
}

// TestSeriesBeginAnew: a tenant that goes and comes back has no negative rates.
func TestSeriesBeginAnew(t *testing.T) {
	inWorld(t, func(w *world) {
		count := func(n int) func(*metrics.Loop) {
			return func(l *metrics.Loop) {
				of := l.Tenant(acme.Label())
				of.Commands(id("get"), n)
				of.Bytes(n, n)
				of.Phase(metrics.PhaseBackend, time.Millisecond, n)
			}
		}
		p := w.next(acme, time.Time{}, count(100))
		w.all.RemoveTenant(acme.Label())
		p = w.next(acme, p.Points[0].At, count(3))
		if got := p.Points[0]; got.Commands != 6 || got.BytesIn != 6 || got.BytesOut != 6 || *got.P50 > 0.001 {
			w.t.Errorf("got %+v, want 6 commands/s and bytes/s", got)
		}
	})
}

// TestBound: beyond it the instance goes that nobody has looked at for longest.
func TestBound(t *testing.T) {
	s := New(newMetrics(t), "proxy1")
	start := time.Now()
	for i := range maxInstances + 3 {
		at := start.Add(time.Duration(i) * time.Millisecond)
		for _, name := range []string{"first", fmt.Sprint("i", i)} { // the first is looked at all the time
			if _, _, err := s.look(tenant.Instance{ID: name, Org: "acme", Name: name}, time.Time{}, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(s.of) != maxInstances {
		t.Errorf("%d are sampled, want %d", len(s.of), maxInstances)
	}
	for name, want := range map[string]bool{"first": true, "i0": false, "i3": false, "i4": true} {
		if got := s.of[name] != nil; got != want {
			t.Errorf("%s is sampled: %t, want %t", name, got, want)
		}
	}
}

// TestWaitingEnds with the one who waits, and with the sampler.
func TestWaitingEnds(t *testing.T) {
	inWorld(t, func(w *world) {
		gone, cancel := context.WithTimeout(w.t.Context(), interval/2)
		defer cancel()
		if _, err := w.Picture(gone, acme, time.Time{}); !errors.Is(err, context.DeadlineExceeded) {
			w.t.Errorf("who leaves is told %v", err)
		}
		var waiting sync.WaitGroup
		waiting.Go(func() {
			if _, err := w.Picture(w.t.Context(), acme, time.Time{}); !errors.Is(err, control.ErrUnavailable) {
				w.t.Errorf("who waits when it ends is told %v, want that it is unavailable", err)
			}
		})
		synctest.Wait()
		w.stop()
		waiting.Wait()
		if _, err := w.Picture(w.t.Context(), acme, time.Time{}); !errors.Is(err, control.ErrUnavailable) {
			w.t.Errorf("who comes later is told %v, want that it is unavailable", err)
		}
	})
}

// BenchmarkSample is a second's work for a thousand instances of twenty commands each, on
// two loops.
func BenchmarkSample(b *testing.B) {
	m := newMetrics(b)
	s := New(m, "proxy1")
	now := time.Now()
	for i := range 1000 {
		in := tenant.Instance{ID: fmt.Sprint(i), Org: fmt.Sprint("org", i), Name: "cache"}
		if _, _, err := s.look(in, time.Time{}, now.Add(100*time.Hour)); err != nil {
			b.Fatal(err)
		}
		s.of[in.ID].at = now
	}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		for i := range 1000 {
			of := m.Loop(i % 2).Tenant(fmt.Sprint("org", i, "/cache"))
			for n := range command.ID(20) {
				of.Commands(10*n+1, int(n))
			}
			of.Phase(metrics.PhaseBackend, time.Millisecond, 20)
		}
		now = now.Add(interval)
		b.StartTimer()
		s.sample(now)
	}
}
