package metrics

import (
	"maps"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/respgate/respgate/command"
)

// A tenant's counters, summed over all loops, stand in one row: its commands, its phases'
// durations, and the rest.
const (
	atPhases  = int(command.NumTop)
	atIn      = atPhases + int(numPhases)*numDuration
	atOut     = atIn + 1
	atLimited = atIn + 2
	atDelayed = atIn + 3
	atDryRun  = atIn + 4
	atSlow    = atIn + 5
	atRetries = atIn + 6
	atTallies = atRetries + int(numRetries)
	atCache   = atTallies + int(numTallies)
	numSums   = atCache + numCached
)

// sums is what has been counted of a tenant, or of several. The counters wrap around: what is
// subtracted may come before what it is subtracted from.
type sums struct {
	counters [numSums]uint64
	errors   map[errorKey]uint64
	gauges   [numTallies]int64
	clients  int64

	hasCache                 bool
	cacheBytes, cacheEntries int64
}

func (s *sums) reset() {
	errors := s.errors
	clear(errors)
	*s = sums{errors: errors}
	if errors == nil {
		s.errors = map[errorKey]uint64{}
	}
}

// phase returns the durations of a phase.
func (s *sums) phase(p Phase) []uint64 {
	from := atPhases + int(p)*numDuration
	return s.counters[from : from+numDuration]
}

// count adds what is counted of a tenant.
func (s *sums) count(a *account) {
	for i := range a.shards {
		if t := a.shards[i].Load(); t != nil {
			s.countShard(t)
		}
	}
	for i, t := range tallies {
		n := a.tallies[i].Load()
		if t.kind == prometheus.CounterValue {
			s.counters[atTallies+i] += uint64(n) //nolint:gosec // it counts
		} else {
			s.gauge(i, n)
		}
	}
}

// gauge adds a tenant's gauge.
func (s *sums) gauge(i int, n int64) {
	if tallies[i].worst {
		s.gauges[i] = max(s.gauges[i], n)
	} else {
		s.gauges[i] += n
	}
}

func (s *sums) countShard(t *Tenant) {
	addPages(s.counters[:atPhases], t.commands[:])
	for p := range numPhases {
		t.phases[p].addTo(s.phase(p))
	}
	s.counters[atIn] += t.in.Load()
	s.counters[atOut] += t.out.Load()
	s.counters[atLimited] += t.limited.Load()
	s.counters[atDelayed] += t.delayed.Load()
	s.counters[atDryRun] += t.dryRun.Load()
	s.counters[atSlow] += t.slow.Load()
	s.clients += t.clients.Load()
	s.countCache(t.cache.Load())
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, n := range t.retries {
		s.counters[atRetries+i] += n
	}
	for k, n := range t.errors {
		s.errors[k] += n
	}
}

// add adds others.
func (s *sums) add(o *sums) {
	s.addCounters(o)
	for i, n := range &o.gauges {
		s.gauge(i, n)
	}
	s.clients += o.clients
	s.hasCache = s.hasCache || o.hasCache
	s.cacheBytes += o.cacheBytes
	s.cacheEntries += o.cacheEntries
}

// addCounters adds the counters of others, not the gauges.
func (s *sums) addCounters(o *sums) {
	for i, n := range &o.counters {
		s.counters[i] += n
	}
	for k, n := range o.errors {
		s.errors[k] += n
	}
}

// pick is a sums' counters in little room: most are 0.
type pick struct {
	at     []uint16
	n      []uint64
	errors map[errorKey]uint64
}

func (s *sums) pick() *pick {
	p := &pick{errors: maps.Clone(s.errors)}
	for i, n := range &s.counters {
		if n != 0 {
			p.at, p.n = append(p.at, uint16(i)), append(p.n, n)
		}
	}
	return p
}

// subtract subtracts counters, those of nil being 0.
func (s *sums) subtract(p *pick) {
	if p == nil {
		return
	}
	for i, at := range p.at {
		s.counters[at] -= p.n[i]
	}
	for k, n := range p.errors {
		s.errors[k] -= n
	}
}
