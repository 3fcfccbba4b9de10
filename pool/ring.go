package pool

import "github.com/respgate/respgate/command"

// request is a command that its owner waits for.
type request struct {
	owner Owner
	at    int64  // when it was sent, nanoseconds of the loop's clock
	size  uint32 // its bytes
	cmd   command.ID
	cut   bool // the owner wants the replies after this one apart
}

// ring is a first-in first-out queue of requests. A position is a request's
// number since the ring began.
type ring struct {
	buf        []request // its length is a power of two
	head, tail uint64
}

func (r *ring) len() int { return int(r.tail - r.head) }

func (r *ring) at(pos uint64) *request { return &r.buf[pos&uint64(len(r.buf)-1)] }

func (r *ring) push(q request) {
	if r.len() == len(r.buf) {
		r.grow()
	}
	*r.at(r.tail) = q
	r.tail++
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
