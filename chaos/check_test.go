//go:build linux

package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// breach is a way in which a promise was broken.
type breach string

const (
	lost         breach = "lost"         // acknowledged, and not there
	doubled      breach = "doubled"      // done twice
	ghost        breach = "ghost"        // refused, and done all the same
	disordered   breach = "disordered"   // done before what the client had sent, and had acknowledged, before it
	torn         breach = "torn"         // half of a transaction done
	misdelivered breach = "misdelivered" // a reply or message that is not the command's own
	hung         breach = "hung"         // no answer at all
)

// finding is one broken promise.
type finding struct {
	breach breach
	what   string
}

// check compares what clients were told with what Redis holds. It is a pure function; the
// order of its findings is that of the clients.
func check(r record) []finding {
	c := checker{record: r, byClient: map[int][]op{}, takes: map[int][]op{}}
	for _, o := range r.ops {
		if o.kind == take {
			c.takes[o.of] = append(c.takes[o.of], o)
		} else {
			c.byClient[o.client] = append(c.byClient[o.client], o)
		}
	}
	clients := []int{}
	for client := range c.byClient {
		clients = append(clients, client)
	}
	slices.Sort(clients)
	for _, client := range clients {
		ops := c.byClient[client]
		c.replies(client, ops)
		c.list(client, ops)
		c.counter(client, ops)
		c.slot(client, ops)
		c.queue(client, ops)
		c.channel(client, ops)
	}
	return c.found
}

type checker struct {
	record
	byClient map[int][]op
	takes    map[int][]op
	found    []finding
}

func (c *checker) add(b breach, format string, args ...any) {
	c.found = append(c.found, finding{b, fmt.Sprintf(format, args...)})
}

// span is how often something has been done: that often at least, and at most.
type span struct{ least, most int64 }

func (s *span) add(o op, n int64) {
	if o.outcome == acked {
		s.least += n
	}
	if o.outcome != refused {
		s.most += n
	}
}

func (s span) has(n int64) bool { return s.least <= n && n <= s.most }

// slot is what may be in a client's slot.
type slot struct {
	now string          // the last acknowledged; "" is nothing
	may map[string]bool // of unknown fate, and never seen there: they may still come
}

func (s *slot) add(o op) {
	switch {
	case o.kind != swap || o.outcome == refused:
	case o.outcome == unknown:
		s.may[o.token(0)] = true
	default:
		delete(s.may, o.reply.text)
		s.now = o.token(0)
	}
}

func (s *slot) has(text string) bool { return text == s.now || s.may[text] }

// replies looks whether each answer is one that its command can have had.
func (c *checker) replies(client int, ops []op) {
	var list, counter span
	in := slot{may: map[string]bool{}}
	for _, o := range ops {
		if o.kind.written() {
			list.add(o, int64(len(o.tokens())))
		}
		if o.kind == count {
			counter.add(o, 1)
		}
		if o.outcome == acked && !fits(o, list, counter, &in) {
			c.add(misdelivered, "client %d: operation %d, %v, was answered %v", client, o.seq, o.kind, o.reply)
		}
		in.add(o)
	}
}

// fits reports whether an operation's answer can be its own: list and counter say how often
// the client has written, this operation included.
func fits(o op, list, counter span, in *slot) bool {
	r := o.reply
	n, isNumber := r.number()
	switch o.kind {
	case push:
		return isNumber && list.has(n)
	case pair:
		if len(r.items) != 2 {
			return false
		}
		a, ok1 := r.items[0].number()
		b, ok2 := r.items[1].number()
		return ok1 && ok2 && b == a+1 && list.has(b)
	case count:
		return isNumber && counter.has(n-counterBase(o.client))
	case swap:
		return (r.kind == '_' || r.kind == '$') && in.has(r.text)
	case script, echo:
		return r.kind == '$' && r.text == o.token(0)
	case offer:
		return isNumber && n >= 1
	case publish:
		return isNumber && (n == 0 || n == 1)
	}
	return false
}

// list compares the client's list with what it has written.
func (c *checker) list(client int, ops []op) {
	name := fmt.Sprintf("list:%d", client)
	at := c.places(name, c.final.lists[client], ops, kind.written)
	after := -1 // the place of the last acknowledged
	for _, o := range ops {
		if !o.kind.written() {
			continue
		}
		there, last := 0, after
		for _, token := range o.tokens() {
			place, ok := at[token]
			if !ok {
				continue
			}
			there++
			if place < last {
				c.add(disordered, "%s: %s comes before what was acknowledged before it", name, token)
			}
			last = max(last, place)
		}
		if there == 1 && o.kind == pair {
			c.add(torn, "%s: half of the transaction %s is there", name, o.token(0))
		}
		if o.outcome != acked {
			continue
		}
		after = last
		if there == 0 {
			c.add(lost, "%s: %s was acknowledged and is not there", name, o.token(0))
		}
	}
}

