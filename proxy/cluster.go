package proxy

import (
	"cmp"
	"slices"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/pool"
)

// crossSlot is Redis's complaint about a command with keys of several slots.
const crossSlot = "CROSSSLOT Keys in request don't hash to the same slot"

// noCluster is what a server that is in no cluster answers to CLUSTER.
const noCluster = "ERR This instance has cluster support disabled"

// notInCluster are commands that only tell the truth on one server.
var notInCluster = []string{"waitaof", "client|tracking", "client|no-touch", "client|caching"}

// place is how a cluster serves a command, other than by its keys.
type place struct {
	refused bool
	cluster bool                             // it is CLUSTER
	split   splitting                        // where its keys are of several slots
	spread  func(*Session, *item, role) bool // nil: any node serves it, if it has no keys
}

// places has each command's.
var places = func() (all [command.Num]place) {
	for i := range all {
		info := command.ID(i).Info()
		all[i] = place{
			refused: slices.Contains(notInCluster, info.Name), cluster: info.Top.Info().Name == "cluster",
			split: splits[info.Name], spread: spreads[info.Name],
		}
	}
	return all
}()

// relayCluster sends a command to the node that has its keys, to all that have some, or to
// any: a client sees one server. False says that it must wait.
func (s *Session) relayCluster(it *item, r role) bool {
	p := &s.pin
	if s.pin.tx == pending || r == multi && p.link == nil && p.tx == none && it.id.ArityOK(it.frame.Args) {
		return s.queue(it, r)
	}
	place := &places[it.id]
	switch {
	case place.refused && p.tx == none:
		s.refuse(it.id, unsupported, "the '", it.id.Info().Name, "' command is not supported for a cluster")
		s.turnedDown(r)
		return true
	case !it.id.ArityOK(it.frame.Args) && p.tx == none && r != exec: // which ends what is watched at the node
		s.wrongArity(it)
		return true
	}
	switch {
	case p.tx != none:
	case it.id == ssubscribe, it.id == sunsubscribe:
		return s.relayShards(it)
	case s.sharded() && s.proto == 2 && !p.listening && r != listen && r != unlisten:
		s.subscriberOnly(it)
		return true
	}
	slot, same := s.slotOf(it)
	switch {
	case p.tx != none:
		return s.relayInside(it, r, slot, same)
	case p.listening && s.proto == 2 && r != listen && r != unlisten:
		return s.relayListening(it)
	case place.cluster:
		s.refuse(it.id, badRequest, noCluster)
		return true
	case !same && place.split.join != nil:
		return s.split(it, place.split)
	case !same:
		s.refuse(it.id, badRequest, crossSlot)
		s.turnedDown(r)
		return true
	case place.spread != nil:
		return place.spread(s, it, r)
	case r > onScripts:
		return s.relayToOwner(it, r, slot)
	}
	node := s.group.at
	if slot >= 0 {
		if node = s.group.layout.Owner(slot); node < 0 {
			s.unowned(it, r)
			return true
		}
	} else if it.id == publish && it.frame.Args > 1 {
		// What different nodes publish comes in any order: a channel's goes to one.
		node = max(0, s.group.layout.Owner(pool.Slot(it.frame.Sub)))
	}
	return s.relayCall(it, r, node, slot)
}

var publish = command.Lookup([]byte("publish"))

// unowned refuses a command whose slot nobody has, as Redis does.
func (s *Session) unowned(it *item, r role) {
	s.group.topology.Refresh()
	s.refuse(it.id, badRequest, "CLUSTERDOWN Hash slot not served")
	s.turnedDown(r)
}

// slotOf returns the slot of a command's keys, -1 without any; same is false when they are
// of several.
func (s *Session) slotOf(it *item) (slot int, same bool) {
	specs := it.id.Info().Keys
	if len(specs) == 1 && specs[0] == oneKey && it.frame.Args > 1 {
		return pool.Slot(it.frame.Sub), true
	}
	if it.id == command.Other && it.frame.Args > 1 { // a module's, most of which begin with a key
		return pool.Slot(it.frame.Sub), true
	}
	if len(specs) == 0 {
		return -1, true
	}
	c := s.core
	c.args = it.frame.AppendArgs(c.args[:0])
	c.keys, _ = it.id.AppendKeys(c.keys[:0], c.args)
	slot, same = -1, true
	for _, k := range c.keys {
		switch of := pool.Slot(c.args[k]); {
		case slot < 0:
			slot = of
		case slot != of:
			same = false
		}
	}
	return slot, same
}

