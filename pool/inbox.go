package pool

import (
	"bytes"
	"strconv"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/resp"
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
		if err != nil || n > 0 && (in.part == reply && l.q.len() == 0 || in.part == push && l.pin.holder == nil) {
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
	if _, own := q.owner.(*question); own {
		return
	}
	if k := l.framer.Kind(); k == '-' || k == '!' {
		l.meter.Refused(q.cmd, resp.ErrorCode(piece))
	}
	if info := q.cmd.Info(); info.Flags&command.FlagBlocking == 0 && info.Name != "wait" && info.Name != "waitaof" {
		l.meter.Answered(q.cmd, l.moved-q.at, 1)
	}
}

// confirmed takes the answer to one channel of a (UN)SUBSCRIBE.
func (l *Link) confirmed(piece []byte) {
	in := &l.pin.inbox
	e := &in.expect[0]
	_, count, _ := parseConfirmation(piece)
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
	word, whole := firstWord(b)
	if !whole {
		return unknown
	}
	which, confirms := subscriptions[string(word)]
	switch {
	case confirms && expecting && which == in.expect[0].list:
		if _, _, whole := parseConfirmation(b); !whole {
			return unknown
		}
		return confirmation
	case string(word) == "sunsubscribe":
		// The slot has moved away, and the backend says so by itself.
		_, count, whole := parseConfirmation(b)
		if !whole {
			return unknown
		}
		in.subs[shards] = count
		return push
	case b[0] == '>', string(word) == "message", string(word) == "pmessage", string(word) == "smessage":
		return push
	}
	return reply
}

// firstWord returns the first element of an array or a push that begins with a bulk
// string of at most 99 bytes; "" for others. whole is false when more bytes are needed.
func firstWord(b []byte) (word []byte, whole bool) {
	_, rest, ok := bytes.Cut(b, []byte("\r\n"))
	if !ok {
		return nil, len(b) > 24
	}
	header, rest, ok := bytes.Cut(rest, []byte("\r\n"))
	if !ok {
		return nil, len(header) > 24
	}
	if len(header) < 2 || header[0] != '$' {
		return nil, true
	}
	n, err := strconv.Atoi(string(header[1:]))
	if err != nil || n < 0 || n > 99 {
		return nil, true
	}
	if len(rest) < n {
		return nil, false
	}
	return rest[:n], true
}

// parseConfirmation reads the name and the count of a confirmation; whole is false
// when more bytes are needed.
func parseConfirmation(b []byte) (name []byte, count int, whole bool) {
	word, _ := firstWord(b)
	at := bytes.Index(b, word) + len(word) + 2
	if at > len(b) {
		return nil, 0, false
	}
	header, rest, ok := bytes.Cut(b[at:], []byte("\r\n"))
	if !ok {
		return nil, 0, false
	}
	if n, err := strconv.Atoi(string(header[min(1, len(header)):])); err == nil && n >= 0 {
		if len(rest) < n+2 {
			return nil, 0, false
		}
		name, rest = rest[:n], rest[n+2:]
	}
	number, _, ok := bytes.Cut(rest, []byte("\r\n"))
	if !ok || len(number) < 2 {
		return nil, 0, false
	}
	count, err := strconv.Atoi(string(number[1:]))
	return name, count, err == nil
}
