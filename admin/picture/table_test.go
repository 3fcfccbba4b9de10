package picture

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/metrics"
)

// rows asks for how all tenants do, by their labels.
func (w *world) rows() []string {
	w.t.Helper()
	all, err := w.Tenants(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	var rows []string
	for _, r := range slices.SortedFunc(slices.Values(all.Rows), func(a, b control.TenantRow) int { return cmp.Compare(a.Org+a.Instance, b.Org+b.Instance) }) {
		if !r.At.Equal(all.At) || all.Proxy != "proxy1" {
			w.t.Errorf("%s/%s is of %v, of the proxy %q, want %v and proxy1", r.Org, r.Instance, r.At, all.Proxy, all.At)
		}
		rows = append(rows, fmt.Sprint(r.Org, "/", r.Instance, " ", r.Commands, " ", r.Errors, " ", r.P99 != nil, " ", r.Clients))
	}
	return rows
}

// TestTenants: a row has what has come of its tenant in the last second.
func TestTenants(t *testing.T) {
	inWorld(t, func(w *world) {
		count := func(label string, n int) {
			for _, l := range w.loops {
				l.Tenant(label).Commands(id("get"), n)
			}
		}
		count("acme/cache", 1000) // before anybody looks
		w.all.AddTenant("idle/cache")
		for _, step := range []struct {
			name  string
			count func()
			want  []string
		}{
			{"the first second", func() {
				count("acme/cache", 50)
				w.loops[1].Tenant("acme/cache").Error(id("get"), "WRONGTYPE")
				w.loops[1].Tenant("acme/cache").Phase(metrics.PhaseBackend, time.Millisecond, 50)
				w.loops[0].Tenant("acme/cache").Clients(3)
			}, []string{"acme/cache 100 1 true 3", "idle/cache 0 0 false 0"}},
			{"nothing comes", func() {}, []string{"acme/cache 0 0 false 3", "idle/cache 0 0 false 0"}},
			{"a new one", func() { count("globex/queue", 7) }, []string{"acme/cache 0 0 false 3", "globex/queue 14 0 false 0", "idle/cache 0 0 false 0"}},
			{"one goes, one begins anew", func() {
				w.all.RemoveTenant("idle/cache")
				w.all.RemoveTenant("acme/cache")
				w.all.AddTenant("acme/cache")
				count("acme/cache", 2)
			}, []string{"acme/cache 4 0 false 0", "globex/queue 0 0 false 0"}},
		} {
			w.rows()
			step.count()
			time.Sleep(interval)
			synctest.Wait()
			if got := w.rows(); !slices.Equal(got, step.want) {
				w.t.Errorf("%s: got %q, want %q", step.name, got, step.want)
			}
		}
	})
}

// TestNobodyLooksAtTenants: a minute later nothing is kept of them, and who looks then waits
// for a second as the first did.
func TestNobodyLooksAtTenants(t *testing.T) {
	inWorld(t, func(w *world) {
		w.all.AddTenant(acme.Label())
		sampled := func() bool {
			synctest.Wait()
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.table.before != nil || w.table.last != nil
		}
		for range 2 {
			begun := time.Now()
			if w.rows(); time.Since(begun) != interval {
				w.t.Errorf("the first rows took %v, want %v", time.Since(begun), interval)
			}
			time.Sleep(keep - interval/2)
			if !sampled() {
				w.t.Error("they are not sampled any more after half a minute")
			}
			time.Sleep(2 * interval)
			if sampled() {
				w.t.Error("they are sampled after a minute that nobody looked in")
			}
		}
		ctx, cancel := context.WithCancel(w.t.Context())
		cancel()
		if _, err := w.Tenants(ctx); !errors.Is(err, context.Canceled) {
			w.t.Errorf("who has left is told %v, want %v", err, context.Canceled)
		}
		w.stop()
		if _, err := w.Tenants(w.t.Context()); !errors.Is(err, control.ErrUnavailable) {
			w.t.Errorf("who comes later is told %v, want that it is unavailable", err)
		}
	})
}

// TestCommands: all of them, where a picture has the most frequent.
func TestCommands(t *testing.T) {
	inWorld(t, func(w *world) {
		names := []string{"ttl", "del", "get", "set", "incr", "ping", "exists", "hset", "config", "zadd"}
		time.AfterFunc(interval/10, func() {
			for i, name := range names {
				w.loops[0].Tenant(acme.Label()).Commands(id(name), i+1)
			}
		})
		got, err := w.Commands(w.t.Context(), acme)
		if err != nil || len(got) != len(names) || got[0] != (control.HotCommand{Command: "zadd", PerSecond: 10}) || got[9] != (control.HotCommand{Command: "ttl", PerSecond: 1}) {
			w.t.Errorf("got %v, %v, want the %d from zadd to ttl", got, err, len(names))
		}
		if p := w.picture(acme, time.Time{}); len(p.Hot) != control.MaxHotCommands {
			w.t.Errorf("a picture has %d, want %d", len(p.Hot), control.MaxHotCommands)
		}
	})
}

// BenchmarkTable is a second's work for ten thousand tenants of ten commands each, on two
// loops.
func BenchmarkTable(b *testing.B) {
	m := newMetrics(b)
	for i := range 10_000 {
		for l := range 2 {
			of := m.Loop(l).Tenant(fmt.Sprint("org", i, "/cache"))
			for n := range 10 {
				of.Commands(id([]string{"get", "hset", "del", "ttl", "lpush", "incr", "expire", "exists", "mget", "ping"}[n]), n)
			}
			of.Phase(metrics.PhaseBackend, time.Millisecond, 20)
		}
	}
	now := time.Now()
	t := table{asked: now.Add(100 * time.Hour), at: now, before: m.Briefs()}
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(interval)
		t.sample(now, m, "proxy1")
	}
}
