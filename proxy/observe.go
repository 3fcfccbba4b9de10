package proxy

import (
	"time"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/loop"
	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/resp"
	"github.com/respgate/respgate/tenant"
)

// Observer looks at some commands closely. It is used on the loop's goroutine.
type Observer interface {
	// Watch says which commands of an instance it wants to see. Those that others want it
	// is told of too.
	Watch(*tenant.Route) tenant.Watch
	// Saw is told of one, which is valid during the call. What it returns, if anything, is
	// called once when the client's socket has taken all that was written to it until then,
	// or when the client is gone.
	Saw(*tenant.Observed) (written func(at time.Time))
}

// maxAwaited bounds what waits for one client's socket.
const maxAwaited = 64

// follow has the instance's commands be looked at as the observers want.
func (m *meter) follow(c *Core, r *tenant.Route) {
	if len(c.Observers) == 0 || m.route.Same(*r) {
		return
	}
	m.route = *r
	m.rewatch(c)
}

func (m *meter) rewatch(c *Core) {
	w := tenant.Unwatched()
	for _, o := range c.Observers {
		w = w.And(o.Watch(&m.route))
	}
	m.watch = w
}

// Rewatch asks the observers again which commands they want to see.
func (c *Core) Rewatch() {
	for _, m := range c.meters {
		m.rewatch(c)
	}
}

// Watch implements pool.Meter.
func (m *meter) Watch() *tenant.Watch { return &m.watch }

// Saw implements pool.Meter.
func (m *meter) Saw(sight *pool.Sight) {
	s := sessionOf(sight.Owner)
	if s == nil {
		return
	}
	who := s.principal
	if s.closed {
		who = s.was // a client may give up, and just then it is worth knowing why
	}
	if who == nil || who.Route.InstanceID != m.route.InstanceID {
		return
	}
	o := s.observed(sight.ID, who, m)
	o.Why, o.Begins, o.Size, o.Reply, o.ReplySize = sight.Why, sight.Command, sight.Size, sight.Reply, sight.ReplySize
	o.Limited, o.Waited, o.Took, o.Ahead = sight.Limited, sight.Waited, sight.Took(), sight.Ahead
	if b := sight.Reply; len(b) == sight.ReplySize && (b[0] == '-' || b[0] == '!') {
		o.Code = metrics.Code(resp.ErrorCode(b))
		if redirects(o.Code) && asksElsewhere(sight.Owner) {
			o.Why, o.Code = o.Why&^tenant.WhyFailed, ""
		}
	}
	if sight.ID.Waits() {
		o.Why &^= tenant.WhySlow
	}
	if o.Why == 0 {
		return
	}
	shown := false
	defer func() {
		if !shown { // a panic: replies before this one may be lost with the link, and others would take their place
			s.drop(loop.ErrPanic)
		}
	}()
	s.show(o)
	shown = true
}

// asksElsewhere reports whether a command of that owner goes to the server that has its keys.
func asksElsewhere(o pool.Owner) bool {
	switch o.(type) {
	case *call, *chase, *attempt:
		return true
	}
	return false
}

// observed is what the session knows of a command that is looked at. There is one for all,
// so that none is allocated.
func (s *Session) observed(id command.ID, who *tenant.Principal, m *meter) *tenant.Observed {
	o := &s.core.seen
	*o = tenant.Observed{
		Every: m.watch.Every, Principal: who, Session: s.id, Client: s.addr, Name: s.name, DB: s.db,
		Command: uint16(id), At: s.core.Clock.Now(),
	}
	return o
}

// show tells the observers.
func (s *Session) show(o *tenant.Observed) {
	for _, observer := range s.core.Observers {
		written := observer.Saw(o)
		switch {
		case written == nil:
		case s.closed:
			written(o.At)
		default:
			if len(s.awaited) == maxAwaited {
				s.wrote()
			}
			s.awaited = append(s.awaited, written)
		}
	}
}

// wrote tells the observers that what was written has been taken.
func (s *Session) wrote() {
	now := s.core.Clock.Now()
	for _, written := range s.awaited {
		written(now)
	}
	s.awaited = nil
}

// showRefusal tells the observers of a command that respgate has answered itself, with an
// error.
func (s *Session) showRefusal(id command.ID, code string) {
	if s.meter == nil || !s.meter.watch.Failed || s.closed {
		return
	}
	o := s.observed(id, s.principal, s.meter)
	o.Why, o.Code, o.Refused = tenant.WhyFailed, code, true
	s.show(o)
}
