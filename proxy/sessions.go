package proxy

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/respgate/respgate/tenant"
)

// surveyTurn is how many sessions are looked at in one turn of the loop, some 100
// microseconds' worth.
const surveyTurn = 256

// Sessions gathers the authenticated sessions of an organization, of all with org "", at most
// so many, and calls then with them on the loop. Their ids are the clients' alone. Other
// events are served meanwhile.
func (c *Core) Sessions(org string, most int, then func([]tenant.Session)) {
	var found []tenant.Session
	left := slices.Collect(maps.Keys(c.sessions))
	var look func()
	look = func() {
		n := min(len(left), surveyTurn)
		for _, s := range left[:n] {
			if p := s.principal; p != nil && !s.closed && (org == "" || p.Seats.OrgID == org) && len(found) < most {
				found = append(found, s.snapshot())
			}
		}
		if left = left[n:]; len(left) == 0 || len(found) == most {
			then(found)
			return
		}
		c.After(1, look) // in another turn
	}
	look()
}

// Kill ends the session of a client at once, as CLIENT KILL does, where it is the
// organization's with the id org, any with "". It reports whether there was one; the log has it.
func (c *Core) Kill(id int64, org string) bool {
	for s := range c.sessions {
		if s.id == id && !s.closed && (org == "" || s.principal != nil && s.principal.Seats.OrgID == org) {
			c.Log.Info("client's session ended by request", s.about()...)
			s.drop(errKilled)
			return true
		}
	}
	return false
}

// snapshot says how the session is now.
func (s *Session) snapshot() tenant.Session {
	p := s.principal
	at := func(nanos int64) time.Time { return s.core.Clock.Now().Add(-since(s.core.Clock, nanos)) }
	return tenant.Session{
		ID: strconv.FormatInt(s.id, 10), KeyID: p.KeyID, KeyName: p.KeyName, OrgID: p.Seats.OrgID, Org: p.Org,
		InstanceID: p.Route.InstanceID, Instance: p.Route.Instance,
		Address: s.addr.String(), TLS: s.secure, Name: s.name, LibName: s.libName, LibVersion: s.libVer,
		Protocol: s.proto, DB: s.db, ConnectedAt: at(s.since), ActiveAt: at(s.active),
		Command: s.current.Info().Name, Unsent: s.out.Unsent(), State: s.state(),
	}
}

// state says what is special about the session, as the flags of CLIENT LIST do.
func (s *Session) state() (words []string) {
	for _, m := range s.marks() {
		if m.set {
			words = append(words, m.word)
		}
	}
	return words
}
