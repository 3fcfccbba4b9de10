package metrics

import "github.com/respgate/respgate/command"

// Totals is what has been counted of a tenant, on all loops together, since its series
// began. They begin anew, at 0, when a tenant goes and comes back.
type Totals struct {
	Commands [command.NumTop]uint64 // by top-level command; those that are not known at command.Other
	Errors   uint64                 // commands answered with an error, refused ones too
	Limited  uint64                 // of these, the ones refused by a limit
	Slow     uint64                 // commands put into the slow log
	In, Out  uint64                 // bytes from and to clients
	Phases   [numPhases]Durations
	Clients  int64 // that there are now, as links
	Links    Links
}

// Links is how many connections to a tenant's backend are open, by their kind.
type Links struct{ Shared, Pinned, Subscriber int }

// Totals sets t to what has been counted of the tenant called label ("org/instance"), of
// which there need not be any. It takes each loop's lock for a look-up, and what is counted
// meanwhile may be in it in part.
func (m *Metrics) Totals(label string, t *Totals) {
	*t = Totals{}
	for _, l := range m.loops {
		l.mu.Lock()
		shard := l.tenants[label]
		l.mu.Unlock()
		if shard != nil {
			t.add(shard)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	open := func(kind string) int { return m.open[openLinks{label, kind}] }
	t.Links = Links{Shared: open("shared"), Pinned: open("pinned"), Subscriber: open("subscriber")}
}

// add adds what one loop has counted.
func (t *Totals) add(shard *Tenant) {
	for i := range shard.commands {
		if p := shard.commands[i].Load(); p != nil {
			for j := range min(pageSize, int(command.NumTop)-i*pageSize) {
				t.Commands[i*pageSize+j] += p[j].Load()
			}
		}
	}
	for i := range t.Phases {
		t.Phases[i].add(&shard.phases[i])
	}
	t.Clients += shard.clients.Load()
	t.In += shard.in.Load()
	t.Out += shard.out.Load()
	t.Limited += shard.limited.Load()
	t.Slow += shard.slow.Load()
	shard.mu.Lock()
	defer shard.mu.Unlock()
	for _, n := range shard.errors {
		t.Errors += n
	}
}

// Durations is a sum of histograms.
type Durations struct {
	buckets [len(bounds) + 1]uint64
	count   uint64
	nanos   int64
}

func (d *Durations) add(h *histogram) {
	for i := range h.buckets {
		n := h.buckets[i].Load()
		d.buckets[i] += n
		d.count += n
	}
	d.nanos += h.nanos.Load()
}

// Since returns what has come after before was taken of the same tenant.
func (d *Durations) Since(before *Durations) Durations {
	since := Durations{count: d.count - before.count, nanos: d.nanos - before.nanos}
	for i := range d.buckets {
		if d.buckets[i] < before.buckets[i] {
			return *d // they have begun anew
		}
		since.buckets[i] = d.buckets[i] - before.buckets[i]
	}
	return since
}

// Quantile returns the duration in seconds below which the fraction q, above 0 and at most
// 1, of all is, as Prometheus's histogram_quantile: as if those in a bucket were spread
// evenly, and at most the greatest bound. False is that there are none.
func (d *Durations) Quantile(q float64) (float64, bool) {
	left := q * float64(d.count)
	for i, n := range d.buckets[:len(bounds)] {
		if n > 0 && float64(n) >= left {
			from := 0.0
			if i > 0 {
				from = seconds[i-1]
			}
			return from + (seconds[i]-from)*left/float64(n), true
		}
		left -= float64(n)
	}
	return seconds[len(bounds)-1], d.count > 0
}
