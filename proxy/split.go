package proxy

import (
	"strconv"

	"github.com/tidwall/redcon"

	"github.com/respgate/respgate/pool"
)

// splitting is how a command is cut by slot, and the replies to its parts made one.
type splitting struct {
	step int // arguments to a key, itself included
	join func(s *Session, parts []*call) []byte
}

// splits are the commands whose keys may be of several slots. Each part is atomic, the
// whole is not.
var splits = map[string]splitting{
	"mget":   {1, joinValues},
	"mset":   {2, first},
	"del":    {1, sum},
	"unlink": {1, sum},
	"exists": {1, sum},
	"touch":  {1, sum},
}

// split sends a command with keys of several slots in parts; false says that it must wait.
func (s *Session) split(it *item, how splitting) bool {
	args := s.core.args // slotOf's
	if (len(args)-1)%how.step != 0 {
		s.wrongArity(it)
		return true
	}
	parts := map[int]*call{}
	var order []*call
	if !s.mayCall(nil, wayOf(it.id)) {
		return false
	}
	whole := s.newCall(it.id, s, nil, -1)
	whole.begin(how.join)
	for i := 1; i < len(args); i += how.step {
		slot := pool.Slot(args[i])
		part := parts[slot]
		if part == nil {
			part = whole.part(slot)
			parts[slot] = part
			order = append(order, part)
		}
		part.at = append(part.at, (i-1)/how.step)
		part.n += how.step
		for _, a := range args[i : i+how.step] {
			part.raw = redcon.AppendBulk(part.raw, a)
		}
	}
	for _, part := range order {
		head := redcon.AppendBulk(redcon.AppendArray(nil, part.n+1), args[0])
		part.raw = append(head, part.raw...)
	}
	whole.sendParts(order)
	return true
}

// failure returns the reply for parts of which one has failed; nil is none. A client must
// not think that nothing was done when some was.
func failure(s *Session, parts []*call) []byte {
	var bad []byte
	good := false
	for _, p := range parts {
		switch {
		case p.reply[0] != '-':
			good = true
		case bad == nil:
			bad = p.reply
		}
	}
	if bad == nil || !good || parts[0].reads() {
		return bad
	}
	return append([]byte("-ERR a part of the command has been executed, another has not: "), bad[1:]...)
}

// first is the first part's reply, all being alike.
func first(s *Session, parts []*call) []byte {
	if bad := failure(s, parts); bad != nil {
		return bad
	}
	return append([]byte(nil), parts[0].reply...)
}

// sum adds up integers.
func sum(s *Session, parts []*call) []byte {
	if bad := failure(s, parts); bad != nil {
		return bad
	}
	total := int64(0)
	for _, p := range parts {
		n, _ := strconv.ParseInt(text(p.reply), 10, 64)
		total += n
	}
	return redcon.AppendInt(nil, total)
}

// joinValues puts the elements of arrays in the order of the keys.
func joinValues(s *Session, parts []*call) []byte {
	if bad := failure(s, parts); bad != nil {
		return bad
	}
	n := 0
	for _, p := range parts {
		n += len(p.at)
	}
	values := make([][]byte, n)
	for _, p := range parts {
		_, elements, ok := elements(p.reply)
		if !ok || len(elements) != len(p.at) {
			return notUnderstood
		}
		for i, at := range p.at {
			values[at] = elements[i]
		}
	}
	return appendAggregate(nil, '*', values)
}
