package pool

// Unseen reports whether the group has not been looked at yet, and will be.
func (t *Topology) Unseen() bool {
	return t.layout.Load() == nil && t.cause.Load() == nil && !t.ended.Load()
}

// left reports whether a server is not in the group any more, or not as what it was. A
// cluster's nodes name others before they are known here, and send away what they do not serve.
func (t *Topology) left(b Backend) bool {
	if t == nil || t.Backend.Group == Cluster {
		return false
	}
	l := t.layout.Load()
	return l != nil && !l.members()[b]
}

// farewell is how long a server that has left its group may take to answer a PING before
// those that still wait for it are told that it is lost.
const farewell = silence / 2

// Leave is told that servers are not in a group any more, or not as what they were. Of a
// group with one primary the links to that close at once: what a demoted primary still
// does would be lost. A cluster's nodes send away what they do not serve, and what has been read
// from a replica is not lost; only links to those that do not answer are closed: all at once
// where one has been silent for a while already, or cannot be had. Wishes for a link to any of
// them end: who has its place is to be asked.
func (p *Pool) Leave(group *Topology, gone []Backend) {
	for _, backend := range gone {
		p.endWishes(group, backend)
		var owing []*Link
		silent := false
		harmless := group.Backend.Group == Cluster || backend.Role == ReaderRole
		for key, l := range p.links {
			silent = silent || key.Group == group && key.Backend == backend && (l.state == dialing || l.state == broken || p.silent(l))
			switch {
			case key.Group != group || key.Backend != backend:
			case !harmless, l.state != up, p.silent(l):
				p.retire(l, errLeftGroup)
			case l.q.len() > 0:
				owing = append(owing, l)
			}
		}
		for l := range p.pinned {
			if l.key.Group == group && l.key.Backend == backend {
				if !harmless || silent || l.pin.holder == nil {
					l.conn.Close(errLeftGroup)
				} else {
					owing = append(owing, l)
				}
			}
		}
		if len(owing) > 0 {
			p.suspect(backend, owing, farewell, true)
		}
	}
}

// endWishes answers the wishes for a link to a server that has left its group.
func (p *Pool) endWishes(group *Topology, backend Backend) {
	var ended []*borrow
	for b := range p.dialled {
		ended = append(ended, b)
	}
	for _, waiting := range p.waiting {
		ended = append(ended, waiting...)
	}
	for _, b := range ended {
		if b.key.Group != group || b.key.Backend != backend {
			continue
		}
		p.abandon(b)
		b.fail(refusal(errLeftGroup))
	}
}
