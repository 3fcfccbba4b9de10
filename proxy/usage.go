package proxy

import (
	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/tenant"
)

// usage is what one loop has counted of one key on one instance since it was last asked. Its
// sessions there share it. Those that have not authenticated have Core.nobody, which is not
// asked for.
type usage struct {
	tenant.Usage
	sessions int  // that count in it
	opened   bool // one of them is new
}

// usedBy says whose usage it is.
type usedBy struct{ key, instance string }

// countFor has the session's doings count as the principal's from now on; nil is nobody.
func (s *Session) countFor(p *tenant.Principal) {
	u := &s.core.nobody
	if p != nil {
		u = s.core.usageOf(usedBy{p.KeyID, p.Route.InstanceID})
	}
	if u == s.usage {
		return
	}
	s.usage.sessions--
	u.sessions++
	u.opened = true
	s.usage = u
}

func (c *Core) usageOf(who usedBy) *usage {
	u := c.usages[who]
	if u == nil {
		u = &usage{Usage: tenant.Usage{KeyID: who.key, InstanceID: who.instance}}
		if c.usages == nil {
			c.usages = map[usedBy]*usage{}
		}
		c.usages[who] = u
	}
	return u
}

// TakeUsage returns what was counted since it was last called, without times, and the ids of
// the keys that clients have used since, some of them perhaps twice.
func (c *Core) TakeUsage() (counted []tenant.Usage, used []string) {
	for who, u := range c.usages {
		none := tenant.Usage{KeyID: who.key, InstanceID: who.instance}
		if u.Usage != none {
			counted = append(counted, u.Usage)
		}
		if u.opened || u.Commands > 0 {
			used = append(used, who.key)
		}
		u.Usage, u.opened = none, false
		if u.sessions == 0 {
			delete(c.usages, who)
		}
	}
	return counted, used
}

// Refused implements pool.Meter. The reply to a command that may be sent again, or be a part
// of one, counts in its client's usage when the client is given it.
func (m *meter) Refused(owner pool.Owner, id command.ID, code []byte) {
	m.tenant.ErrorReply(id, code)
	elsewhere := redirects(string(code))
	switch o := owner.(type) {
	case *call, unheard:
		return
	case *chase, *attempt:
		if elsewhere {
			return
		}
	case moved:
		if elsewhere && o.instead != "" { // it is told QUEUED
			return
		}
	}
	if s := sessionOf(owner); s != nil {
		s.usage.Errors++
	}
}

// redirects reports whether an error of that code says that another server has the keys.
func redirects(code string) bool { return code == "MOVED" || code == "ASK" }
