//go:build linux

package chaos

import (
	"fmt"
	"strings"

	"github.com/respgate/respgate/resp"
)

// kind is what an operation does. Each works on keys that no other client writes, and
// writes a token that no other operation has.
type kind uint8

const (
	push    kind = iota // a token at the end of the client's list; the answer is the length
	script              // the same by a script, which answers the token
	pair                // two tokens in one transaction
	count               // one more on the client's counter, which begins at a number of its own
	swap                // the token in the client's slot; the answer is the one before
	echo                // the answer is the token
	offer               // a token for who takes from the client's queue
	publish             // a token to the client's channel
	take                // wait for a token of the queue of another
)

// String implements fmt.Stringer.
func (k kind) String() string {
	return [...]string{"push", "script", "pair", "count", "swap", "echo", "offer", "publish", "take"}[k]
}

// written are the kinds that put tokens into the client's list.
func (k kind) written() bool { return k == push || k == script || k == pair }

// outcome is what a client knows of an operation.
type outcome uint8

const (
	acked   outcome = iota // it has been done
	refused                // it has certainly not been done, nor will it be
	unknown                // the client was told that it may have been, or its connection ended
)

// op is one operation of a client.
type op struct {
	client  int // who asked
	of      int // whose keys: the client's own but for take
	seq     int // counts the client's operations from 1
	kind    kind
	outcome outcome
	reply   reply // when acked
}

// token is what the operation writes; part tells the two of a pair apart.
func (o op) token(part int) string { return fmt.Sprintf("%d:%d.%d", o.client, o.seq, part) }

// tokens are all that the operation writes.
func (o op) tokens() []string {
	if o.kind == pair {
		return []string{o.token(0), o.token(1)}
	}
	return []string{o.token(0)}
}

// counterBase is where a client's counter begins: no answer is another client's too.
func counterBase(client int) int64 { return int64(client+1) * 1_000_000_000 }

const pushScript = "redis.call('RPUSH', KEYS[1], ARGV[1]) return ARGV[1]"

// append appends the operation's commands, and returns how many they are. The last one's
// reply says what became of it. sent, in nanoseconds, travels with what is published.
func (o op) append(b []byte, sent int64) ([]byte, int) {
	key := func(prefix string) string { return fmt.Sprintf("%s:%d", prefix, o.of) }
	token := o.token(0)
	switch o.kind {
	case push:
		b = resp.AppendCommand(b, "RPUSH", key("list"), token)
	case script:
		b = resp.AppendCommand(b, "EVAL", pushScript, "1", key("list"), token)
	case pair:
		b = resp.AppendCommand(b, "MULTI")
		b = resp.AppendCommand(b, "RPUSH", key("list"), token)
		b = resp.AppendCommand(b, "RPUSH", key("list"), o.token(1))
		return resp.AppendCommand(b, "EXEC"), 4
	case count:
		b = resp.AppendCommand(b, "INCR", key("counter"))
	case swap:
		b = resp.AppendCommand(b, "SET", key("slot"), token, "GET")
	case echo:
		b = resp.AppendCommand(b, "ECHO", token)
	case offer:
		b = resp.AppendCommand(b, "RPUSH", key("queue"), token)
	case publish:
		b = resp.AppendCommand(b, "PUBLISH", key("channel"), fmt.Sprintf("%s@%d", token, sent))
	case take:
		b = resp.AppendCommand(b, "BLPOP", key("queue"), "0.1")
	}
	return b, 1
}

// judge says what a reply means for the client.
func judge(r reply) outcome {
	switch {
	case r.kind != '-' && r.kind != '!':
		return acked
	case strings.Contains(r.text, "may have been executed"):
		return unknown
	}
	return refused
}

// state is what Redis holds in the end, by whose it is.
type state struct {
	lists, queues map[int][]string
	counters      map[int]int64
	slots         map[int]string
}

// record is all that a checker looks at.
type record struct {
	ops   []op             // each client's in the order it sent them
	heard map[int][]string // tokens that came over each client's channel, by one subscriber
	final state
}
