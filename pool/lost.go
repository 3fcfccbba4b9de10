package pool

import "github.com/respgate/respgate/command"

// Closed implements loop.Handler: the connection is lost. Commands of which a
// byte was sent fail, since they may have been executed; so do the unsent ones
// of the same clients, for a later command must not run when it is unknown
// whether an earlier one did. The others wait for the next connection.
func (l *Link) Closed(err error) {
	if l.state != up {
		return
	}
	if l.pin != nil {
		l.lost(err)
		return
	}
	tail := l.conn.Tail(l.conn.Unsent())
	unsent := l.q.tail
	size := 0
	for unsent > l.q.head && size+int(l.q.at(unsent-1).size) <= len(tail) {
		unsent--
		size += int(l.q.at(unsent).size)
	}
	tail = tail[len(tail)-size:]
	l.conn, l.state = nil, idle

	var failed []failure
	lost := map[Owner]bool{}
	kept := ring{}
	for pos := l.q.head; pos != l.q.tail; pos++ {
		q := l.q.at(pos)
		sent := pos < unsent
		raw := tail[:0]
		if !sent {
			raw, tail = tail[:q.size], tail[q.size:]
		}
		switch {
		case sent:
			lost[q.owner] = true
			failed = append(failed, failure{q.owner, q.cmd, &Error{Sent: true}})
		case lost[q.owner]:
			failed = append(failed, failure{q.owner, q.cmd, &Error{Reason: "connection closed"}})
		default:
			kept.push(*q)
			l.backlog = append(l.backlog, raw...)
		}
	}
	l.q = kept
	l.partial = false
	if l.gone {
		l.Down(l.cause)
	} else if l.q.len() > 0 || l.clients > 0 {
		l.dial()
	}
	for _, f := range failed {
		f.owner.Failed(f.cmd, f.err)
	}
	l.wakeRoomy()
}

// wakeRoomy tells those who wait for room: there is some, or the connection is gone.
func (l *Link) wakeRoomy() {
	roomy := l.roomy
	l.roomy = nil
	for _, fn := range roomy {
		fn()
	}
}

type failure struct {
	owner Owner
	cmd   command.ID
	err   *Error
}
