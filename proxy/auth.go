package proxy

import (
	"context"
	"crypto/x509"
	"errors"

	"github.com/respgate/respgate/auth"
	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/tenant"
)

// auth serves AUTH [name] key.
func (s *Session) auth(it *item) {
	args := it.frame.AppendArgs(nil)
	if len(args) > 3 {
		s.refuse(it.id, badRequest, "ERR syntax error")
		return
	}
	var user []byte
	if len(args) == 3 {
		user = args[1]
	}
	s.authenticate(it.id, user, args[len(args)-1], func() { s.say([]byte("+OK\r\n")) })
}

// authenticate looks a key up, in the background unless it is known, and goes on
// with then when it is good.
func (s *Session) authenticate(id command.ID, user, key []byte, then func()) {
	addr := s.addr.Addr()
	if h, ok := s.core.Auth.Cached(addr, user, key); ok {
		s.authenticated(id, h, nil, then)
		return
	}
	name, text := string(user), string(key)
	s.lookUp(func(ctx context.Context) func() {
		h, err := s.core.Auth.Authenticate(ctx, addr, name, text)
		return func() { s.authenticated(id, h, err, then) }
	})
}

// lookUp runs what may block away from the loop and then, unless the client has gone
// meanwhile, what it returns. Nothing else is looked at until then.
func (s *Session) lookUp(work func(ctx context.Context) (then func())) {
	s.pause(someone)
	ctx, cancel := context.WithCancel(s.core.Ctx)
	s.giveUp = cancel
	s.core.Background(func() func() {
		then := work(ctx)
		return func() {
			cancel()
			s.giveUp = nil
			if s.closed {
				return
			}
			s.wait = nothing
			then()
			if s.wait == nothing {
				s.resume()
			}
		}
	})
}

// Certified is told, before anything else, that the client has shown a verified certificate.
// Where one of its names opens a key, the session is that key's from the start; else the
// client has to authenticate.
func (s *Session) Certified(cert *x509.Certificate) {
	names := auth.CertificateNames(cert)
	if len(names) == 0 {
		return
	}
	addr := s.addr.Addr()
	if h, ok := s.core.Auth.CachedCertificate(addr, names); ok {
		s.certified(h)
		return
	}
	s.lookUp(func(ctx context.Context) func() {
		h := s.core.Auth.Certified(ctx, addr, names)
		return func() { s.certified(h) }
	})
}

func (s *Session) certified(h *auth.Handle) {
	if h == nil {
		return
	}
	p := h.Principal()
	if p == nil {
		return
	}
	switch err := s.adopt(h, p); {
	case err == nil:
		s.placed(func() {})
	case errors.Is(err, errFull):
		s.say(MaxClientsReply())
		s.finish()
	}
}

func (s *Session) authenticated(id command.ID, h *auth.Handle, err error, then func()) {
	var p *tenant.Principal
	if err == nil {
		p = h.Principal()
	}
	switch {
	case errors.Is(err, auth.ErrUnavailable):
		s.refuse(id, authUnavailable)
	case p == nil:
		s.refuse(id, wrongPass)
	case s.bound() && s.principal != nil && !s.principal.Route.SameWay(p.Route):
		s.refuse(id, unsupported, "the instance cannot change while keys are watched or tracked, channels subscribed or a transaction is open")
	default:
		s.enter(id, h, p, then)
	}
}

// enter goes on with then as the principal's session. One for which there is no room ends,
// as Redis closes a connection beyond its maxclients.
func (s *Session) enter(id command.ID, h *auth.Handle, p *tenant.Principal, then func()) {
	err := s.adopt(h, p)
	switch {
	case err == nil:
		s.placed(then)
	case errors.Is(err, errFull):
		s.refuse(id, maxClients)
		s.finish()
	case errors.Is(err, errElsewhere):
		s.refuse(id, wrongPass)
	default:
		s.refuse(id, backendUnavailable, "backend unavailable: its URL is not understood")
	}
}

// logOut makes the session one that has not authenticated.
func (s *Session) logOut() {
	s.core.Seats.move(s.principal, nil)
	s.leave()
	s.framer.SetLimits(limitsBefore)
	s.awaitAuth()
}

var (
	errFull      = errors.New("all connections of its key or organization are in use")
	errElsewhere = errors.New("its key may not be used from there")
)

// adopt makes the session the principal's, however it was found. It stays what it was, with
// errFull, when there is no room, with errElsewhere when the key may not be used from where
// the client is, and with another error when the instance cannot be used.
func (s *Session) adopt(h *auth.Handle, p *tenant.Principal) error {
	if !p.AllowFrom.Allow(s.addr.Addr()) {
		return errElsewhere
	}
	backend, err := pool.ParseURL(p.Route.URL)
	if err != nil {
		s.core.Log.Error("instance cannot be used", s.aboutAs(p, "error", err)...)
		return err
	}
	if !s.core.Seats.move(s.principal, p) {
		return errFull
	}
	waits := s.unshape()
	if s.principal == nil || !s.principal.Route.SameWay(p.Route) {
		s.leaveNear(p)
		kept := pinned{tx: s.pin.tx, poisoned: s.pin.poisoned} // what was refused dooms the rest, wherever that goes
		s.leave()
		s.pin = kept
		s.backend, s.db = backend, backend.DB
		s.principal = p
		s.join()
		s.meter = s.core.meter(p.Route.Label)
		s.meter.tenant.Clients(1)
	}
	s.handle, s.principal, s.known = h, p, true
	s.meter.follow(s.core, &p.Route)
	s.countFor(p)
	s.followCache()
	s.buckets = bucketsOf(s.core.Limiters, p)
	s.framer.SetLimits(s.core.limitsAfter())
	stop(&s.authTimer)
	if waits {
		s.resume()
	}
	return nil
}
