package metrics

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// account is all that is counted of one tenant.
type account struct {
	label   string
	shards  []atomic.Pointer[Tenant] // by loop; nil: that loop has not had it
	tallies [numTallies]atomic.Int64 // changed under Metrics.mu
	gone    bool                     // its series were dropped and must not come back; under Metrics.mu
	place   place                    // under Metrics.scraping
}

// tally is what is counted of a tenant for all loops together, since it is rare.
type tally uint8

const (
	tallyShared tally = iota
	tallyPinned
	tallySubscriber
	tallyTracker
	tallyWaitingPinned
	tallyWaitingSubscriber
	tallyExhaustedPinned
	tallyExhaustedSubscriber
	tallyDialOK
	tallyDialRefused
	tallyDialTimeout
	tallyDialAuth
	tallyDialError
	tallyDialBreaker
	tallyDialDelayed
	tallyBreaker
	tallyPaused
	tallyLookChanged
	tallyLookOK
	tallyLookError
	numTallies
)

var (
	descLinks     = desc("redis_connections_active", "Open connections to backends.", "tenant", "kind")
	descWaiting   = desc("redis_pool_waiting", "Clients that wait for a connection of their own to a backend.", "tenant", "kind")
	descExhausted = desc("redis_pool_exhausted_total", "Times that a client got no connection of its own, since all of its kind were in use.", "tenant", "kind")
	descAttempts  = desc("redis_connection_attempts_total", "Tries to connect to a backend, by how they ended; those that an open breaker refuses are breaker_open.", "tenant", "result")
	descDelayed   = desc("redis_connection_attempts_delayed_total", "Tries to connect to a backend that waited for their turn among others.", "tenant")
	descBreaker   = desc("redis_breaker_state", "Whether a backend is dialled: 0 closed (yes), 1 half-open (a probe is under way), 2 open (no).", "tenant")
	descPaused    = desc("redis_paused", "1 while an operator holds up an instance's commands here, else 0.", "tenant")
	descLooks     = desc("redis_topology_refreshes_total", "Looks at who is who in a group of servers, by how they ended.", "tenant", "result")
)

// tallies says of each how it is exported. Those of several tenants are summed where they
// share series.
var tallies = [numTallies]struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	value  string // of the label besides tenant, where there is one
	worst  bool   // of several tenants, the greatest is meant
	seldom bool   // there is no series before there is anything to count
}{
	tallyShared:              {desc: descLinks, kind: prometheus.GaugeValue, value: "shared"},
	tallyPinned:              {desc: descLinks, kind: prometheus.GaugeValue, value: "pinned"},
	tallySubscriber:          {desc: descLinks, kind: prometheus.GaugeValue, value: "subscriber"},
	tallyTracker:             {desc: descLinks, kind: prometheus.GaugeValue, value: "cache", seldom: true},
	tallyWaitingPinned:       {desc: descWaiting, kind: prometheus.GaugeValue, value: "pinned"},
	tallyWaitingSubscriber:   {desc: descWaiting, kind: prometheus.GaugeValue, value: "subscriber"},
	tallyExhaustedPinned:     {desc: descExhausted, kind: prometheus.CounterValue, value: "pinned"},
	tallyExhaustedSubscriber: {desc: descExhausted, kind: prometheus.CounterValue, value: "subscriber"},
	tallyDialOK:              {desc: descAttempts, kind: prometheus.CounterValue, value: "ok"},
	tallyDialRefused:         {desc: descAttempts, kind: prometheus.CounterValue, value: "refused"},
	tallyDialTimeout:         {desc: descAttempts, kind: prometheus.CounterValue, value: "timeout"},
	tallyDialAuth:            {desc: descAttempts, kind: prometheus.CounterValue, value: "auth"},
	tallyDialError:           {desc: descAttempts, kind: prometheus.CounterValue, value: "error"},
	tallyDialBreaker:         {desc: descAttempts, kind: prometheus.CounterValue, value: "breaker_open"},
	tallyDialDelayed:         {desc: descDelayed, kind: prometheus.CounterValue},
	tallyBreaker:             {desc: descBreaker, kind: prometheus.GaugeValue, worst: true},
	tallyPaused:              {desc: descPaused, kind: prometheus.GaugeValue, worst: true},
	tallyLookChanged:         {desc: descLooks, kind: prometheus.CounterValue, value: "changed", seldom: true},
	tallyLookOK:              {desc: descLooks, kind: prometheus.CounterValue, value: "ok", seldom: true},
	tallyLookError:           {desc: descLooks, kind: prometheus.CounterValue, value: "error", seldom: true},
}

