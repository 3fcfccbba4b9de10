package pool

import (
	"bytes"
	"math"
	"strconv"

	"github.com/respgate/respgate/command"
)

// inbox tells the replies on a pinned link from what the backend says without being
// asked: RESP3's push frames, a subscriber's messages, MONITOR's lines.
type inbox struct {
	monitor bool
	subs    [listKinds]int // what the connection is subscribed to
	expect  []confirmations
	part    part // what the frame at hand is
}

// part is what a frame is.
type part uint8

const (
	unknown part = iota // not enough of it has come
	reply
	push
	confirmation // of one channel of a (UN)SUBSCRIBE
	garbage      // nothing that Redis says
)

// list is one of the lists of channels that a connection is subscribed to.
type list uint8

const (
	channels list = iota
	patterns
	shards
	listKinds
)

// confirmations are what a (UN)SUBSCRIBE is answered with: one for each name. Without
// names, all of the list end, and at least one confirmation comes.
type confirmations struct {
	pos  uint64 // the command's position in the ring
	list list
	left int // -1: until the list is empty
}

// subscriptions are the commands that are answered so.
var subscriptions = map[string]list{
	"subscribe": channels, "psubscribe": patterns, "ssubscribe": shards,
	"unsubscribe": channels, "punsubscribe": patterns, "sunsubscribe": shards,
}

// Subscribed returns how many channels, patterns and shard channels the link's
// connection is subscribed to, as far as it has confirmed.
func (l *Link) Subscribed() int {
	channels, patterns, shards := l.Subscriptions()
	return channels + patterns + shards
}

// Subscriptions returns what Subscribed adds up.
func (l *Link) Subscriptions() (inChannels, inPatterns, inShards int) {
	in := &l.pin.inbox
	return in.subs[channels], in.subs[patterns], in.subs[shards]
}

// Listen sends a (P|S)(UN)SUBSCRIBE, of any number of names, for the link's holder.
func (l *Link) Listen(owner Owner, raw []byte, id command.ID, names int, now int64) *Error {
	pos, err := l.Send(owner, raw, id, now)
	if err != nil {
		return err
	}
	if names == 0 {
		names = -1
	}
	in := &l.pin.inbox
	in.expect = append(in.expect, confirmations{pos, subscriptions[id.Info().Name], names})
	return nil
}

// Monitor says that MONITOR's lines come from now on.
func (l *Link) Monitor() { l.pin.inbox.monitor = true }

// dataPinned is Data for a link that one client has to itself. Each frame is
// delivered apart.
func (l *Link) dataPinned(b []byte) int {
	l.moved = l.nanos()
	in := &l.pin.inbox
	off := 0
	for off < len(b) {
		if in.part == unknown {
			if in.part = l.classify(b[off:]); in.part == unknown {
				break
			}
		}
		n, done, err := l.framer.Next(b[off:])
		if err != nil || in.part == garbage || n > 0 && (in.part == reply && l.q.len() == 0 || in.part == push && l.pin.holder == nil) {
			l.conn.Close(errGarbage)
			break
		}
		if n == 0 {
			break
		}
		piece := b[off : off+n]
		off += n
		kind := in.part
		if done {
			in.part = unknown
		}
		switch kind {
		case push:
			l.pin.holder.Pushed(piece, !done)
		case confirmation:
			l.confirmed(piece)
		default:
			l.replied(piece, done)
		}
	}
	return off
}

// replied hands out a reply or a piece of it.
func (l *Link) replied(piece []byte, done bool) {
	q := *l.q.at(l.q.head)
	if !done {
		l.pieces += len(piece)
		q.owner.Replies(piece, 0, true)
		return
	}
	in := &l.pin.inbox
	if len(in.expect) > 0 && in.expect[0].pos == l.q.head {
		in.expect = in.expect[1:] // it was refused
	}
	l.q.pop()
	l.account(q, piece)
	q.owner.Replies(piece, 1, false)
}

// account tells the metrics of a reply. A command that waits is not slow, and what
// the proxy asks itself is no tenant's.
func (l *Link) account(q request, piece []byte) {
	v := l.lookout(l.moved)
	v.look(l, &q, piece)
	if ownCommand(q.owner) {
		return
	}
	if l.isError() {
		l.refused(q.owner, q.cmd, piece)
	}
	if !q.cmd.Waits() {
		l.meter.Answered(q.cmd, l.moved-q.at, 1)
	}
}

