package auth

import "time"

// maxUnknown bounds the ids that are remembered as unknown: twice that many, of
// about 50 bytes each.
const maxUnknown = 16384

// recentSet remembers ids for ttl to twice that, or until max newer ones have come.
// Two sets that change places need neither a list nor a search for old ones.
type recentSet struct {
	max      int
	ttl      time.Duration
	turned   time.Time
	cur, old map[string]struct{}
}

func newRecentSet(size int, ttl time.Duration) recentSet {
	return recentSet{max: size, ttl: ttl}
}

func (r *recentSet) add(id string, now time.Time) {
	r.turn(now)
	if len(r.cur) >= r.max {
		r.old, r.cur, r.turned = r.cur, nil, now
	}
	if r.cur == nil {
		r.cur = map[string]struct{}{}
	}
	r.cur[id] = struct{}{}
}

func (r *recentSet) has(id string, now time.Time) bool {
	r.turn(now)
	_, cur := r.cur[id]
	_, old := r.old[id]
	return cur || old
}

func (r *recentSet) remove(id string) {
	delete(r.cur, id)
	delete(r.old, id)
}

func (r *recentSet) clear() { r.cur, r.old = nil, nil }

func (r *recentSet) turn(now time.Time) {
	switch age := now.Sub(r.turned); {
	case age >= 2*r.ttl:
		r.cur, r.old, r.turned = nil, nil, now
	case age >= r.ttl:
		r.cur, r.old, r.turned = nil, r.cur, now
	}
}
