package proxy

import (
	"bytes"
	"maps"
	"slices"

	"github.com/tidwall/redcon"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/resp"
)

// shard is a subscriber's link to one node of a cluster, for the shard channels whose slots
// the node has. A session has as many as its channels' slots need.
type shard struct {
	s       *Session
	backend pool.Backend
	link    *pool.Link
	asking  int    // commands that are not answered
	push    []byte // the beginning of what is pushed
}

// listens reports whether the client is subscribed to anything.
func (s *Session) listens() bool { return s.pin.listening || s.sharded() }

// sharded reports whether it is to shard channels of a cluster, also while one is followed.
func (s *Session) sharded() bool { return len(s.group.shards) > 0 || len(s.group.channels) > 0 }

// relayShards serves SSUBSCRIBE and SUNSUBSCRIBE in a cluster, one channel after the other;
// false says that it must wait.
func (s *Session) relayShards(it *item) bool {
	if s.owed() > 0 || s.partial {
		s.pause(idleness)
		return false
	}
	s.muteNow = false // Redis pushes what these are answered
	var names []string
	for _, name := range it.frame.AppendArgs(nil)[1:] {
		names = append(names, string(name))
	}
	s.pause(someone)
	if it.id == ssubscribe {
		s.subscribe(names, 0)
		return true
	}
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(s.group.channels))
	}
	if len(names) == 0 {
		s.sayShard("sunsubscribe", nil)
		s.resume()
		return true
	}
	s.unsubscribe(names)
	return true
}

var (
	ssubscribe   = command.Lookup([]byte("ssubscribe"))
	sunsubscribe = command.Lookup([]byte("sunsubscribe"))
)

// sayShard confirms a channel, or none, with how many there are now.
func (s *Session) sayShard(word string, name *string) {
	b := []byte("*3\r\n")
	if s.proto == 3 {
		b[0] = '>'
	}
	b = redcon.AppendBulkString(b, word)
	switch {
	case name != nil:
		b = redcon.AppendBulkString(b, *name)
	case s.proto == 3:
		b = append(b, "_\r\n"...)
	default:
		b = append(b, "$-1\r\n"...)
	}
	s.say(redcon.AppendInt(b, int64(len(s.group.channels))))
}

// subscribe subscribes to the first of names, and then to the others. It has been tried so
// many times.
func (s *Session) subscribe(names []string, tries int) {
	if s.closed {
		return
	}
	if len(names) == 0 {
		s.resume()
		return
	}
	name := names[0]
	s.listenAt(name, tries, func(sh *shard, err *pool.Error) {
		if err != nil {
			s.refuse(ssubscribe, unservedBy(err), err.Error())
			s.resume()
			return
		}
		s.note(name, sh)
		s.sayShard("ssubscribe", &name)
		s.subscribe(names[1:], 0)
	})
}

// listenAt subscribes to a channel at the node that has its slot, and calls then, unless the
// client has gone.
func (s *Session) listenAt(name string, tries int, then func(*shard, *pool.Error)) {
	g := &s.group
	if sh := g.channels[name]; sh != nil {
		then(sh, nil)
		return
	}
	l := g.topology.Layout()
	node := l.Owner(pool.Slot([]byte(name)))
	if node < 0 {
		g.topology.Refresh()
		then(nil, &pool.Error{Reply: "CLUSTERDOWN Hash slot not served"})
		return
	}
	s.shardAt(l.Primaries[node], func(sh *shard, err *pool.Error) {
		switch {
		case err != nil && err.Left && tries < maxTries:
			s.listenAgain(name, tries, then)
			return
		case err != nil:
			then(nil, err)
			return
		}
		sh.ask(ssubscribe, name, func(reply []byte) {
			code := string(resp.ErrorCode(reply))
			switch {
			case s.closed || s.group.topology == nil:
			case len(reply) == 0:
				then(nil, &pool.Error{Reason: "connection closed"})
			case reply[0] != '-':
				then(sh, nil)
			case (code == "MOVED" || code == "TRYAGAIN" || code == "CLUSTERDOWN") && tries < maxTries:
				sh.leaveIfUnused()
				s.listenAgain(name, tries, then)
			default:
				sh.leaveIfUnused()
				then(nil, pool.Refused(reply))
			}
		})
	})
}

// listenAgain is listenAt when the cluster has been looked at.
func (s *Session) listenAgain(name string, tries int, then func(*shard, *pool.Error)) {
	t := s.group.topology
	s.core.After(min(firstRetry<<tries, lastRetry), func() {
		s.core.await(t, func() {
			switch {
			case s.closed:
			case s.group.topology != t:
				then(nil, errKeyChanged)
			default:
				s.listenAt(name, tries+1, then)
			}
		})
	})
}

