package pool

// memory is what the process has for what is in flight; *loop.Loop is one.
type memory interface {
	Hold(n int) // counts n bytes more, or less
	Room() int64
}

const (
	// maxBacklog bounds the bytes of the commands that wait for a connection: see share.
	maxBacklog = 64 << 20
	// leastShare is how many bytes a link may hold however little room there is.
	leastShare = 64 << 10
)

// share returns how many bytes a link may hold of at most so many: not more than an eighth
// of what is free, so that however many links there are, they leave some.
func (l *Link) share(most int) int {
	return int(min(int64(most), max(leastShare, l.memory.Room()/8)))
}

// setBacklog has b wait for a connection.
func (l *Link) setBacklog(b []byte) {
	l.memory.Hold(len(b) - len(l.backlog))
	l.backlog = b
}

// Backlog returns how many bytes of commands wait for a connection.
func (l *Link) Backlog() int { return len(l.backlog) }

// Unsent returns how many bytes of commands the link's connection has not sent yet.
func (l *Link) Unsent() int {
	if l.state != up {
		return 0
	}
	return l.conn.Unsent()
}

// EachWaiting calls fn with the owner and the bytes of each command that waits for a connection.
func (l *Link) EachWaiting(fn func(owner Owner, bytes int)) {
	if len(l.backlog) == 0 {
		return
	}
	for pos := l.q.head; pos != l.q.tail; pos++ {
		q := l.q.at(pos)
		fn(q.owner, int(q.size)*int(q.n))
	}
}

// Disown forgets the commands that wait for a connection and whose owner has left, as gone
// says. They have certainly not been sent, nor will they be, and their owner is not told.
func (l *Link) Disown(gone func(Owner) bool) {
	if len(l.backlog) == 0 {
		return
	}
	kept := ring{head: l.q.tail, tail: l.q.tail}
	var backlog []byte
	rest := l.backlog
	for pos := l.q.head; pos != l.q.tail; pos++ {
		q := *l.q.at(pos)
		raw := rest[:int(q.size)*int(q.n)]
		rest = rest[len(raw):]
		if !gone(q.owner) {
			q.cut, q.taped = true, false // its position changes, so it could not be named for Cut
			kept.push(q)
			backlog = append(backlog, raw...)
		}
	}
	l.q = kept
	l.forgetTape()
	l.setBacklog(backlog)
}