// oneKey is how most commands have their key.
var oneKey = command.KeySpec{Pos: 1, Step: 1}

// relayToOwner sends a command over a link of the session's own, to the node that has its
// slot.
func (s *Session) relayToOwner(it *item, r role, slot int) bool {
	p := &s.pin
	node := s.group.at
	if slot >= 0 {
		if node = s.nodeOf(slot); node < 0 {
			s.unowned(it, r)
			return true
		}
	}
	switch {
	case p.link == nil:
	case p.bound() && node != s.group.at: // what it has there binds it to another node
		s.refuse(it.id, badRequest, crossSlot)
		s.turnedDown(r)
		return true
	case p.bound():
	case s.owed() > 0: // to a command that waits, and may have to elsewhere
		s.pause(idleness)
		return false
	case node != s.group.at: // the slot has moved while the link was waited for
		s.unpin()
	}
	s.group.at = node
	return s.relayPinned(it, r)
}

// nodeOf is the primary that has a slot, -1 is none. What the session's own link was sent to is
// right, whatever the layout says.
func (s *Session) nodeOf(slot int) int {
	if s.pin.hosts == slot+1 {
		return s.group.at
	}
	return s.group.layout.Owner(slot)
}

// relayListening serves a command of a RESP2 client that is subscribed. A node would say
// first that it does not have the keys.
func (s *Session) relayListening(it *item) bool {
	switch {
	case it.id == command.Other, it.id.Info().Name == "ping":
		return s.relayPinned(it, waits)
	case s.owed() > 0: // it may not be any more
		s.pause(idleness)
		return false
	}
	s.refuseListening(it)
	return true
}

// relayInside sends a command to where a transaction is open: all its keys must be of one
// slot.
func (s *Session) relayInside(it *item, r role, slot int, same bool) bool {
	g := &s.group
	switch o := g.opening; {
	case o == nil:
	case o.vain: // it goes on at another node
		s.pause(someone)
		return false
	case o.full(it.frame.Raw):
		s.pause(idleness)
		return false
	}
	switch {
	case places[it.id].spread != nil, places[it.id].refused:
		s.refuseSpread(it, r)
		return true
	case slot < 0:
		it.frame.Raw = standIn(it, r)
	case !same, g.slot >= 0 && slot != g.slot, g.slot < 0 && s.nodeOf(slot) != g.at:
		s.refuse(it.id, badRequest, crossSlot)
		s.turnedDown(r)
		return true
	default:
		g.slot = slot
	}
	return s.relayPinned(it, r)
}

// refuseSpread refuses in a transaction what asks several servers: what they hold could not be
// seen, or changed, in one moment.
func (s *Session) refuseSpread(it *item, r role) {
	s.refuse(it.id, unsupported, "the '", it.id.Info().Name, "' command asks all servers of a cluster, and a transaction runs on one of them")
	s.turnedDown(r)
}

// moved makes what a node says of a slot that it does not have, or not any more, an error
// for a client that knows of no slots. Nothing has been executed.
type moved struct {
	pool.Owner
	topology *pool.Topology
	instead  string // what the client is told, if not movedText
}

// queuedText is what a server says to a command in a transaction that comes to nothing.
func queuedText(r role) string {
	if r == watch {
		return "-ERR WATCH inside MULTI is not allowed\r\n"
	}
	return "+QUEUED\r\n"
}

// Client implements pool.Rider.
func (m moved) Client() pool.Owner {
	if r, ok := m.Owner.(pool.Rider); ok {
		return r.Client()
	}
	return m.Owner
}

const movedText = "-TRYAGAIN The key is being moved to another server\r\n"

// Replies implements pool.Owner.
func (m moved) Replies(b []byte, done int, partial bool) {
	if len(b) > 5 && (string(b[:5]) == "-MOVE" || string(b[:5]) == "-ASK ") {
		m.topology.Refresh()
		b = []byte(cmp.Or(m.instead, movedText))
	}
	m.Owner.Replies(b, done, partial)
}
