package pool

import (
	"slices"
	"strings"
	"time"
)

// The kinds of links that clients share.
const (
	SharedLinks = "shared"
	ScriptLinks = "scripts"
)

// Status is how the links of one kind to an instance are, on one loop.
type Status struct {
	Instance   string // its id
	Label      string
	Kind       string // SharedLinks, ScriptLinks, or a Kind's
	Connected  int
	Dialing    int
	Broken     int           // shared links whose last round of dialling has failed
	InUse      int           // connected ones that owe replies, or that a client has to itself
	Limit      int           // how many there may be: pinned and subscriber on all loops, shared of both kinds to one server and loop
	Waiting    int           // commands that wait for a shared link to connect; else clients that wait for a link
	Longest    time.Duration // how long the first of them has waited
	Owed       int           // commands that are sent and not answered
	LastReason string        // why one is broken; "" when none is
	Regions    string        // of the servers, as far as the instance's URL says, in order, with commas between
}

// Idle is how many connected links nobody uses.
func (s *Status) Idle() int { return s.Connected - s.InUse }

// Add adds another loop's status of the same links.
func (s *Status) Add(o Status) {
	s.Connected += o.Connected
	s.Dialing += o.Dialing
	s.Broken += o.Broken
	s.InUse += o.InUse
	s.Limit = max(s.Limit, o.Limit)
	s.Waiting += o.Waiting
	s.Longest = max(s.Longest, o.Longest)
	s.Owed += o.Owed
	if o.LastReason != "" {
		s.LastReason = o.LastReason
	}
	for region := range strings.SplitSeq(o.Regions, ",") {
		s.addRegion(region)
	}
}

func (s *Status) addRegion(region string) {
	all := strings.FieldsFunc(s.Regions, func(r rune) bool { return r == ',' })
	if region != "" && !slices.Contains(all, region) {
		all = append(all, region)
		slices.Sort(all)
		s.Regions = strings.Join(all, ",")
	}
}

// StatusKey is what a Status is of.
type StatusKey struct{ Instance, Kind string }

// Survey returns how the links to an instance are, to all with "".
func (p *Pool) Survey(instance string) map[StatusKey]*Status {
	all := map[StatusKey]*Status{}
	now := p.loop.Nanos()
	of := func(key Key, kind string, limit int) *Status {
		k := StatusKey{key.Instance, kind}
		if all[k] == nil {
			all[k] = &Status{Instance: key.Instance, Label: key.Label, Kind: kind, Limit: limit}
		}
		all[k].addRegion(key.Group.region(key.Backend))
		return all[k]
	}
	for key, l := range p.links {
		if instance == "" || key.Instance == instance {
			l.addTo(of(key, [...]string{Plain: SharedLinks, Scripts: ScriptLinks}[key.Lane], maxShared), now)
		}
	}
	most := p.slots.bounds()
	for l := range p.pinned {
		if instance == "" || l.key.Instance == instance {
			l.addTo(of(l.key, l.pin.slot.kind.String(), most[l.pin.slot.kind]), now)
		}
	}
	wish := func(b *borrow, dialing int) {
		if instance != "" && b.key.Instance != instance {
			return
		}
		s := of(b.key, b.slot.kind.String(), most[b.slot.kind])
		s.Dialing += dialing
		if !b.over {
			s.Waiting++
			s.Longest = max(s.Longest, time.Duration(now-b.since))
		}
	}
	for b := range p.dialled {
		wish(b, 1)
	}
	for _, list := range p.waiting {
		for _, b := range list {
			wish(b, 0)
		}
	}
	return all
}

// addTo adds the link to the status of its kind.
func (l *Link) addTo(s *Status, now int64) {
	first := l.firstWaiting()
	if l.state == up {
		first = l.q.tail
	}
	owed := 0
	for pos := l.q.head; pos != l.q.tail; pos++ {
		if q := l.q.at(pos); pos-l.q.head < first-l.q.head {
			owed += int(q.n)
		} else {
			s.Waiting += int(q.n)
			s.Longest = max(s.Longest, time.Duration(now-q.at))
		}
	}
	s.Owed += owed
	switch l.state {
	case up, turning:
		s.Connected++
		if l.pin == nil && owed > 0 || l.pin != nil && (l.pin.holder != nil || owed > 0) {
			s.InUse++
		}
	case dialing:
		s.Dialing++
	case broken:
		s.Broken++
		s.LastReason = Reason(l.cause)
	case idle:
	}
}

// bounds returns how many links of each kind there may be to an instance.
func (s *Slots) bounds() [kinds]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.max
}

// Reconnect has each link to an instance go on with a new connection, or close, as soon as
// the one it has owes nothing: those that nobody uses at once, those that a client has to
// itself when it gives them back. Nothing fails by it, unless no connection can be had.
func (p *Pool) Reconnect(instance string) {
	for key, l := range p.links {
		if key.Instance == instance {
			l.replace()
		}
	}
	for l := range p.pinned {
		if l.key.Instance == instance {
			l.pin.worn = true
		}
	}
	p.closeKept(instance, errReplaced)
}

// Kill closes all links to an instance at once. What they owe fails.
func (p *Pool) Kill(instance string) {
	for key, l := range p.links {
		if key.Instance == instance {
			p.retire(l, errKilled)
		}
	}
	p.closeKept(instance, errKilled)
	for l := range p.pinned {
		if l.key.Instance == instance {
			l.pin.worn = true
			l.conn.Close(errKilled)
		}
	}
}

// closeKept closes the links that are kept for an instance.
func (p *Pool) closeKept(instance string, cause error) {
	for k, list := range p.kept {
		if k.instance != instance {
			continue
		}
		for _, l := range slices.Clone(list) {
			p.drop(l)
			l.conn.Close(cause)
		}
	}
}

// Trouble is what keeps a tenant's backends from being dialled.
type Trouble struct {
	State string // half-open or open: of the worst breaker
	Cause string // of its last failure
}

// Troubles returns what is wrong with tenants' backends, by label; a tenant whose backends
// may all be dialled is not in it. It is safe for concurrent use.
func (d *Dialer) Troubles() map[string]Trouble {
	g := d.gates
	g.mu.Lock()
	defer g.mu.Unlock()
	all := map[string]Trouble{}
	for _, gt := range g.all {
		state := gt.state()
		if state == breakerClosed {
			continue
		}
		for label := range gt.tenants {
			if all[label].State != breakerOpen.String() {
				all[label] = Trouble{state.String(), Reason(gt.cause)}
			}
		}
	}
	return all
}

// String is the state's name.
func (s breakerState) String() string { return [...]string{"closed", "half-open", "open"}[s] }
