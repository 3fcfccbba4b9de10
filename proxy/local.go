package proxy

import (
	"cmp"
	"errors"
	"strings"
	"time"

	"github.com/tidwall/redcon"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/resp"
)

func since(c Clock, nanos int64) time.Duration { return time.Duration(c.Nanos() - nanos) }

func equalFold(b []byte, word string) bool { return strings.EqualFold(string(b), word) }

// answer serves a command that is not relayed.
func (s *Session) answer(it *item) {
	name := it.id.Info().Name
	top := it.id.Info().Top.Info().Name
	switch {
	case it.id == command.Other && crossProtocol(it):
		s.drop(errCrossProtocol)
	case it.verdict == denied:
		if !it.id.ArityOK(it.frame.Args) {
			s.wrongArity(it)
			return
		}
		if it.id == command.Other {
			name = strings.ToLower(printable(it.frame.Name))
		}
		s.noteDenial(it)
		s.refuse(it.id, noPerm, name, "' command")
	case it.verdict == impossible:
		s.refuse(it.id, unsupported, "the '", name, "' command is not supported by this proxy")
	case top == "auth" || top == "hello" || top == "quit" || top == "reset":
		s.answerAlways(it, top)
	case s.principal == nil:
		s.refuse(it.id, noAuth)
	case !it.id.ArityOK(it.frame.Args):
		s.wrongArity(it)
	case top == "select":
		s.selectDB(it)
	case top == "proxy":
		s.operate(it)
	default:
		s.serveLocal(it)
	}
}

// answerAlways serves what may be sent before authentication.
func (s *Session) answerAlways(it *item, name string) {
	if !it.id.ArityOK(it.frame.Args) {
		s.wrongArity(it)
		return
	}
	switch name {
	case "auth":
		s.auth(it)
	case "hello":
		s.hello(it)
	case "quit":
		s.say([]byte("+OK\r\n"))
		s.finish()
	case "reset":
		s.proto, s.db = 2, 0
		s.rename(&s.name, "")
		s.off, s.skip, s.muteNow = false, false, false
		s.logOut()
		s.say([]byte("+RESET\r\n"))
	}
}

// crossProtocol reports whether a browser was tricked into sending this; Redis closes
// such a connection too.
func crossProtocol(it *item) bool {
	return equalFold(it.frame.Name, "post") || equalFold(it.frame.Name, "host:")
}

var errCrossProtocol = errors.New("HTTP request on the Redis port")

// printable makes a client's word fit into an error line, at most 128 bytes as
// in Redis.
func printable(b []byte) string {
	b = b[:min(len(b), 128)]
	return strings.Map(func(r rune) rune {
		if r == '\r' || r == '\n' {
			return ' '
		}
		return r
	}, string(b))
}

func (s *Session) wrongArity(it *item) {
	s.refuse(it.id, badRequest, "ERR wrong number of arguments for '", it.id.Info().Name, "' command")
}

// hello serves HELLO [version [AUTH name key] [SETNAME name]].
func (s *Session) hello(it *item) {
	args := it.frame.AppendArgs(nil)
	proto := s.proto
	if len(args) > 1 {
		v, ok := resp.ParseInt(args[1])
		if !ok {
			s.refuse(it.id, badRequest, "ERR Protocol version is not an integer or out of range")
			return
		}
		if v != 2 && v != 3 {
			s.refuse(it.id, badRequest, "NOPROTO unsupported protocol version")
			return
		}
		proto = int(v)
	}
	var user, key []byte
	name, named := "", false
	for i := 2; i < len(args); i++ {
		switch left := len(args) - 1 - i; {
		case equalFold(args[i], "auth") && left >= 2:
			user, key = args[i+1], args[i+2]
			i += 2
		case equalFold(args[i], "setname") && left >= 1:
			name, named = string(args[i+1]), true
			if !validName(name) {
				s.refuse(it.id, badRequest, "ERR "+badName)
				return
			}
			i++
		default:
			s.refuse(it.id, badRequest, "ERR Syntax error in HELLO option '", printable(args[i]), "'")
			return
		}
	}
	then := func() {
		s.greet(it.id, proto, func() {
			if named {
				s.rename(&s.name, name)
			}
		}, func() {
			if key != nil {
				s.logOut() // HELLO did not succeed: nothing of it has
			}
		})
	}
	switch {
	case (s.pin.link != nil || s.sharded()) && proto != s.proto:
		s.refuse(it.id, unsupported, "the protocol cannot change while keys are watched, channels subscribed or keys tracked")
	case key != nil:
		s.authenticate(it.id, user, key, then)
	case s.principal == nil:
		s.refuse(it.id, badRequest, "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time")
	default:
		then()
	}
}

// greet answers HELLO with what the backend says of itself, after a call of done, or
// refuses it and calls undo.
func (s *Session) greet(id command.ID, proto int, done, undo func()) {
	s.onLink(id, s.db, proto, func(*pool.Error) { undo() }, func(l *pool.Link) {
		done()
		if proto != s.proto {
			s.releaseLinks()
			s.proto = proto
		}
		b := s.core.scratch[:0]
		if proto == 3 {
			b = append(b, "%7\r\n"...)
		} else {
			b = redcon.AppendArray(b, 14)
		}
		b = redcon.AppendBulkString(redcon.AppendBulkString(b, "server"), "redis")
		b = redcon.AppendBulkString(redcon.AppendBulkString(b, "version"), l.Hello().Version)
		b = redcon.AppendInt(redcon.AppendBulkString(b, "proto"), int64(proto))
		b = redcon.AppendInt(redcon.AppendBulkString(b, "id"), s.id)
		b = redcon.AppendBulkString(redcon.AppendBulkString(b, "mode"), "standalone")
		b = redcon.AppendBulkString(redcon.AppendBulkString(b, "role"), cmp.Or(l.Hello().Role, "master"))
		b = redcon.AppendArray(redcon.AppendBulkString(b, "modules"), 0)
		s.say(b)
	})
}

// onLink calls then once the link for db and proto is up, or refuses the command
// with the reason why it cannot be and calls undo. Nothing else is looked at meanwhile.
func (s *Session) onLink(id command.ID, db, proto int, undo func(*pool.Error), then func(*pool.Link)) {
	key := s.key(db, pool.Plain)
	key.Proto = proto
	l := s.core.Links.Shared(key)
	refuse := func(err *pool.Error) {
		s.refuse(id, unservedBy(err), err.Error())
		undo(err)
	}
	if l == nil {
		refuse(pool.ErrBusy)
		return
	}
	l.Acquire()
	s.pause(someone)
	route := s.principal.Route
	l.WhenUp(func(err *pool.Error) {
		defer l.Release()
		switch {
		case s.closed:
			return
		case !s.principal.Route.SameWay(route):
			refuse(&pool.Error{Reason: movedAway})
		case err == nil:
			then(l)
		case s.heldOff(func() { s.onLink(id, db, proto, undo, then) }):
			return
		default:
			refuse(err)
		}
		s.resume()
	})
}
