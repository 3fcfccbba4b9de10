package proxy

import (
	"strconv"
	"time"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/pool"
)

// transaction is how far a session is in one.
type transaction uint8

const (
	none    transaction = iota
	opened              // MULTI has gone to the backend
	doomed              // so it has, but something was refused here: EXEC will discard
	refused             // MULTI itself was refused: the backend knows nothing of it
	pending             // it is not known yet which node of a cluster it is for
)

// pinned is what a session has while it has a link to itself.
type pinned struct {
	link      *pool.Link
	cancel    func()      // ends the wish for a link
	err       *pool.Error // why the wish was not granted
	blocking  uint64      // the number of the last command that may wait, counted from 1
	begun     int32       // how many transactions have been
	queued    int32       // how many commands are in it
	changing  int32       // how many commands are under way that may bind the session
	tx        transaction
	watching  bool
	poisoned  bool // a WATCH was refused: the next EXEC must not succeed
	listening bool // subscribed, or about to be
	tracking  bool // it is told of changed keys
	untouched bool // CLIENT NO-TOUCH is on, or was
	monitors  bool
	asking    bool          // the backend is being asked to unblock it
	spoilt    bool          // the link is not for others any more
	selected  bool          // the transaction has a SELECT in it
	asks      bool          // commands outside transactions go behind ASKING: watched keys are on their way to the node
	hosts     int           // 1 + the slot that the node has, as another has said, whatever the layout says; 0 is none
	probing   bool          // the database is being asked for
	waited    time.Duration // for the link, which the next command tells of
}

// bound reports whether the session's next command must go over the same link.
func (p *pinned) bound() bool {
	return p.tx == opened || p.tx == doomed || p.watching || p.listening || p.tracking || p.untouched || p.monitors || p.probing || p.asking || p.changing > 0
}

// relayPinned sends a command over the session's own link, which it gets first when
// it has none; false says that it must wait, and is to be looked at again.
func (s *Session) relayPinned(it *item, r role) bool {
	if s.pin.link == nil {
		switch {
		case s.owed() > 0:
			s.pause(idleness)
			return false
		case s.pin.err == nil && s.borrow(r):
		case s.pin.err != nil:
			s.notPinned(it, r)
			return true
		default:
			return false
		}
	}
	if s.owed() > 0 && ((r == multi || r == unwatch) && s.pin.listening || r == monitor) {
		s.pause(idleness) // what these do depends on the replies to come
		return false
	}
	if !s.mayUse(s.pin.link) {
		return false
	}
	s.sendPinned(it, r)
	return true
}

// borrow gets the session a link of its own; false says that it waits for one. Where its
// server leaves the group meanwhile, the command is looked at again: it is for another one.
func (s *Session) borrow(r role) bool {
	kind := pool.Pinned
	if r == listen {
		kind = pool.Subscriber
	}
	answered, waiting := false, false
	wished := s.core.Clock.Nanos()
	cancel := s.core.Links.Borrow(s.key(s.db, pool.Plain), kind, func(l *pool.Link, err *pool.Error) {
		answered = true
		s.pin.cancel = nil
		s.pin.waited += since(s.core.Clock, wished)
		switch {
		case err == nil:
			s.pin.link = l
			l.Hold(s)
		case !err.Left:
			s.pin.err = err
		}
		if waiting {
			s.resume()
		}
	})
	if answered {
		return s.pin.link != nil
	}
	s.pin.cancel, waiting = cancel, true
	s.pause(someone)
	return false
}

// notPinned refuses a command for which there is no link.
func (s *Session) notPinned(it *item, r role) {
	err := s.pin.err
	s.pin.err, s.pin.waited = nil, 0
	s.refuse(it.id, unservedBy(err), err.Error())
	s.turnedDown(r)
}

// turnedDown notes that a command was refused here: what it began, or was part of,
// must not succeed.
func (s *Session) turnedDown(r role) {
	switch {
	case s.pin.tx == opened:
		s.pin.tx = doomed
	case s.pin.tx == pending:
		s.pin.poisoned = true
	case r == multi && s.pin.tx == none:
		s.pin.tx = refused
	case r == watch:
		s.pin.poisoned = true
	}
}

// sendPinned sends a command over the session's own link, and follows what it does to
// the link.
func (s *Session) sendPinned(it *item, r role) {
	p := &s.pin
	outside, binds := p.tx == none, r == watch && p.tx == none && !p.bound()
	if r != exec && !it.id.ArityOK(it.frame.Args) {
		r = onShared // it does nothing; the backend says why. A wrong EXEC discards.
	}
	if r == listen || r == unlisten {
		s.sendListening(it, r)
		return
	}
	owner, raw := s.ownPinned(it, r)
	if owner == nil {
		return
	}
	link, waited := p.link, s.countWait()
	if s.clustered() {
		s.sendToNode(it, r, owner, raw, outside, binds)
	} else {
		s.send(link, owner, raw, it.id)
	}
	link.Delayed(waited)
	switch {
	case p.tx != none && r != multi:
		p.queued++
	case r == waits && mayBlock(it):
		p.blocking = s.sent
		s.endWait()
	}
	barred := p.listening && s.proto == 2 // Redis refuses it to a subscriber
	if (r == exec || r == discard) && p.tx != none || r == unwatch && p.tx == none && !barred {
		p.watching, p.poisoned = false, false
	}
	if (r == exec || r == discard) && p.tx != none {
		p.tx = none
		if p.selected && r == exec {
			s.probe()
		}
		p.selected = false
	}
}

