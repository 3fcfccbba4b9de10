package auth

import (
	"container/list"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
	"weak"

	"github.com/respgate/respgate/tenant"
)

// Handle is a live principal: one key on one instance. All sessions of that key
// there have the same handle, so that they all see it change.
type Handle struct {
	principal atomic.Pointer[tenant.Principal]
	instance  string // the instance's id
	entry     *entry // so that the entry is found as long as a session has the handle
}

// Principal returns the principal as it is now; nil once the key is revoked, has
// expired or is deleted, or may no longer open the instance. A handle that has
// ended stays so. It costs one atomic load. A session that waits for OnChange must
// look once more after it has made itself known.
func (h *Handle) Principal() *tenant.Principal { return h.principal.Load() }

// KeyID returns the id of the key, also when the handle has ended.
func (h *Handle) KeyID() string { return h.entry.id }

// entry is one key. But for id, the service's lock guards it.
type entry struct {
	id       string
	owner    owner
	own      string // the name of the key's own instance
	certName string // of the certificate that opens it; "" is none
	rules    string
	commands *tenant.CommandSet // of rules
	noted    string             // rules of the commands that are noted
	audit    *tenant.CommandSet // of noted; nil: none
	from     tenant.Networks
	revoked  bool
	expires  time.Time // zero: never
	lapsed   bool      // the handles have ended because it has expired

	generations []generation
	place       *list.Element
	gone        bool // no longer in the index: to be looked up again
}

// owner is whose a key is.
type owner struct{ name, orgID, org string }

// grant is what the store says about a key, with its rules parsed.
type grant struct {
	tenant.Grant
	commands, audit *tenant.CommandSet
}

func (s *Service) read(g tenant.Grant) grant {
	read := grant{Grant: g, commands: s.commands}
	var err error
	if g.Key.Commands != "" {
		if read.commands, err = ParseRules(g.Key.Commands); err != nil {
			s.log.Error("a key's command rules cannot be read: it may run nothing until they are set anew", "key", g.Key.ID, "error", err)
			read.commands = &tenant.CommandSet{}
		}
	}
	if read.audit, err = ParseAudit(g.Key.Audit); err != nil {
		s.log.Error("a key's audit rules cannot be read: all its commands are noted until they are set anew", "key", g.Key.ID, "error", err)
		read.audit, _ = ParseAudit("+@all")
	}
	return read
}

// open returns the handle for the instance that user names to a client at addr, or the
// reason why not. What the key may not do is told only to who has its secret.
func (e *entry) open(addr netip.Addr, user string, hash *[32]byte, now time.Time) (*Handle, string) {
	of := e.generation(hash, now)
	if of == nil {
		return nil, ReasonWrongSecret
	}
	return e.enter(of, addr, user, now)
}

// enter is open for who has the secret of a generation, or is let in without.
func (e *entry) enter(of *generation, addr netip.Addr, user string, now time.Time) (*Handle, string) {
	switch {
	case e.revoked:
		return nil, ReasonRevoked
	case e.expired(now):
		return nil, ReasonExpired
	case !e.from.Allow(addr):
		return nil, ReasonAddress
	}
	if user == "" || user == "default" {
		user = e.own
	}
	for _, h := range of.handles {
		if h.Principal().Route.Instance == user {
			return h, ""
		}
	}
	return nil, ReasonInstance
}

func (e *entry) expired(now time.Time) bool { return !e.expires.IsZero() && !now.Before(e.expires) }

