//go:build linux

package chaos

import (
	"fmt"
	"slices"
	"testing"
)

// honestRecord is what two clients and an honest Redis do: for each kind an operation that is
// acknowledged, one that is refused, two of unknown fate of which one was done, and a last one
// that is acknowledged.
func honestRecord() record {
	r := record{heard: map[int][]string{}, final: state{
		lists: map[int][]string{}, queues: map[int][]string{}, counters: map[int]int64{}, slots: map[int]string{},
	}}
	for client := range 2 {
		r.final.counters[client] = counterBase(client)
		seq := 0
		for _, k := range []kind{push, script, pair, count, swap, echo, offer, publish} {
			for i, told := range []outcome{acked, refused, unknown, unknown, acked} {
				seq++
				o := op{client: client, of: client, seq: seq, kind: k, outcome: told}
				if told == acked || i == 2 {
					o.reply = r.do(o)
				}
				r.ops = append(r.ops, o)
			}
		}
		queue := r.final.queues[client]
		taken := reply{kind: '*', items: []reply{{kind: '$', text: fmt.Sprintf("queue:%d", client)}, {kind: '$', text: queue[0]}}}
		r.final.queues[client] = queue[1:]
		r.ops = append(r.ops, op{client: 10 + client, of: client, seq: 1, kind: take, reply: taken},
			op{client: 10 + client, of: client, seq: 2, kind: take, reply: reply{kind: '_'}})
	}
	return r
}

// do is Redis.
func (r *record) do(o op) reply {
	s, token := &r.final, o.token(0)
	number := func(n int) reply { return reply{kind: ':', text: fmt.Sprint(n)} }
	switch o.kind {
	case push, script, pair:
		s.lists[o.of] = append(s.lists[o.of], o.tokens()...)
		n := len(s.lists[o.of])
		switch o.kind {
		case script:
			return reply{kind: '$', text: token}
		case pair:
			return reply{kind: '*', items: []reply{number(n - 1), number(n)}}
		}
		return number(n)
	case count:
		s.counters[o.of]++
		return number(int(s.counters[o.of]))
	case swap:
		before := s.slots[o.of]
		s.slots[o.of] = token
		if before == "" {
			return reply{kind: '_'}
		}
		return reply{kind: '$', text: before}
	case echo:
		return reply{kind: '$', text: token}
	case offer:
		s.queues[o.of] = append(s.queues[o.of], token)
		return number(len(s.queues[o.of]))
	}
	r.heard[o.of] = append(r.heard[o.of], token)
	return number(1)
}

