package ratelimit

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/respgate/respgate/tenant"
)

// reference is the shared bucket as package lease's script has it.
type reference struct {
	tokens  float64
	at      time.Time
	refills int64
}

func (r *reference) lease(now time.Time, q tenant.LeaseRequest) tenant.Lease {
	rate, burst := float64(q.Rate), float64(q.Burst)
	if r.at.IsZero() || q.Refills > r.refills {
		r.tokens, r.at, r.refills = burst, now, q.Refills
	}
	r.tokens = min(burst, r.tokens+max(0, now.Sub(r.at).Seconds())*rate-float64(q.Used))
	granted := min(q.Want, int64(max(0, math.Floor(r.tokens))))
	r.tokens, r.at = min(burst, r.tokens-float64(granted)), now
	return tenant.Lease{Granted: granted, Left: math.Floor(r.tokens*1000) / 1000}
}

// modelProxy is one proxy, with one bucket, and its clients.
type modelProxy struct {
	registry *Registry
	next     time.Time // when it asks next
	answers  time.Time // when what it has asked for is answered; zero: it has asked nothing
	leases   []tenant.Lease
	perTick  float64 // commands that its clients send in a millisecond
	until    time.Time
	rest     float64
}

// model is some proxies before one shared bucket.
type model struct {
	random      *rand.Rand
	shared      reference
	proxies     []*modelProxy
	rate, burst int
	lease       time.Duration
	down        bool // the shared Redis does not answer
	now         time.Time
}

func newModel(random *rand.Rand, proxies, rate, burst int, lease time.Duration) *model {
	m := &model{random: random, rate: rate, burst: burst, lease: lease, now: start}
	for range proxies {
		r := New(Defaults{})
		r.Share(lease)
		r.Settle(m.now, proxies, nil)
		m.proxies = append(m.proxies, &modelProxy{registry: r})
	}
	return m
}

// step is a millisecond: it returns how many commands were admitted and how many wanted.
func (m *model) step(demand func(proxy int) float64) (admitted, wanted int) {
	m.now = m.now.Add(time.Millisecond)
	for i, p := range m.proxies {
		p.rest += demand(i)
		n := int(p.rest)
		p.rest -= float64(n)
		wanted += n
		b := p.registry.Bucket("k", ownBurst(m.rate, m.burst))
		got, _ := b.Take(m.now, n)
		if got > 2 && m.random.IntN(8) == 0 {
			b.Give(1)
			got--
		}
		admitted += got
		p.exchange(m)
	}
	return admitted, wanted
}

// exchange does what lease.Client does, with answers that take their time.
func (p *modelProxy) exchange(m *model) {
	if !p.answers.IsZero() {
		if m.now.Before(p.answers) {
			return
		}
		p.answers = time.Time{}
		p.registry.Settle(m.now, len(m.proxies), p.leases)
	}
	if m.now.Before(p.next) && len(p.registry.sharing.wake) == 0 {
		return
	}
	select {
	case <-p.registry.sharing.wake:
	default:
	}
	requests, _ := p.registry.Lease(m.now, nil, 10)
	p.leases = nil
	for _, q := range requests {
		if m.down {
			p.leases = append(p.leases, tenant.Lease{Failed: true})
			continue
		}
		p.leases = append(p.leases, m.shared.lease(m.now, q))
	}
	if len(requests) > 0 {
		p.answers = m.now.Add(time.Duration(m.random.IntN(3)) * time.Millisecond)
	}
	p.next = m.now.Add(Tick(m.lease))
}

// excess follows the most that was admitted in any span of time beyond what the rate brings in it.
type excess struct{ level, most float64 }

func (e *excess) add(admitted int, came float64) {
	e.level = max(0, e.level-came) + float64(admitted)
	e.most = max(e.most, e.level)
}

var models = flag.Int("models", 2, "how many random sets of proxies TestModel has")

// demands are what clients want of a proxy in a millisecond.
var demands = map[string]func(m *model, i, ms int) float64{
	"more than there is at all proxies": func(m *model, _, _ int) float64 { return 2 * m.came() },
	"all of it at one proxy": func(m *model, i, _ int) float64 {
		if i > 0 {
			return 0
		}
		return 3 * m.came()
	},
	"at random": func(m *model, i, _ int) float64 {
		p := m.proxies[i]
		if m.now.After(p.until) {
			p.until = m.now.Add(time.Duration(m.random.IntN(1500)) * time.Millisecond)
			p.perTick = max(0, m.random.Float64()-0.5) * m.came() * 20
		}
		return p.perTick
	},
	"bursts at all proxies at once": func(m *model, _, ms int) float64 {
		if ms%2500 == 2499 {
			return float64(2 * m.burst)
		}
		return 0.001
	},
	"one proxy after the other, with old credit": func(m *model, i, ms int) float64 {
		if ms%3000 > 1000+100*i {
			return float64(2 * m.burst)
		}
		return 0.001
	},
}

