package pool

import (
	"math"

	"github.com/respgate/respgate/command"
)

// request is a command that its owner waits for, or several in a row that are alike.
type request struct {
	owner  Owner
	at     int64  // when it was sent, nanoseconds of the loop's clock
	size   uint32 // the bytes of one
	n      uint32 // how many there are still to be answered, at least 1
	waited uint32 // for a connection, microseconds
	held   uint32 // by a limit, before that, microseconds
	cmd    command.ID
	cut    bool // the owner wants the replies after this one apart
	taped  bool // the tape has how it begins
}

// wait notes that the request has waited so many nanoseconds for a connection.
func (q *request) wait(nanos int64) {
	q.waited = micros(int64(q.waited)*1000 + nanos)
}

func micros(nanos int64) uint32 { return uint32(min(nanos/1000, math.MaxUint32)) } //nolint:gosec // bounded

// ring is a first-in first-out queue of requests. A position is a request's
// number since the ring began.
type ring struct {
	buf        []request // its length is a power of two
	head, tail uint64
}

func (r *ring) len() int { return int(r.tail - r.head) } //nolint:gosec // no more than there is memory for

func (r *ring) at(pos uint64) *request { return &r.buf[pos&uint64(len(r.buf)-1)] } //nolint:gosec // a length

func (r *ring) push(q request) {
	if r.len() == len(r.buf) {
		r.grow()
	}
	*r.at(r.tail) = q
	r.tail++
}

// add is push, but what is like the newest request becomes a part of it.
func (r *ring) add(q request) {
	if r.head != r.tail {
		if last := r.at(r.tail - 1); last.size == q.size && last.cmd == q.cmd && last.at == q.at && last.taped == q.taped && last.owner == q.owner && !last.cut {
			last.n += q.n
			return
		}
	}
	r.push(q)
}

// all returns the requests one by one, oldest first.
func (r *ring) all() []request {
	var list []request
	for pos := r.head; pos != r.tail; pos++ {
		q := *r.at(pos)
		n := q.n
		q.n = 1
		for range n {
			list = append(list, q)
		}
	}
	return list
}

// pop forgets the oldest request.
func (r *ring) pop() {
	r.at(r.head).owner = nil
	r.head++
}

func (r *ring) grow() {
	old := *r
	r.buf = make([]request, max(64, 2*len(old.buf)))
	for pos := old.head; pos != old.tail; pos++ {
		*r.at(pos) = *old.at(pos)
	}
}
