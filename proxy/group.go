package proxy

import (
	"slices"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/pool"
)

// group is what a session has whose instance has several servers.
type group struct {
	topology *pool.Topology // nil: the instance is one server
	layout   *pool.Layout   // that its links belong to
	links    []nodeLinks    // by primary
	calls    calls          // under way, oldest first
	commands int            // bytes of theirs that are kept
	way      way            // that they have gone
	moving   bool           // some of them have been sent again
	again    []*call        // of them, those that wait to be sent again, in order
	shards   map[pool.Backend]*shard
	channels map[string]*shard // shard channels that are subscribed to; nil: where its slot is now is being found out
	pushed   []byte            // messages on them that came in the middle of something else
	queued   [][]byte          // what is in a transaction that has no key yet
	opening  *opening          // of the transaction, until its first key has been found
	doomed   bool              // the open transaction comes to nothing, and its slot may be elsewhere
	acks     *acks             // of a WAIT that is under way
	strays   []pool.Backend    // that commands have been sent to and that the layout did not have
	at       int               // the primary that a link of its own is to, or is to be
	slot     int               // of the open transaction; -1 is none yet
}

// way is by which of its links to a primary a session's calls go: by one at a time, since on
// another one a command might overtake an earlier one with the same keys.
type way uint8

const (
	toPrimary way = iota
	toScripts
	toReader
)

// nodeLinks are a session's links to one primary, and to who is read from in its place.
type nodeLinks struct {
	lanes  [2]*pool.Link
	reader *pool.Link
}

func (s *Session) clustered() bool {
	return s.group.topology != nil && s.group.topology.Backend.Group == pool.Cluster
}

// join makes the session one of a group's, if its backend is one.
func (s *Session) join() {
	if s.backend.Group != pool.Single {
		r := s.principal.Route
		s.group = group{topology: s.core.Topologies.Of(r.InstanceID, r.Label, s.backend), slot: -1}
	}
}

// quit undoes join.
func (s *Session) quit() {
	if s.group.topology == nil {
		return
	}
	for c := s.group.calls.head; c != nil; c = c.next {
		s.keep(-len(c.raw) - len(c.reply))
		c.s = nil // what is answered yet is nobody's
	}
	s.dropQueue()
	if o := s.group.opening; o != nil {
		o.end()
	}
	s.leaveShards()
	if w := s.group.acks; w != nil {
		w.release()
	}
	s.group.topology.Release()
	s.group = group{}
}

// placed calls then once it is known, or known not to be known, who is who in the
// session's group.
func (s *Session) placed(then func()) {
	t := s.group.topology
	if t == nil || t.Layout() != nil {
		then()
		return
	}
	s.pause(someone)
	s.core.await(t, func() {
		if s.closed {
			return
		}
		s.wait = nothing
		if s.group.topology == t {
			then()
		} else {
			s.placed(then) // its instance has another URL now
		}
		if s.wait == nothing {
			s.resume()
		}
	})
}

// await calls fn when a group has been looked at.
func (c *Core) await(t *pool.Topology, fn func()) {
	if c.awaiting == nil {
		c.awaiting = map[*pool.Topology][]func(){}
	}
	c.awaiting[t] = append(c.awaiting[t], fn)
	if !t.Await() {
		c.Looked(t)
	}
}

// Looked is told that a group has been looked at, or will not be any more: what waits for
// that goes on.
func (c *Core) Looked(t *pool.Topology) {
	waiting := c.awaiting[t]
	delete(c.awaiting, t)
	for _, fn := range waiting {
		fn()
	}
}

// server is who the session's links are to, those that are not chosen by slot.
func (s *Session) server() pool.Backend {
	if s.group.topology == nil {
		return s.backend
	}
	l := s.group.topology.Layout()
	if l == nil || len(l.Primaries) == 0 {
		return s.backend // dialling says why that is none
	}
	return l.Primaries[min(s.group.at, len(l.Primaries)-1)]
}

// located takes over the group's layout; false says that the session must wait: what is
// under way ends first, so that no command overtakes another one with the same keys.
func (s *Session) located(l *pool.Layout) bool {
	if l == s.group.layout {
		return true
	}
	if s.owed() > 0 {
		s.pause(idleness)
		return false
	}
	if l.SameServers(s.group.layout) {
		s.group.layout = l
		return true
	}
	s.releaseLinks()
	s.group.strays = slices.DeleteFunc(s.group.strays, func(b pool.Backend) bool { return slices.Contains(l.Primaries, b) })
	s.group.layout = l
	s.group.links = make([]nodeLinks, len(l.Primaries))
	s.group.at = -1
	if s.pin.link != nil {
		s.group.at = slices.Index(l.Primaries, s.pin.link.Key().Backend)
	}
	if s.group.at < 0 {
		s.group.at = int(s.id % int64(len(l.Primaries)))
	}
	return true
}

// releaseLinks lets go of all shared links.
func (s *Session) releaseLinks() {
	s.releaseNodes()
	for i, l := range s.links {
		if l != nil {
			l.Release()
			s.links[i] = nil
		}
	}
}

