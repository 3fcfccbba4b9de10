package proxy

import (
	"github.com/tidwall/redcon"
)

// serveHere serves a command that is not relayed; false says that it must wait, and
// is to be looked at again.
func (s *Session) serveHere(it *item, r role) bool {
	p := &s.pin
	name, top := it.id.Info().Name, it.id.Info().Top.Info().Name
	ending := top == "quit" || top == "reset"
	switch {
	case it.verdict != local && it.verdict != surveys:
		s.answer(it)
		s.turnedDown(r)
	case s.owed() > 0 && s.principal != nil && (ending || top == "auth" || top == "hello"):
		s.pause(idleness) // what is owed is the key's that asked for it
		return false
	case s.principal != nil && p.tx == none && r == tracks:
		return s.track(it)
	case s.principal != nil && p.tx == none && asksBackend[name]:
		return s.relay(it, onShared)
	case s.owed() > 0 && asksOthers[name]:
		s.pause(idleness)
		return false
	case p.link == nil && p.tx == none && len(s.group.shards) == 0 && (s.group.topology == nil || s.owed() == 0):
		s.answer(it)
	case r == selects && p.link != nil && !s.clustered():
		return s.relayPinned(it, r)
	case (p.link != nil || s.group.topology != nil) && s.owed() > 0:
		s.pause(idleness)
		return false
	case ending:
		s.answer(it)
	case p.tx == refused:
		s.say(notBegun)
	case p.tx != none:
		s.refuseInTransaction(it, r)
	case s.listens() && s.proto == 2:
		s.refuseListening(it)
	default:
		s.answer(it)
	}
	return true
}

// refuseListening refuses what a RESP2 client may not while it is subscribed.
func (s *Session) refuseListening(it *item) {
	s.refuse(it.id, badRequest, "ERR Can't execute '", it.id.Info().Name, "': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context")
}

func (s *Session) refuseInTransaction(it *item, r role) {
	s.refuse(it.id, unsupported, "the '", it.id.Info().Name, "' command is not possible inside a transaction here")
	s.turnedDown(r)
}

// answerUnpinned serves what ends something that has not begun, without a backend.
func (s *Session) answerUnpinned(it *item, r role) {
	b := s.core.scratch[:0]
	switch {
	case !it.id.ArityOK(it.frame.Args):
		s.wrongArityOf(it, r)
		if r == exec {
			s.pin.tx, s.pin.poisoned = none, false
		}
		return
	case r == exec && s.pin.tx == refused:
		b = append(b, execAbort...)
	case r == exec:
		b = append(b, "-ERR EXEC without MULTI\r\n"...)
	case r == discard && s.pin.tx != refused:
		b = append(b, "-ERR DISCARD without MULTI\r\n"...)
	case r == unlisten:
		b = s.appendUnsubscribed(b, it)
	default:
		b = append(b, "+OK\r\n"...)
	}
	if r == exec || r == discard {
		s.pin.tx = none
	}
	if r != unlisten {
		s.pin.poisoned = false
	} else {
		s.muteNow = false // Redis pushes these
	}
	s.say(b)
}

// wrongArityOf is wrongArity for a command that may be EXEC, which discards then.
func (s *Session) wrongArityOf(it *item, r role) {
	if r == exec {
		s.say([]byte("-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command\r\n"))
		return
	}
	s.wrongArity(it)
}

// appendUnsubscribed appends the confirmations of an UNSUBSCRIBE by a client that is
// not subscribed.
func (s *Session) appendUnsubscribed(b []byte, it *item) []byte {
	names := it.frame.AppendArgs(nil)[1:]
	if len(names) == 0 {
		names = [][]byte{nil}
	}
	kind := byte('*')
	if s.proto == 3 {
		kind = '>'
	}
	word := it.id.Info().Name
	for _, name := range names {
		b = append(b, kind)
		b = append(b, "3\r\n"...)
		b = redcon.AppendBulkString(b, word)
		switch {
		case name != nil:
			b = redcon.AppendBulkString(b, string(name))
		case s.proto == 3:
			b = append(b, "_\r\n"...)
		default:
			b = append(b, "$-1\r\n"...)
		}
		b = append(b, ":0\r\n"...)
	}
	return b
}