// ownPinned returns what is sent for a command, and who owns it, and notes what it will do to
// the link; without an owner nothing is to be sent: it is answered, or gets no answer.
func (s *Session) ownPinned(it *item, r role) (owner pool.Owner, raw []byte) {
	p := &s.pin
	owner, raw = s, it.frame.Raw
	switch r {
	case multi:
		if p.tx == none && (!p.listening || s.proto == 3) {
			p.tx = opened
			p.begun++
			p.queued = 0
			s.group.slot = -1
			owner = &beginning{s, p.begun}
		}
	case exec:
		if (p.tx == doomed || p.tx == opened && p.poisoned) && it.id.ArityOK(it.frame.Args) {
			owner, raw = &instead{s, execAbort}, discardCommand
		}
	case selects:
		if p.tx == none {
			db, _ := strconv.Atoi(string(it.frame.Sub))
			owner = &selecting{s, db}
		}
		p.selected = p.selected || p.tx != none && !s.clustered() // a cluster has one database
	case waits:
		if name := it.id.Info().Name; p.tx == none && (name == "wait" || name == "waitaof") {
			// WAIT is about the writes before the connection's last command: this makes
			// them the session's, which went over other links.
			p.link.Ask(func([]byte) {}, "PING")
		}
	case watch:
		p.watching = p.watching || p.tx == none
	case tracks:
		owner, raw = s.tracked(it)
	case monitor:
		if p.monitors {
			return nil, nil // Redis does not answer a second one
		}
		if p.tx == none {
			p.changing++
			owner = &monitoring{s}
		}
	case spoils:
		p.spoilt = true
	case tells:
		if p.tx != none {
			s.refuseInTransaction(it, r) // EXEC would tell what is not true for the key
			return nil, nil
		}
		owner, raw = s.tellTruth(it, raw)
	case onShared:
		if s.redirect.backend != 0 && asksBackend[it.id.Info().Name] {
			owner = &redirected{Session: s}
		}
	}
	return owner, raw
}

// sendListening sends a command that subscribes or unsubscribes.
func (s *Session) sendListening(it *item, r role) {
	p := &s.pin
	if p.tx != none {
		// Redis would answer EXEC with more elements than it announces.
		s.refuseInTransaction(it, r)
		return
	}
	p.listening = true
	s.link, s.last = p.link, 0
	s.sent++
	waited := s.countWait()
	if err := p.link.Listen(s, it.frame.Raw, it.id, it.frame.Args-1, s.core.Clock.Nanos()); err != nil {
		s.Failed(it.id, err)
		return
	}
	p.link.Delayed(waited)
	p.link.Limited(1, s.waited)
}

// countWait counts the time that the command at hand has waited for the session's own link.
func (s *Session) countWait() time.Duration {
	waited := s.pin.waited
	s.pin.waited = 0
	s.meter.Waited(int64(waited), 1)
	return waited
}

var (
	notBegun       = []byte("-EXECABORT Transaction not begun: MULTI was refused. EXEC or DISCARD ends this state.\r\n")
	execAbort      = []byte("-EXECABORT Transaction discarded because of previous errors.\r\n")
	discardCommand = []byte("*1\r\n$7\r\nDISCARD\r\n")
)

// send hands a command to a link; its reply goes to owner, which is the session or
// passes it on to it. False says that it was refused, and the client has been told.
func (s *Session) send(l *pool.Link, owner pool.Owner, raw []byte, id command.ID) bool {
	pos, err := l.Send(owner, raw, id, s.core.Clock.Nanos())
	if err != nil {
		s.refuse(id, unservedBy(err), err.Error())
		return false
	}
	if s.waited > 0 {
		l.Limited(1, s.waited)
	}
	if s.muteNow != s.cut { // replies that are kept back are delivered apart
		if s.owed() > 0 {
			l.Cut(s.last)
		}
		s.cut = s.muteNow
	}
	if s.muteNow {
		s.muteRelayed()
	}
	s.link, s.last = l, pos
	s.sent++
	return true
}

// unpin gives the session's own link back, or the wish for one up.
func (s *Session) unpin() {
	p := s.pin
	s.pin = pinned{tx: p.tx, poisoned: p.poisoned, err: p.err}
	if p.cancel != nil {
		p.cancel()
		s.resume()
	}
	if p.link == nil {
		return
	}
	state := pool.Clean
	switch {
	case p.tracking || p.untouched || p.monitors || p.listening || p.probing || p.asking || p.changing > 0:
		state = pool.Spoilt
	case p.spoilt:
		state = pool.Unknown
	case p.watching || p.tx == opened || p.tx == doomed:
		state = pool.Watched
	}
	if s.link == p.link {
		s.link = nil
	}
	p.link.GiveBack(state)
}

// settlePinned gives the own link back as soon as nothing binds the session to it.
func (s *Session) settlePinned() {
	p := &s.pin
	if p.link == nil || s.owed() > 0 || s.partial {
		return
	}
	p.listening = p.listening && p.link.Subscribed() > 0
	if !p.bound() {
		s.unpin()
	}
}

// Pushed implements pool.Holder.
func (s *Session) Pushed(b []byte, partial bool) {
	s.partial = partial
	if s.closed {
		return
	}
	s.push(b)
	if !partial {
		s.flushCalls()
		s.answered()
	}
}

// Lost implements pool.Holder. What the session had on the link, such as a
// transaction, is gone: its client must know. In the middle of a message nothing else can follow.
func (s *Session) Lost(error) {
	if s.pin.link == nil {
		return
	}
	bound := s.pin.bound()
	if s.link == s.pin.link {
		s.link = nil
	}
	if lost := s.pin; bound {
		s.pin = pinned{}
	} else {
		s.pin = pinned{tx: lost.tx, poisoned: lost.poisoned, err: lost.err} // which the link knew nothing of
	}
	switch {
	case s.closed:
	case s.partial:
		s.drop(errTorn)
	case bound:
		s.finish()
	}
}
