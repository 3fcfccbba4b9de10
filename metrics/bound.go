package metrics

import (
	"cmp"
	"slices"
	"time"
)

// otherTenants is the tenant by whose name those are counted that have no series of their own.
// No tenant is called so: their names have a slash.
const otherTenants = "other"

const (
	// reconsidered is how often it is asked, at most, who is to have series of their own.
	reconsidered = time.Minute
	// busier is by how much a tenant must have more commands than one that has series of its
	// own to take its place.
	busier = 2
	// enough is how many commands more, besides: few are no reason.
	enough = 60
)

// bound is what scrapes know of who has series of their own. It is used under Metrics.scraping.
//
// A tenant's counter is the sum of what it has been counted for by its own name and of what
// it has been counted for as another: each grows while it is the tenant's turn there, and
// stays else. So neither ever goes down, and together they are all that has happened.
type bound struct {
	max   int // tenants with series of their own; 0: all
	now   func() time.Time
	asked time.Time // when it was last asked who they are
	carry sums      // what the others' sum is more than what those have counted who are among them now
}

// place is where a tenant is counted.
type place struct {
	known  bool   // it has been in a scrape
	folded bool   // it is among the others
	turns  bool   // from the next scrape on it is not, or is
	past   *pick  // what it was counted for in the place where it is not; nil is nothing
	total  uint64 // commands when it was last asked
	score  uint64 // commands since, and half of those before, and so on
}

// Bound has the busiest tenants, so many at most, have series of their own; all others share
// those of the tenant "other". 0 is all. now is the clock. It is called before any scrape.
func (m *Metrics) Bound(tenants int, now func() time.Time) {
	m.scraping.Lock()
	defer m.scraping.Unlock()
	m.bound = bound{max: tenants, now: now}
	m.carry.reset()
}

// choose says who has series of their own: those who come while there is room, until others
// are much busier. The tenants that are to change places do so after this scrape: what it
// says of them is what the next ones go on from.
func (b *bound) choose(all []*account) {
	if b.max == 0 {
		return
	}
	fresh, named := []*account{}, 0
	for _, a := range all {
		switch {
		case !a.place.known:
			a.place.known, a.place.score = true, a.commands()
			fresh = append(fresh, a)
		case !a.place.folded:
			named++
		}
	}
	slices.SortFunc(fresh, func(x, y *account) int {
		return cmp.Or(cmp.Compare(y.place.score, x.place.score), cmp.Compare(x.label, y.label))
	})
	for _, a := range fresh {
		if named++; named > b.max {
			a.place.folded = true
		}
	}
	if now := b.now(); b.asked.IsZero() || now.Sub(b.asked) >= reconsidered {
		b.asked = now
		b.reconsider(all)
	}
}

// reconsider has tenants change places.
func (b *bound) reconsider(all []*account) {
	var named, others []*account
	for _, a := range all {
		total := a.commands()
		a.place.score = a.place.score/2 + total - a.place.total
		a.place.total = total
		if a.place.folded {
			others = append(others, a)
		} else {
			named = append(named, a)
		}
	}
	byScore := func(x, y *account) int {
		return cmp.Or(cmp.Compare(x.place.score, y.place.score), cmp.Compare(y.label, x.label))
	}
	slices.SortFunc(named, byScore)
	slices.SortFunc(others, func(x, y *account) int { return byScore(y, x) })
	free := b.max - len(named)
	for _, a := range others {
		switch {
		case free > 0:
			free--
		case len(named) > 0 && a.place.score > busier*named[0].place.score+enough:
			named[0].place.turns = true
			named = named[1:]
		default:
			return
		}
		a.place.turns = true
	}
}

// commands is how many the tenant has sent.
func (a *account) commands() (n uint64) {
	for i := range a.shards {
		if t := a.shards[i].Load(); t != nil {
			for j := range t.commands {
				if p := t.commands[j].Load(); p != nil {
					for k := range p {
						n += p[k].Load()
					}
				}
			}
		}
	}
	return n
}

// turn has a tenant change places. s is all that has been counted of it when it is among the
// others, else what its own series have. The others' sum is not to change by that: later is
// added to the carry after the scrape.
func (a *account) turn(s, later *sums) {
	p := &a.place
	if p.folded {
		later.addCounters(s)
		s.subtract(p.past)
	} else {
		later.subtract(s.pick())
		later.subtract(p.past)
	}
	p.past, p.folded, p.turns = s.pick(), !p.folded, false
}