// apply takes over what the store says now, and returns the handles that it
// changed or ended.
func (e *entry) apply(g grant, now time.Time) (changed []*Handle) {
	if e.commands == nil || e.rules != g.Key.Commands {
		e.rules, e.commands = g.Key.Commands, g.commands
	}
	if e.noted != g.Key.Audit {
		e.noted, e.audit = g.Key.Audit, g.audit
	}
	if e.certName != "" && e.certName != g.Key.CertificateName {
		changed = e.end() // what the old certificate opened ends
	}
	changed = append(changed, e.replace(generations(g.Key, now))...)
	e.certName = g.Key.CertificateName
	e.owner = owner{g.Key.Name, g.Seats.OrgID, g.Key.Org}
	e.from = g.Key.AllowFrom
	e.expires, e.revoked = g.Key.ExpiresAt, !g.Key.RevokedAt.IsZero()
	e.lapsed = e.expired(now)
	e.own = ""
	if len(g.Key.Instances) > 0 {
		e.own = g.Key.Instances[0]
	}
	if e.revoked || e.lapsed {
		return append(changed, e.end()...)
	}
	principals := make([]*tenant.Principal, 0, len(g.Routes))
	for _, route := range g.Routes {
		principals = append(principals, &tenant.Principal{
			KeyID: e.id, KeyName: g.Key.Name, Org: g.Key.Org, Route: route, Limits: g.Key.Limits, Pace: g.Quota.Pace(),
			Commands: e.commands, Audit: e.audit, AllowFrom: e.from, Seats: g.Seats,
		})
	}
	for i := range e.generations {
		changed = append(changed, e.generations[i].follow(e, principals)...)
	}
	return changed
}

func handleOf(handles []*Handle, instance string) *Handle {
	for _, h := range handles {
		if h.instance == instance {
			return h
		}
	}
	return nil
}

func same(a, b *tenant.Principal) bool {
	return a.KeyName == b.KeyName && a.Org == b.Org && a.Route.Same(b.Route) && a.Commands == b.Commands && a.Audit == b.Audit &&
		a.Seats == b.Seats && a.Pace == b.Pace && slices.Equal(a.AllowFrom, b.AllowFrom) &&
		a.Limits.Reset == b.Limits.Reset && a.Limits.Mode == b.Limits.Mode && sameNumber(a.Limits.Rate, b.Limits.Rate) &&
		sameNumber(a.Limits.Burst, b.Limits.Burst) && sameNumber(a.Limits.ByteRate, b.Limits.ByteRate)
}

func sameNumber[T int | int64](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

// find returns the entry of a key that is cached, or that a session still has a
// handle of, and marks it as used. It wants the lock, as all below. A key that had
// expired by a clock which has since gone back is to be looked up again.
func (s *Service) find(id string, now time.Time) *entry {
	e := s.index[id].Value()
	switch {
	case e == nil:
	case e.lapsed && !e.expired(now):
		s.remove(e)
		return nil
	default:
		s.use(e)
	}
	return e
}

// use makes e the most recently used entry of the cache. One that falls out stays in
// the index for as long as a session has a handle of it: that session must see
// the key change.
func (s *Service) use(e *entry) {
	if e.place != nil {
		s.recent.MoveToFront(e.place)
		return
	}
	e.place = s.recent.PushFront(e)
	for s.recent.Len() > s.cfg.CacheSize {
		s.uncache(s.recent.Back().Value.(*entry))
	}
}

func (s *Service) uncache(e *entry) {
	if e.place != nil {
		s.recent.Remove(e.place)
		e.place = nil
	}
}

// insert makes the entry of a key that has none.
func (s *Service) insert(id string, g grant, now time.Time) *entry {
	e := &entry{id: id}
	s.index[id] = weak.Make(e)
	s.update(e, g, now)
	s.use(e)
	return e
}

func (s *Service) update(e *entry, g grant, now time.Time) (changed []*Handle) {
	changed = e.apply(g, now)
	if e.live() {
		s.expireBy(e.nextEnd())
	}
	return changed
}

// remove forgets e and ends its handles, which it returns.
func (s *Service) remove(e *entry) []*Handle {
	s.uncache(e)
	if s.index[e.id].Value() == e {
		delete(s.index, e.id)
	}
	e.gone = true
	return e.end()
}

// expireBy has the clock looked at when t, unless zero, has come.
func (s *Service) expireBy(t time.Time) {
	if !t.IsZero() && (s.nextExpiry.IsZero() || t.Before(s.nextExpiry)) {
		s.nextExpiry = t
	}
}
