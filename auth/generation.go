package auth

import (
	"crypto/subtle"
	"time"

	"github.com/respgate/respgate/tenant"
)

// generation is one of a key's secrets with the handles that it has opened. A key has one,
// and another while the secret before its last rotation is good too.
type generation struct {
	hash    [32]byte
	until   time.Time // when it ends before the key does; zero: it does not
	handles []*Handle // those that have not ended
}

// generations returns the secrets of a key that are good now, the newest first.
func generations(k tenant.Key, now time.Time) []generation {
	all := []generation{{hash: k.SecretHash}}
	if now.Before(k.PreviousUntil) {
		all = append(all, generation{hash: k.PreviousHash, until: k.PreviousUntil})
	}
	return all
}

// has tells whether it is the secret's, in a time that tells nothing of it.
func (g *generation) has(hash *[32]byte) bool {
	return subtle.ConstantTimeCompare(g.hash[:], hash[:]) == 1
}

func (g *generation) over(now time.Time) bool { return !g.until.IsZero() && !now.Before(g.until) }

// follow has the handles be those for the principals, and returns which it changed or ended.
func (g *generation) follow(e *entry, principals []*tenant.Principal) (changed []*Handle) {
	old := g.handles
	g.handles = nil
	for _, p := range principals {
		h := handleOf(old, p.Route.InstanceID)
		switch {
		case h == nil:
			h = &Handle{instance: p.Route.InstanceID, entry: e}
			h.principal.Store(p)
		case !same(h.Principal(), p):
			h.principal.Store(p)
			changed = append(changed, h)
		}
		g.handles = append(g.handles, h)
	}
	for _, h := range old {
		if handleOf(g.handles, h.instance) == nil {
			h.principal.Store(nil)
			changed = append(changed, h)
		}
	}
	return changed
}

// end ends its handles and returns them.
func (g *generation) end() []*Handle {
	ended := g.handles
	g.handles = nil
	for _, h := range ended {
		h.principal.Store(nil)
	}
	return ended
}

// replace has the key's secrets be others; those that it keeps keep their handles. It returns
// the handles of those that it loses, which have ended.
func (e *entry) replace(with []generation) (ended []*Handle) {
	for i := range e.generations {
		g := &e.generations[i]
		for j := range with {
			if with[j].has(&g.hash) {
				with[j].handles, g.handles = g.handles, nil
				break
			}
		}
		ended = append(ended, g.end()...)
	}
	e.generations = with
	return ended
}

// generation returns the one that a secret is of; nil is none. All are looked at, whichever
// it is.
func (e *entry) generation(hash *[32]byte, now time.Time) (of *generation) {
	for i := range e.generations {
		if g := &e.generations[i]; g.has(hash) && !g.over(now) {
			of = g
		}
	}
	return of
}

// end ends all handles and returns them.
func (e *entry) end() (ended []*Handle) {
	for i := range e.generations {
		ended = append(ended, e.generations[i].end()...)
	}
	return ended
}

// endOverlap ends the handles of secrets that are not good any more, and returns them.
func (e *entry) endOverlap(now time.Time) (ended []*Handle) {
	for i := range e.generations {
		if g := &e.generations[i]; g.over(now) {
			ended = append(ended, g.end()...)
		}
	}
	return ended
}

// live reports whether there are handles that have not ended.
func (e *entry) live() bool {
	for i := range e.generations {
		if len(e.generations[i].handles) > 0 {
			return true
		}
	}
	return false
}

// nextEnd is when the next of the handles end by themselves; zero is never.
func (e *entry) nextEnd() time.Time {
	next := e.expires
	for i := range e.generations {
		if g := &e.generations[i]; len(g.handles) > 0 && !g.until.IsZero() && (next.IsZero() || g.until.Before(next)) {
			next = g.until
		}
	}
	return next
}