// came is how many tokens come in a millisecond.
func (m *model) came() float64 { return float64(m.rate) / 1000 }

// bound is how much may be admitted at once, at most, by all proxies together.
func (m *model) bound() float64 {
	return 2*float64(m.burst) + float64(len(m.proxies))*(float64(m.rate)*m.lease.Seconds()+1)
}

// run is some seconds; it fails the test when more is admitted than the bound allows, which is for twice the rate while there is
// no shared Redis, and returns the part that was admitted of what one bucket for all would have.
func (m *model) run(t *testing.T, seconds int, demand func(m *model, i, ms int) float64) (part float64) {
	t.Helper()
	var e excess
	ideal := New(Defaults{}).Bucket("k", ownBurst(m.rate, m.burst))
	total, granted := 0, 0
	for ms := range seconds * 1000 {
		admitted, wanted := m.step(func(i int) float64 { return demand(m, i, ms) })
		one, _ := ideal.Take(m.now, wanted)
		total, granted = total+admitted, granted+one
		came := m.came()
		if m.down {
			came *= 2
		}
		e.add(admitted, came)
	}
	if e.most > m.bound() {
		t.Errorf("in some time %.0f more commands were admitted than the rate brings in it, want at most %.0f", e.most, m.bound())
	}
	return float64(total) / float64(granted)
}

// Any demand at any number of proxies is held to the bound that docs/LIMITS.md states, and what is there for it is found.
func TestModel(t *testing.T) {
	for seed := range uint64(*models) {
		random := rand.New(rand.NewPCG(seed, 1))
		proxies, perSecond := 1+random.IntN(8), []int{1, 7, 50, 1000, 20000}[random.IntN(5)]
		burst := max(1, int(float64(perSecond)*[]float64{0.01, 0.1, 1, 3}[random.IntN(4)]))
		lease := []time.Duration{20, 50, 100, 500}[random.IntN(4)] * time.Millisecond
		for name, demand := range demands {
			t.Run(fmt.Sprintf("%d proxies, rate %d, burst %d, lease %v, %s", proxies, perSecond, burst, lease, name), func(t *testing.T) {
				t.Parallel()
				m := newModel(rand.New(rand.NewPCG(seed, 2)), proxies, perSecond, burst, lease)
				part := m.run(t, 6, demand)
				if perSecond >= 50 && part < 0.9 {
					t.Errorf("%.3f of what one bucket grants was admitted, want 0.9 or more", part)
				}
			})
		}
	}
}

// Without the shared Redis, proxies that are used alike have about the rate together, and one that has all clients goes on for them. When it is back
// nobody has a second burst.
func TestModelOutage(t *testing.T) {
	for _, name := range []string{"more than there is at all proxies", "all of it at one proxy"} {
		t.Run(name, func(t *testing.T) {
			m := newModel(rand.New(rand.NewPCG(3, 4)), 4, 1000, 500, 100*time.Millisecond)
			part := m.run(t, 12, func(m *model, i, ms int) float64 {
				m.down = ms > 2000 && ms < 7000
				return demands[name](m, i, ms)
			})
			if part < 0.95 || part > 1.2 {
				t.Errorf("%.3f of what one bucket grants was admitted, want 0.95 to 1.2", part)
			}
			for i, p := range m.proxies {
				if got := p.registry.Alone(); got != 0 {
					t.Errorf("%d buckets of proxy %d are alone when the Redis is back, want none", got, i)
				}
			}
		})
	}
}

// Who sends one command after the other at one of four proxies, a bit less often than the limit allows, is refused next to nothing.
func TestModelOfSlowClients(t *testing.T) {
	for _, perSecond := range []int{1, 2, 5, 10} {
		m := newModel(rand.New(rand.NewPCG(1, 2)), 4, perSecond, 1, testLease)
		admitted, wanted, every := 0, 0, 1150/perSecond
		for ms := range 40 * every {
			a, w := m.step(func(i int) float64 {
				if i == 0 && ms%every == 0 {
					return 1
				}
				return 0
			})
			admitted, wanted = admitted+a, wanted+w
		}
		if admitted < wanted-wanted/10 {
			t.Errorf("%d of %d commands at %d/s were admitted, want nearly all", admitted, wanted, perSecond)
		}
	}
}
