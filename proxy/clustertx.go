package proxy

import (
	"bytes"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/resp"
)

// maxQueued bounds the bytes of the commands that wait for a transaction's first key.
const maxQueued = 1 << 20

// queue serves a command of a transaction of which no key is known yet, so that it is not
// known where it is to be. MULTI and what has no keys are answered here, and sent once the
// first key is there. False says that the command must wait.
func (s *Session) queue(it *item, r role) bool {
	p, g := &s.pin, &s.group
	if s.owed() > 0 {
		s.pause(idleness)
		return false
	}
	slot, same := s.slotOf(it)
	switch {
	case p.tx == none: // MULTI
		p.tx = pending
		g.slot = -1
		s.say([]byte("+OK\r\n"))
	case !it.id.ArityOK(it.frame.Args):
		s.wrongArityOf(it, r)
		if p.poisoned = true; r == exec {
			s.endQueue()
		}
	case r == multi:
		s.refuse(it.id, badRequest, "ERR MULTI calls can not be nested")
	case r == watch:
		s.refuse(it.id, badRequest, "ERR WATCH inside MULTI is not allowed")
	case r == discard:
		s.endQueue()
		s.say([]byte("+OK\r\n"))
	case r == exec && p.poisoned:
		s.endQueue()
		s.say(execAbort)
	case r == exec && len(g.queued) == 0:
		s.endQueue()
		s.say([]byte("*0\r\n"))
	case places[it.id].spread != nil, places[it.id].refused:
		s.refuseSpread(it, r)
	case r == listen, r == unlisten, r == tells, r == monitor:
		s.refuseInTransaction(it, r)
	case !same:
		s.refuse(it.id, badRequest, crossSlot)
		p.poisoned = true
	case slot < 0 && r != exec:
		if g.queuedBytes()+len(it.frame.Raw) > maxQueued {
			s.refuse(it.id, unsupported, "too much is in the transaction before its first key")
			p.poisoned = true
			break
		}
		raw := bytes.Clone(standIn(it, r))
		g.queued = append(g.queued, raw)
		s.keep(len(raw))
		s.say([]byte("+QUEUED\r\n"))
	default:
		return s.open(it, r, slot)
	}
	return true
}

func (s *Session) endQueue() {
	s.pin.tx, s.pin.poisoned = none, false
	s.dropQueue()
}

// dropQueue forgets what waits for a transaction's first key.
func (s *Session) dropQueue() {
	s.keep(-s.group.queuedBytes())
	s.group.queued = nil
}

func (g *group) queuedBytes() (n int) {
	for _, raw := range g.queued {
		n += len(raw)
	}
	return n
}

// open begins the transaction at the node that has slot, or at any, and sends what waits.
// The command is looked at again when the node has accepted that.
func (s *Session) open(it *item, r role, slot int) bool {
	p, g := &s.pin, &s.group
	if p.err != nil {
		s.notPinned(it, r)
		p.poisoned = true
		return true
	}
	if slot >= 0 {
		if g.at = g.layout.Owner(slot); g.at < 0 {
			g.at = 0
			s.unowned(it, r)
			p.poisoned = true
			return true
		}
	}
	if p.link != nil && p.link.Key().Backend != s.server() {
		s.unpin() // the slot has moved while the link was waited for
	}
	if p.link == nil && !s.borrow(multi) {
		if p.err != nil { // at once
			return s.open(it, r, slot)
		}
		return false
	}
	p.tx, g.doomed = opened, false
	p.begun++
	p.queued = int32(len(g.queued)) //nolint:gosec // at most maxQueued
	g.slot = slot
	s.pause(someone)
	l := p.link
	then := func(reply []byte) {
		switch {
		case s.closed:
			return
		case len(reply) == 0 || p.link != l: // it is lost: Lost ends the session, once it waits no more
		case reply[0] != '+':
			p.tx = pending
			p.err = pool.Refused(reply)
		default:
			for _, raw := range g.queued {
				_, _ = l.Send(unheard{}, raw, command.Other, s.core.Clock.Nanos()) // what is refused dooms the transaction there
			}
			if slot >= 0 {
				g.opening = &opening{s: s, queued: g.queued, held: g.queuedBytes()}
				g.queued = nil
			}
			s.dropQueue()
		}
		s.resume()
	}
	l.Ask(then, "MULTI")
	return false
}

// standIn is what a transaction's node is sent for a command without keys: the command, or, of
// one that a server in no cluster and with one database can only answer with an error, a
// script that says this error.
func standIn(it *item, r role) []byte {
	switch {
	case !it.id.ArityOK(it.frame.Args):
	case places[it.id].cluster:
		return inNoCluster
	case r == selects:
		if db, ok := resp.ParseInt(it.frame.Sub); ok && db != 0 && db == int64(int32(db)) { //nolint:gosec // whether it fits
			return noDatabase
		}
	}
	return it.frame.Raw
}

var (
	inNoCluster = resp.AppendCommand(nil, "EVAL", "return redis.error_reply(ARGV[1])", "0", noCluster)
	noDatabase  = resp.AppendCommand(nil, "EVAL", "return redis.error_reply(ARGV[1])", "0", noSuchDB)
)