// shardAt gets the session's subscriber link to a node.
func (s *Session) shardAt(backend pool.Backend, then func(*shard, *pool.Error)) {
	g := &s.group
	if sh := g.shards[backend]; sh != nil {
		then(sh, nil)
		return
	}
	t := g.topology
	s.core.Links.Borrow(s.keyTo(backend, s.db, pool.Plain), pool.Subscriber, func(l *pool.Link, err *pool.Error) {
		switch {
		case s.closed || s.group.topology != t:
			if l != nil {
				l.GiveBack(pool.Clean)
			}
			if !s.closed {
				then(nil, errKeyChanged)
			}
			return
		case err != nil:
			then(nil, err)
			return
		}
		if g.shards == nil {
			g.shards, g.channels = map[pool.Backend]*shard{}, map[string]*shard{}
		}
		sh := &shard{s: s, backend: backend, link: l}
		l.Hold(sh)
		g.shards[backend] = sh
		then(sh, nil)
	})
}

// unsubscribe ends the subscriptions to names, the first first.
func (s *Session) unsubscribe(names []string) {
	if s.closed {
		return
	}
	if len(names) == 0 {
		s.resume()
		return
	}
	name := names[0]
	confirm := func() {
		s.sayShard("sunsubscribe", &name)
		s.unsubscribe(names[1:])
	}
	sh, there := s.group.channels[name]
	if sh == nil {
		if there {
			s.unnote(name) // follow sees that
		}
		confirm()
		return
	}
	sh.ask(sunsubscribe, name, func(reply []byte) {
		switch {
		case s.closed || s.group.topology == nil:
			return
		case len(reply) == 0: // Lost comes next, and ends the session
			s.resume()
			return
		}
		s.unnote(name)
		sh.leaveIfUnused()
		confirm()
	})
}

// ask sends a command about one channel; then is given the confirmation, or an error.
func (sh *shard) ask(id command.ID, name string, then func(reply []byte)) {
	raw := resp.AppendCommand(nil, id.Info().Name, name)
	sh.asking++
	answered := func(reply []byte) {
		sh.asking--
		then(reply)
	}
	if err := sh.link.Listen(&confirming{then: answered}, raw, id, 1, sh.s.core.Clock.Nanos()); err != nil {
		answered(nil)
	}
}

// confirming owns such a command.
type confirming struct {
	then  func([]byte)
	reply []byte
}

// Replies implements pool.Owner.
func (c *confirming) Replies(b []byte, done int, _ bool) {
	c.reply = append(c.reply, b...)
	if done > 0 {
		c.then(c.reply)
	}
}

// Failed implements pool.Owner.
func (c *confirming) Failed(command.ID, *pool.Error) { c.then(nil) }

// leaveIfUnused gives the link back when no channel is left on it.
func (sh *shard) leaveIfUnused() {
	g := &sh.s.group
	for _, other := range g.channels {
		if other == sh {
			return
		}
	}
	if sh.asking == 0 && g.shards[sh.backend] == sh {
		delete(g.shards, sh.backend)
		sh.link.GiveBack(pool.Clean)
	}
}

// leaveShards gives all of them back.
func (s *Session) leaveShards() {
	for _, sh := range s.group.shards {
		sh.link.GiveBack(pool.Spoilt)
	}
	for name := range s.group.channels {
		s.unnote(name)
	}
	s.group.shards = nil
}

// channelSize is about what a channel's place in a map takes, besides its name.
const channelSize = 64

// note remembers where a channel is subscribed to.
func (s *Session) note(name string, sh *shard) {
	if _, there := s.group.channels[name]; !there {
		s.keep(len(name) + channelSize)
	}
	s.group.channels[name] = sh
}

func (s *Session) unnote(name string) {
	s.keep(-len(name) - channelSize)
	delete(s.group.channels, name)
}

// bound reports whether what the session has on links of its own, or is to have at a node of
// a cluster, cannot go elsewhere.
func (s *Session) bound() bool { return s.pin.bound() || s.pin.tx == pending || s.sharded() }

// subscriberOnly serves what a RESP2 client may say that is subscribed to shard channels
// only: no backend's connection knows that it is.
func (s *Session) subscriberOnly(it *item) {
	if it.id.Info().Name == "ping" {
		b := append([]byte("*2\r\n"), "$4\r\npong\r\n"...)
		s.say(redcon.AppendBulk(b, bytes.Clone(it.frame.Sub)))
		return
	}
	s.refuseListening(it)
}