// TestCheck plants each breach in a record that has none.
func TestCheck(t *testing.T) {
	first := func(r *record, k kind, told outcome) *op {
		i := slices.IndexFunc(r.ops, func(o op) bool { return o.kind == k && o.outcome == told })
		return &r.ops[i]
	}
	for _, c := range []struct {
		name  string
		plant func(r *record)
		want  []breach
	}{
		{"nothing is wrong", func(*record) {}, nil},
		{"what was unknown comes late", func(r *record) {
			l := r.final.lists[0]
			r.final.lists[0] = append(slices.Delete(slices.Clone(l), 1, 2), l[1])
		}, nil},
		{"a take of unknown fate took something", func(r *record) {
			r.ops = append(r.ops, op{client: 10, of: 0, seq: 3, kind: take, outcome: unknown})
			r.final.queues[0] = r.final.queues[0][:1]
		}, nil},
		{"a push is lost", func(r *record) { r.final.lists[0] = r.final.lists[0][1:] }, []breach{lost}},
		{"all is lost", func(r *record) {
			r.final.lists[0], r.final.queues[0], r.final.slots[0], r.final.counters[0] = nil, nil, "", counterBase(0)
		}, []breach{lost}},
		{"a count is lost", func(r *record) { r.final.counters[0] = counterBase(0) + 1 }, []breach{lost}},
		{"a slot is as before", func(r *record) { r.final.slots[0] = first(r, swap, acked).token(0) }, []breach{lost}},
		{"an offer is lost", func(r *record) { r.final.queues[0] = r.final.queues[0][:1] }, []breach{lost}},
		{"a push is there twice", func(r *record) { r.final.lists[0] = append(r.final.lists[0], r.final.lists[0][0]) }, []breach{doubled}},
		{"a push of unknown fate is there twice", func(r *record) { r.final.lists[0] = append(r.final.lists[0], r.final.lists[0][1]) }, []breach{doubled}},
		{"a count is done twice", func(r *record) { r.final.counters[0] = counterBase(0) + 5 }, []breach{doubled}},
		{"a token is taken and still there", func(r *record) {
			r.final.queues[0] = append(r.final.queues[0], first(r, offer, acked).token(0))
		}, []breach{doubled}},
		{"a message comes twice", func(r *record) { r.heard[0] = append(r.heard[0], r.heard[0][0]) }, []breach{doubled}},
		{"a refused push is there", func(r *record) {
			r.final.lists[0] = append(r.final.lists[0], first(r, push, refused).token(0))
		}, []breach{ghost}},
		{"a refused message comes", func(r *record) { r.heard[0] = append(r.heard[0], first(r, publish, refused).token(0)) }, []breach{ghost}},
		{"pushes change places", func(r *record) { l := r.final.lists[0]; l[0], l[2] = l[2], l[0] }, []breach{disordered}},
		{"a push of unknown fate comes too early", func(r *record) { l := r.final.lists[0]; l[0], l[1] = l[1], l[0] }, []breach{disordered}},
		{"messages change places", func(r *record) { l := r.heard[0]; l[0], l[2] = l[2], l[0] }, []breach{disordered}},
		{"half of a transaction is there", func(r *record) {
			r.final.lists[0] = slices.DeleteFunc(r.final.lists[0], func(s string) bool { return s == first(r, pair, unknown).token(1) })
		}, []breach{torn}},
		{"two clients' echoes change places", func(r *record) {
			a, b := first(r, echo, acked), &r.ops[len(r.ops)-1]
			for i := range r.ops {
				if r.ops[i].kind == echo && r.ops[i].client == 1 {
					b = &r.ops[i]
					break
				}
			}
			a.reply, b.reply = b.reply, a.reply
		}, []breach{misdelivered}},
		{"two answers of a client's change places", func(r *record) {
			a, b := first(r, push, acked), first(r, count, acked)
			a.reply, b.reply = b.reply, a.reply
		}, []breach{misdelivered}},
		{"a count is answered with another's", func(r *record) { first(r, count, acked).reply.text = fmt.Sprint(counterBase(1) + 1) }, []breach{misdelivered}},
		{"a count is answered with an earlier one's", func(r *record) {
			r.ops = append(r.ops, op{client: 1, of: 1, seq: 99, kind: count, reply: reply{kind: ':', text: fmt.Sprint(counterBase(1) + 1)}})
			r.final.counters[1]++
		}, []breach{misdelivered}},
		{"a swap is answered with what is gone", func(r *record) {
			for i := range r.ops {
				if r.ops[i].kind == swap && r.ops[i].outcome == acked {
					r.ops[i].reply = reply{kind: '$', text: "0:999.0"}
				}
			}
		}, []breach{misdelivered}},
		{"a push is in another's list", func(r *record) { r.final.lists[0] = append(r.final.lists[0], r.final.lists[1][0]) }, []breach{misdelivered}},
		{"a message comes over another's channel", func(r *record) { r.heard[0] = append(r.heard[0], r.heard[1][0]) }, []breach{misdelivered}},
		{"a take is answered from another's queue", func(r *record) { first(r, take, acked).reply.items[0].text = "queue:1" }, []breach{misdelivered}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := honestRecord()
			c.plant(&r)
			found := check(r)
			if len(c.want) == 0 && len(found) > 0 {
				t.Errorf("found, want nothing:%s", firstOf(found))
			}
			for _, b := range c.want {
				if tally(found)[b] == 0 {
					t.Errorf("found %q, want %q:%s", summary(tally(found)), b, firstOf(found))
				}
			}
		})
	}
}