func (s *Session) releaseNodes() {
	for i := range s.group.links {
		n := &s.group.links[i]
		for _, l := range []*pool.Link{n.lanes[0], n.lanes[1], n.reader} {
			if l != nil {
				l.Release()
			}
		}
	}
	s.group.links, s.group.layout = nil, nil
}

// relayGrouped sends a command to one of the group's servers; false says that it must wait.
func (s *Session) relayGrouped(it *item, r role) bool {
	if t := s.group.topology; t.Unseen() { // the instance has another URL now
		s.pause(someone)
		s.core.await(t, func() {
			if s.group.topology == t && s.wait == someone && !s.closed {
				s.resume()
			}
		})
		return false
	}
	l := s.group.topology.Layout()
	if l == nil || len(l.Primaries) == 0 {
		s.group.topology.Refresh()
		s.refuse(it.id, backendUnavailable, s.group.topology.Refusal().Error())
		s.turnedDown(r)
		return true
	}
	if !s.located(l) {
		return false
	}
	if s.clustered() {
		return s.relayCluster(it, r)
	}
	if r > onScripts || s.pin.link != nil && (s.pin.bound() || s.owed() > 0 && s.link == s.pin.link) {
		return s.relayPinned(it, r)
	}
	return s.relayCall(it, r, 0, -1)
}

// relayCall sends a command as a call to primary node, or to who is read from instead;
// false says that it must wait.
func (s *Session) relayCall(it *item, r role, node, slot int) bool {
	if r == tells {
		owner, raw := s.tellTruth(it, it.frame.Raw)
		return s.relayAs(it, r, node, slot, owner, raw)
	}
	return s.relayAs(it, r, node, slot, s, it.frame.Raw)
}

// relayAs is relayCall for a command whose bytes are raw and whose reply goes to owner.
func (s *Session) relayAs(it *item, r role, node, slot int, owner pool.Owner, raw []byte) bool {
	link, by := s.nodeLink(it, r, node)
	if link == nil { // there are too many to share
		return s.relayPinned(it, waits)
	}
	if !s.mayCall(link, by) {
		return false
	}
	if link.Connected() {
		s.meter.tenant.Phase(metrics.PhasePool, 0, 1)
	}
	c := s.newCall(it.id, owner, raw, slot)
	if s.clustered() {
		c.home = s.group.layout.Lowest[node]
	}
	c.send(link)
	return true
}

// mayCall reports whether a call may be made now; else the session waits until it may. It must
// not overtake those under way: some that have been sent again, some over a link of the
// session's own, or in another way. A replica may be asked while a write is under way: it may
// not know of that yet anyway.
func (s *Session) mayCall(link *pool.Link, by way) bool {
	if s.owed() == 0 {
		s.group.moving = false
	}
	switch {
	case s.owed() > 0 && (s.link != nil || s.group.moving): // over a link of its own, or again
		s.pause(idleness)
	case s.owed() > 0 && by != s.group.way && by != toReader:
		s.pause(idleness)
	case s.owed() > 0 && s.kept > readAhead: // a slow server's reply holds up too many others
		s.pause(idleness)
	case s.owed() >= maxOwed:
		s.pause(fewer)
	case link != nil && link.Full():
		s.pause(someone)
		link.WhenRoom(s.resume)
	default:
		s.link, s.group.way = nil, by
		return true
	}
	return false
}

// laneOf is the lane that a command goes in.
func laneOf(id command.ID) pool.Lane {
	if id.Info().Class == command.Script {
		return pool.Scripts
	}
	return pool.Plain
}

// nodeLink is the session's link to a primary for a command, or to who is read from in its
// place; nil when there are too many links to the instance. While keys are watched only the
// primary is read from: what a replica says may be older than the watch, and EXEC would not
// notice.
func (s *Session) nodeLink(it *item, r role, node int) (*pool.Link, way) {
	n := &s.group.links[node]
	if readers := s.group.layout.Readers[node]; len(readers) > 0 && r == onShared && !s.pin.watching && it.id.Info().Flags&command.FlagReadonly != 0 {
		if n.reader == nil {
			n.reader = s.acquire(readers[int(s.id%int64(len(readers)))], pool.Plain)
		}
		if n.reader != nil {
			switch {
			case n.reader == n.lanes[pool.Plain]: // the primary is the nearest
				return n.reader, toPrimary
			case n.reader.Connected():
				return n.reader, toReader
			}
			n.reader.Want() // and the primary serves meanwhile
		}
	}
	lane, by := pool.Plain, toPrimary
	if r == onScripts {
		lane, by = pool.Scripts, toScripts
	}
	if n.lanes[lane] == nil {
		n.lanes[lane] = s.acquire(s.group.layout.Primaries[node], lane)
	}
	return n.lanes[lane], by
}

// wayOf is the way of a command that is sent in parts.
func wayOf(id command.ID) way {
	if id.Info().Class == command.Script {
		return toScripts
	}
	return toPrimary
}

// acquire gets a shared link to a member of the group; nil when there are too many.
func (s *Session) acquire(member pool.Backend, lane pool.Lane) *pool.Link {
	l := s.core.Links.Shared(s.keyTo(member, s.db, lane))
	if l != nil {
		l.Acquire()
	}
	return l
}