// places says where in a list each token is, and adds what must not be there.
func (c *checker) places(name string, list []string, ops []op, of func(kind) bool) map[string]int {
	known := map[string]outcome{}
	for _, o := range ops {
		if of(o.kind) {
			for _, token := range o.tokens() {
				known[token] = o.outcome
			}
		}
	}
	at := map[string]int{}
	for place, token := range list {
		told, ok := known[token]
		_, before := at[token]
		switch {
		case !ok:
			c.add(misdelivered, "%s: %s was written by another", name, token)
			continue
		case before:
			c.add(doubled, "%s: %s is there twice", name, token)
			continue
		case told == refused:
			c.add(ghost, "%s: %s was refused and is there", name, token)
		}
		at[token] = place
	}
	return at
}

func (c *checker) counter(client int, ops []op) {
	var n span
	for _, o := range ops {
		if o.kind == count {
			n.add(o, 1)
		}
	}
	got := c.final.counters[client] - counterBase(client)
	if got < n.least {
		c.add(lost, "counter:%d: counted %d, acknowledged %d", client, got, n.least)
	}
	if got > n.most {
		c.add(doubled, "counter:%d: counted %d, asked for %d", client, got, n.most)
	}
}

// slot looks whether the last write stands: it, or one of unknown fate.
func (c *checker) slot(client int, ops []op) {
	in := slot{may: map[string]bool{}}
	for _, o := range ops {
		in.add(o)
	}
	if got := c.final.slots[client]; !in.has(got) {
		c.add(lost, "slot:%d: holds %q, the last acknowledged is %q", client, got, in.now)
	}
}

// queue follows what went through the client's queue: each token comes out once. One of
// those that are missing may have left with each take of unknown fate.
func (c *checker) queue(client int, ops []op) {
	name := fmt.Sprintf("queue:%d", client)
	var out []string
	mayHave := 0
	for _, o := range c.takes[client] {
		switch {
		case o.outcome == unknown:
			mayHave++
		case o.outcome != acked || o.reply.kind == '_':
		default:
			w := o.reply.words()
			if len(w) != 2 || w[0] != name {
				c.add(misdelivered, "client %d: a take from %s was answered %v", o.client, name, o.reply)
				continue
			}
			out = append(out, w[1])
		}
	}
	at := c.places(name, append(out, c.final.queues[client]...), ops, func(k kind) bool { return k == offer })
	for _, o := range ops {
		if _, ok := at[o.token(0)]; ok || o.kind != offer || o.outcome != acked {
			continue
		}
		if mayHave--; mayHave < 0 {
			c.add(lost, "%s: %s was acknowledged and is not there", name, o.token(0))
		}
	}
}

// channel looks at what a subscriber has heard: what was published, once, in order.
func (c *checker) channel(client int, ops []op) {
	name := fmt.Sprintf("channel:%d", client)
	at := c.places(name, c.heard[client], ops, func(k kind) bool { return k == publish })
	after := -1
	for _, o := range ops {
		place, ok := at[o.token(0)]
		if !ok || o.kind != publish {
			continue
		}
		if place < after {
			c.add(disordered, "%s: %s comes before what was acknowledged before it", name, o.token(0))
		}
		if o.outcome == acked {
			after = place
		}
	}
}

// tally counts the findings of each kind.
func tally(found []finding) map[breach]int {
	n := map[breach]int{}
	for _, f := range found {
		n[f.breach]++
	}
	return n
}

// summary is a tally for people.
func summary(n map[breach]int) string {
	var parts []string
	for _, b := range slices.Sorted(maps.Keys(n)) {
		parts = append(parts, fmt.Sprintf("%d %s", n[b], b))
	}
	return strings.Join(parts, ", ")
}

// firstOf is a text of the first few findings.
func firstOf(found []finding) string {
	var b strings.Builder
	for i, f := range found {
		if i == 10 {
			fmt.Fprintf(&b, "\n  … and %d more", len(found)-i)
			break
		}
		fmt.Fprintf(&b, "\n  %s: %s", f.breach, f.what)
	}
	return b.String()
}
