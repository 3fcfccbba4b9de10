package proxy

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/internal/sample"
	"github.com/respgate/respgate/tenant"
)

// Auditor keeps events of the audit log. It is called on the loops: it must not block.
type Auditor interface {
	// Note takes an event that stands for so many like it.
	Note(e tenant.Event, times int)
	// Lost is told that so many events of an action could not be noted.
	Lost(action string, n int)
}

// The actions of the events.
const (
	CommandAudited = "command.audited" // its key's rules say that it is noted
	CommandDenied  = "command.denied"  // its key may not run it
)

const (
	// deniedPeriod is how long one event stands for all denials of a command to a key.
	deniedPeriod = time.Second
	// maxNotedKeys is how many of a command's keys are noted, and
	maxNotedKeys = 16
	// maxNotedKey how many bytes of each.
	maxNotedKey = 128
)

// denials are the denied commands of a loop's clients.
type denials struct {
	sample.Sampler[denial, tenant.Event]
	running bool // the end of the period is waited for
}

type denial struct {
	key string
	id  command.ID
}

// audited returns the commands of a principal's that are noted; nil is none, as nearly always.
func (c *Core) audited(p *tenant.Principal) *tenant.CommandSet {
	if p == nil || c.Auditor == nil {
		return nil
	}
	return p.Audit
}

// audit notes those of the commands that p's rules name.
func (s *Session) audit(p *tenant.Principal, items []item, outcome tenant.Outcome, detail string) {
	for i := range items {
		it := &items[i]
		switch {
		case it.verdict == local && it.id.Info().Flags&command.FlagNoAuth != 0:
		case it.id == command.Other && p.Audit.Unknown(), it.id != command.Other && p.Audit.Has(uint16(it.id)):
			e := s.event(CommandAudited, p, it)
			e.Outcome, e.Detail = outcome, detail
			s.core.Auditor.Note(e, 1)
		}
	}
}

// auditOne notes a command, where p's rules name it, that was served by itself: limited or
// not, and refused or not.
func (s *Session) auditOne(p *tenant.Principal, it *item, limited, refused bool) {
	outcome, detail := tenant.Done, ""
	switch {
	case it.verdict == denied:
		outcome, detail = tenant.Denied, "the key may not run it"
	case limited:
		outcome, detail = tenant.Denied, "over the limit"
	case refused:
		outcome, detail = tenant.Failed, "not relayed"
	}
	one := [1]item{*it}
	s.audit(p, one[:], outcome, detail)
}

// noteDenial notes that the session's key may not run a command.
func (s *Session) noteDenial(it *item) {
	c := s.core
	k := denial{s.principal.KeyID, it.id}
	if c.Auditor == nil || c.denials.Seen(k, 1) {
		return
	}
	e := s.event(CommandDenied, s.principal, it)
	e.Outcome, e.Detail = tenant.Denied, "the key may not run it"
	if !c.denials.Add(k, e, 0) {
		c.Auditor.Lost(CommandDenied, 1)
		return
	}
	c.Auditor.Note(e, 1)
	if !c.denials.running {
		c.denials.running = true
		c.After(deniedPeriod, c.endDenials)
	}
}

// endDenials tells how many denials the events of a period stand for.
func (c *Core) endDenials() {
	c.denials.running = c.denials.Turn(func(e tenant.Event, left int) {
		e.At = c.Clock.Now()
		c.Auditor.Note(e, left)
	})
	if c.denials.running {
		c.After(deniedPeriod, c.endDenials)
	}
}

// event says that a client of p's has sent a command. Of its arguments it has the names of
// keys only.
func (s *Session) event(action string, p *tenant.Principal, it *item) tenant.Event {
	name := it.id.Info().Name
	if it.id == command.Other {
		name = strings.ToLower(readable(it.frame.Name))
	}
	after, _ := json.Marshal(s.keysOf(p, it)) // strings and a number: it cannot fail
	return tenant.Event{
		At: s.core.Clock.Now(), Actor: tenant.ByKey, ActorID: p.KeyID, ActorName: p.KeyName, Address: s.addr.String(),
		Action: action, OrgID: p.Seats.OrgID, Org: p.Org, Target: "command", TargetID: p.Route.InstanceID, Name: name, After: after,
	}
}

// noted is what an event says of a command besides its name.
type noted struct {
	Instance string   `json:"instance"`
	Keys     []string `json:"keys,omitempty"`
	More     int      `json:"more_keys,omitempty"`    // that are not listed
	Unknown  bool     `json:"keys_unknown,omitempty"` // there may be others
}

func (s *Session) keysOf(p *tenant.Principal, it *item) noted {
	n := noted{Instance: p.Route.Instance, Unknown: it.id == command.Other}
	if len(it.id.Info().Keys) == 0 {
		return n
	}
	c := s.core
	c.args = it.frame.AppendArgs(c.args[:0])
	var ok bool
	c.keys, ok = it.id.AppendKeys(c.keys[:0], c.args)
	n.Unknown = !ok
	for _, at := range c.keys[:min(len(c.keys), maxNotedKeys)] {
		n.Keys = append(n.Keys, readable(c.args[at]))
	}
	n.More = len(c.keys) - len(n.Keys)
	return n
}

// readable makes text of a client's bytes: of the first maxNotedKey, and what is not UTF-8
// escaped.
func readable(b []byte) string {
	cut := len(b) > maxNotedKey
	if cut {
		b = b[:maxNotedKey]
		for n := 1; n < utf8.UTFMax && !utf8.Valid(b); n++ {
			if utf8.Valid(b[:len(b)-n]) { // cut in the middle of a character
				b = b[:len(b)-n]
			}
		}
	}
	text := string(b)
	if !utf8.Valid(b) {
		quoted := strconv.Quote(text)
		text = quoted[1 : len(quoted)-1]
	}
	if cut {
		text += "…"
	}
	return text
}