// tallyOf finds a tally by what it is exported as.
var tallyOf = func() map[tallyKey]tally {
	by := map[tallyKey]tally{}
	for i, t := range tallies {
		by[tallyKey{t.desc, t.value}] = tally(i)
	}
	return by
}()

type tallyKey struct {
	desc  *prometheus.Desc
	value string
}

// account returns that of a tenant. m.mu is held.
func (m *Metrics) account(label string) *account {
	a := m.accounts[label]
	if a == nil {
		a = &account{label: label, shards: make([]atomic.Pointer[Tenant], len(m.loops))}
		m.accounts[label] = a
	}
	return a
}

// tally adds n to one of a tenant's tallies.
func (m *Metrics) tally(label string, t tally, n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.account(label).tallies[t].Add(n)
}

// setTally sets one of a tenant's tallies, a gauge.
func (m *Metrics) setTally(label string, t tally, n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.account(label).tallies[t].Store(n)
}

// tallyBy is tally by what it is exported as. What is in no row of the table is not counted.
func (m *Metrics) tallyBy(label string, desc *prometheus.Desc, value string, n int64) {
	if t, ok := tallyOf[tallyKey{desc, value}]; ok {
		m.tally(label, t, n)
	}
}

// AddTenant has a tenant's series exist, at 0, before there is anything to count.
func (m *Metrics) AddTenant(label string) {
	m.mu.Lock()
	m.account(label).gone = false
	m.mu.Unlock()
	m.loops[0].Tenant(label)
}

// RemoveTenant drops all series of a tenant that is gone. What is open still counts when it
// closes: it must not bring the series back, and not be below zero should the tenant return.
func (m *Metrics) RemoveTenant(label string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	was := m.account(label)
	if m.folding && !was.gone {
		m.removed = append(m.removed, was)
	}
	delete(m.accounts, label)
	next := m.account(label)
	next.gone = true
	for i, t := range tallies {
		if t.kind == prometheus.GaugeValue && !t.worst {
			next.tallies[i].Store(was.tallies[i].Load())
		}
	}
}

// LinkOpened counts an open connection to a tenant's backend.
func (m *Metrics) LinkOpened(label, kind string) { m.tallyBy(label, descLinks, kind, 1) }

// LinkClosed is the opposite of LinkOpened.
func (m *Metrics) LinkClosed(label, kind string) { m.tallyBy(label, descLinks, kind, -1) }

// LinkWaits counts clients that wait for a connection of their own, which come (1) and go (-1).
func (m *Metrics) LinkWaits(label, kind string, n int) {
	m.tallyBy(label, descWaiting, kind, int64(n))
}

// LinksExhausted counts a client that has waited for nothing.
func (m *Metrics) LinksExhausted(label, kind string) { m.tallyBy(label, descExhausted, kind, 1) }

// DialResult counts a try to connect to a tenant's backend.
func (m *Metrics) DialResult(label, result string) { m.tallyBy(label, descAttempts, result, 1) }

// DialDelayed counts a try to connect that waited for its turn.
func (m *Metrics) DialDelayed(label string) { m.tally(label, tallyDialDelayed, 1) }

// TopologyResult counts a look at who is who in a tenant's group of servers.
func (m *Metrics) TopologyResult(label, result string) { m.tallyBy(label, descLooks, result, 1) }

// BreakerState says how the breaker of a tenant's backend is: 0 closed, 1 half-open, 2 open.
func (m *Metrics) BreakerState(label string, state int) {
	m.setTally(label, tallyBreaker, int64(state))
}

// Paused says whether an operator holds up an instance's commands.
func (m *Metrics) Paused(label string, paused bool) {
	value := int64(0)
	if paused {
		value = 1
	}
	m.setTally(label, tallyPaused, value)
}