// confirmed takes the answer to one channel of a (UN)SUBSCRIBE.
func (l *Link) confirmed(piece []byte) {
	in := &l.pin.inbox
	e := &in.expect[0]
	count, _ := parseConfirmation(piece)
	if e.list == shards {
		in.subs[shards] = count
	} else {
		in.subs[e.list] += count - in.subs[channels] - in.subs[patterns]
	}
	q := *l.q.at(l.q.head)
	if e.left > 0 {
		e.left--
	}
	if e.left > 0 || e.left < 0 && in.subs[e.list] > 0 {
		q.owner.Replies(piece, 0, false)
		return
	}
	in.expect = in.expect[1:]
	l.q.pop()
	l.account(q, piece)
	q.owner.Replies(piece, 1, false)
}

// classify says what the frame is that b begins with.
func (l *Link) classify(b []byte) part {
	in := &l.pin.inbox
	expecting := len(in.expect) > 0 && in.expect[0].pos == l.q.head && l.q.len() > 0
	switch {
	case in.monitor && b[0] == '+' && len(b) < 2:
		return unknown
	case in.monitor && b[0] == '+' && b[1]-'0' <= 9: // a line begins with the time
		return push
	case b[0] == '>':
	case b[0] != '*' || l.key.Proto == 3 || !expecting && l.Subscribed() == 0:
		return reply
	}
	word, _, whole := firstWord(b)
	if !whole {
		return unknown
	}
	which, confirms := subscriptions[string(word)]
	switch {
	case confirms && expecting && which == in.expect[0].list:
		_, what := parseConfirmation(b)
		return what
	case string(word) == "sunsubscribe":
		// The slot has moved away, and the backend says so by itself.
		count, what := parseConfirmation(b)
		if what == confirmation {
			in.subs[shards], what = count, push
		}
		return what
	case b[0] == '>', string(word) == "message", string(word) == "pmessage", string(word) == "smessage":
		return push
	}
	return reply
}

// firstWord returns the first element of an array or a push that begins with a bulk
// string of at most 99 bytes, and what follows it; "" for others. whole is false when more
// bytes are needed.
func firstWord(b []byte) (word, rest []byte, whole bool) {
	_, rest, whole = cutLine(b)
	if !whole {
		return nil, nil, false
	}
	word, rest, whole, _ = cutBulk(rest, 99)
	return word, rest, whole
}

// parseConfirmation reads the count of a confirmation, whose word has come: three elements,
// of which the second is a name or nothing. what is unknown when more bytes are needed, and
// garbage when it is none.
func parseConfirmation(b []byte) (count int, what part) {
	_, rest, _ := firstWord(b)
	header, after, whole := cutLine(rest)
	if string(header) == "$-1" || string(header) == "_" {
		rest = after
	} else if whole {
		var ok bool
		if _, rest, whole, ok = cutBulk(rest, math.MaxInt32); whole && !ok {
			return 0, garbage
		}
	}
	if !whole {
		return 0, unknown
	}
	number, _, whole := cutLine(rest)
	if !whole {
		return 0, unknown
	}
	digits, isNumber := bytes.CutPrefix(number, []byte(":"))
	n, err := strconv.ParseUint(string(digits), 10, 31)
	if !isNumber || err != nil || string(b[1:3]) != "3\r" {
		return 0, garbage
	}
	return int(n), confirmation
}

// cutBulk cuts off b the bulk string that it begins with; not ok is another type, or more
// than most bytes. whole is false when more bytes are needed.
func cutBulk(b []byte, most int) (text, rest []byte, whole, ok bool) {
	header, rest, whole := cutLine(b)
	if len(header) < 2 || header[0] != '$' {
		return nil, nil, whole, false
	}
	n, err := strconv.Atoi(string(header[1:]))
	switch {
	case err != nil || n < 0 || n > most:
		return nil, nil, true, false
	case len(rest) < n+2:
		return nil, nil, false, false
	}
	return rest[:n], rest[n+2:], true, true
}

// maxHeader is more than the lines take that announce a length, or are one.
const maxHeader = 24

// cutLine cuts off b the line that it begins with; "" where that is longer than a header.
// whole is false when more bytes are needed.
func cutLine(b []byte) (line, rest []byte, whole bool) {
	line, _, whole = bytes.Cut(b[:min(len(b), maxHeader)], []byte("\r\n"))
	if whole {
		return line, b[len(line)+2:], true
	}
	return nil, nil, len(b) >= maxHeader
}
