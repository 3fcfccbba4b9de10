package pool

import "errors"

var (
	errReplaced = errors.New("replaced by an operator")
	errKilled   = errors.New("an operator has ended all connections")
)

// open reports whether the link has a connection.
func (l *Link) open() bool { return l.state == up || l.state == turning }

// replace has the link go on with a new connection once the one it has owes nothing: what is
// sent until then waits for the new one, so that no command overtakes an earlier one.
func (l *Link) replace() {
	if l.state != up {
		return
	}
	l.state, l.turnAt = turning, l.q.tail
	if l.q.len() == 0 {
		l.turn()
		return
	}
	l.q.at(l.q.tail - 1).cut = true // what follows is not to become a part of it
}

// turn gives up a connection that owes nothing.
func (l *Link) turn() {
	conn := l.conn
	l.conn, l.state = nil, idle
	conn.Close(errReplaced)
	if l.q.len() > 0 || l.clients > 0 {
		l.dial()
	} else {
		l.wakeRoomy()
	}
}

// firstWaiting is the position of the first command that waits for a connection.
func (l *Link) firstWaiting() uint64 {
	if l.state == turning {
		return l.turnAt
	}
	return l.q.head
}

// dataTurning is Data for a connection that is to be replaced: reply by reply, so that what
// comes after the last is not taken for the reply to a command that waits.
func (l *Link) dataTurning(b []byte) int {
	off := 0
	for off < len(b) && l.state == turning && l.q.head != l.turnAt {
		framer := l.framer
		n, _, err := framer.Next(b[off:])
		if err != nil {
			n = len(b) - off // the same again, which closes the connection
		}
		taken := l.replies(b[off : off+n])
		off += taken
		if n == 0 || taken < n {
			return off
		}
	}
	if l.state == turning && l.q.head == l.turnAt {
		l.turn()
	}
	return off
}
