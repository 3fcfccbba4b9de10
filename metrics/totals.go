package metrics

import "github.com/respgate/respgate/command"

// Totals is what has been counted of a tenant, on all loops together, since its series
// began. They begin anew, at 0, when a tenant goes and comes back.
type Totals struct {
	Commands [command.NumTop]uint64 // by top-level command; those that are not known at command.Other
	Errors   uint64                 // commands answered with an error, refused ones too
	Limited  uint64                 // of these, the ones refused by a limit
	Slow     uint64                 // commands put into the slow log
	Hits     uint64                 // commands answered from the near cache
	Misses   uint64                 // commands that it could have answered, and did not
	In, Out  uint64                 // bytes from and to clients
	Phases   [numPhases]Durations
	Clients  int64 // that there are now, as links
	Links    Links
}

// Links is how many connections to a tenant's backend are open, by their kind.
type Links struct{ Shared, Pinned, Subscriber int }

// Totals sets t to what has been counted of the tenant called label ("org/instance"), of
// which there need not be any. What is counted meanwhile may be in it in part.
func (m *Metrics) Totals(label string, t *Totals) {
	*t = Totals{}
	m.mu.Lock()
	a := m.accounts[label]
	m.mu.Unlock()
	if a == nil {
		return
	}
	var s sums
	s.reset()
	s.count(a)
	copy(t.Commands[:], s.counters[:atPhases])
	for _, n := range s.errors {
		t.Errors += n
	}
	t.Limited, t.In, t.Out, t.Slow = s.counters[atLimited], s.counters[atIn], s.counters[atOut], s.counters[atSlow]
	t.Hits, t.Misses = s.counters[atCache+cacheHits], s.counters[atCache+cacheMisses]
	for p := range numPhases {
		t.Phases[p] = durationsOf(s.phase(p))
	}
	t.Clients = s.clients
	t.Links = a.links()
}

// Durations is a sum of histograms.
type Durations struct {
	buckets [len(bounds) + 1]uint64
	count   uint64
	nanos   uint64
}

// durationsOf makes one of numDuration counters.
func durationsOf(sum []uint64) (d Durations) {
	for i, n := range sum[:numCells] {
		d.buckets[cells[i].classic] += n
		d.count += n
	}
	d.nanos = sum[numCells]
	return d
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
