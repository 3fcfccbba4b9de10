package proxy

import (
	"strconv"

	"github.com/tidwall/redcon"

	"github.com/respgate/respgate/resp"
)

// spreads are the commands that are about all of a cluster's data, or about what the nodes
// say of themselves: how each is served. False says that it must wait.
var spreads = map[string]func(*Session, *item, role) bool{
	"dbsize":               onAll(sum),
	"keys":                 onAll(concat),
	"flushdb":              onAll(first),
	"flushall":             onAll(first),
	"script|load":          onAll(first),
	"script|flush":         onAll(first),
	"script|exists":        onAll(everywhereTrue),
	"script|kill":          onAll(anyOK),
	"function|load":        onAll(first),
	"function|delete":      onAll(first),
	"function|flush":       onAll(first),
	"function|restore":     onAll(first),
	"function|kill":        onAll(anyOK),
	"config|set":           onAll(first),
	"config|resetstat":     onAll(first),
	"memory|purge":         onAll(first),
	"latency|reset":        onAll(sum),
	"pubsub|channels":      onAll(concat),
	"pubsub|shardchannels": onAll(concat),
	"pubsub|numpat":        onAll(sum),
	"pubsub|numsub":        onAll(addPairs),
	"pubsub|shardnumsub":   onAll(addPairs),
	"randomkey":            onAll(anyValue),
	"scan":                 (*Session).scan,
	"info":                 onAll(joinInfo),
	"wait":                 (*Session).waitAtAll,
}

// onAll sends a command to all primaries, and joins their replies.
func onAll(join func(*Session, []*call) []byte) func(*Session, *item, role) bool {
	return func(s *Session, it *item, _ role) bool {
		if !s.mayCall(nil, wayOf(it.id)) {
			return false
		}
		whole := s.newCall(it.id, s, nil, -1)
		whole.begin(join)
		var parts []*call
		for i, lowest := range s.group.layout.Lowest {
			if !s.group.layout.Owns(i) {
				continue // all that it had is elsewhere
			}
			part := whole.part(-1)
			part.home = lowest
			part.raw = append(part.raw, it.frame.Raw...)
			parts = append(parts, part)
		}
		whole.sendParts(parts)
		return true
	}
}

// concat puts arrays, or sets, one behind the other.
func concat(s *Session, parts []*call) []byte {
	if bad := failure(s, parts); bad != nil {
		return bad
	}
	var all [][]byte
	kind := parts[0].reply[0]
	for _, p := range parts {
		k, some, ok := elements(p.reply)
		if !ok || k != kind {
			return notUnderstood
		}
		all = append(all, some...)
	}
	return appendAggregate(nil, kind, all)
}

var notUnderstood = []byte("-ERR the cluster's answer is not understood\r\n")

// everywhereTrue is of arrays of 0 and 1: an element is 1 where it is on all nodes.
func everywhereTrue(s *Session, parts []*call) []byte {
	return merge(s, parts, func(a, b []byte) []byte {
		if string(a) == ":0\r\n" {
			return a
		}
		return b
	})
}

// addPairs is of arrays or maps of names and numbers, the same names in all: it adds the
// numbers up.
func addPairs(s *Session, parts []*call) []byte {
	return merge(s, parts, func(a, b []byte) []byte {
		if a[0] != ':' {
			return a
		}
		x, _ := strconv.ParseInt(text(a), 10, 64)
		y, _ := strconv.ParseInt(text(b), 10, 64)
		return redcon.AppendInt(nil, x+y)
	})
}

// merge makes one aggregate of several of the same size, element by element.
func merge(s *Session, parts []*call, of func(a, b []byte) []byte) []byte {
	if bad := failure(s, parts); bad != nil {
		return bad
	}
	kind, all, ok := elements(parts[0].reply)
	for _, p := range parts[1:] {
		_, some, also := elements(p.reply)
		if !ok || !also || len(some) != len(all) {
			return notUnderstood
		}
		for i := range all {
			all[i] = of(all[i], some[i])
		}
	}
	if !ok {
		return append([]byte(nil), parts[0].reply...)
	}
	return appendAggregate(nil, kind, all)
}

// anyOK is OK where one node says so, else what the first says that has something to say.
func anyOK(_ *Session, parts []*call) []byte {
	best := parts[0].reply
	for _, p := range parts {
		if p.reply[0] != '-' {
			return append([]byte(nil), p.reply...)
		}
		if code := string(resp.ErrorCode(p.reply)); code != "NOTBUSY" {
			best = p.reply
		}
	}
	return append([]byte(nil), best...)
}

// anyValue is a value that is there, if there is any; each node has its turn to be first.
func anyValue(s *Session, parts []*call) []byte {
	if bad := failure(s, parts); bad != nil {
		return bad
	}
	turn := int(s.sent % uint64(len(parts))) //nolint:gosec // below len(parts)
	for i := range parts {
		reply := parts[(turn+i)%len(parts)].reply
		if string(reply) != "$-1\r\n" && string(reply) != "_\r\n" {
			return append([]byte(nil), reply...)
		}
	}
	return append([]byte(nil), parts[0].reply...)
}

// A cursor of SCAN that a client is given is the node's, and which node of the layout that
// is in the lowest bits. Redis's own cursors have as many bits as the table's size, and in a
// cluster 14 for the slot.
const nodeBits = 10

// scan has SCAN go through one primary after the other.
func (s *Session) scan(it *item, r role) bool {
	args := it.frame.AppendArgs(nil)
	cursor, err := strconv.ParseUint(string(args[1]), 10, 64)
	node := int(cursor & (1<<nodeBits - 1))
	if err != nil { // the node says so
		return s.relayCall(it, r, s.group.at, -1)
	}
	if node >= len(s.group.layout.Primaries) { // there have been more
		if s.owed() > 0 {
			s.pause(idleness)
			return false
		}
		s.say([]byte("*2\r\n$1\r\n0\r\n*0\r\n"))
		return true
	}
	raw := redcon.AppendArray(nil, len(args))
	for i, a := range args {
		if i == 1 {
			a = strconv.AppendUint(nil, cursor>>nodeBits, 10)
		}
		raw = redcon.AppendBulk(raw, a)
	}
	return s.relayAs(it, r, node, -1, &scanning{Session: s, node: node, nodes: len(s.group.layout.Primaries)}, raw)
}

// scanning makes a node's cursor the client's.
type scanning struct {
	*Session
	node, nodes int
}

// Replies implements pool.Owner. A call gives whole replies to who makes them over.
func (o *scanning) Replies(told []byte, done int, _ bool) {
	if kind, parts, ok := elements(told); ok && kind == '*' && len(parts) == 2 {
		cursor, err := strconv.ParseUint(text(parts[0]), 10, 64)
		switch {
		case err != nil || cursor >= 1<<(64-nodeBits):
			told = notUnderstood
		default:
			parts[0] = redcon.AppendBulk(nil, strconv.AppendUint(nil, o.next(cursor), 10))
			told = appendAggregate(nil, kind, parts)
		}
	}
	o.Session.Replies(told, done, false)
}

// next is the client's cursor after the node's.
func (o *scanning) next(cursor uint64) uint64 {
	node := uint64(o.node) //nolint:gosec // below 1<<nodeBits
	switch {
	case cursor != 0:
		return cursor<<nodeBits | node
	case o.node+1 < o.nodes:
		return node + 1
	}
	return 0
}
