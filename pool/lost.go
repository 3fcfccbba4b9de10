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
	l.key.refresh()
	tail := l.conn.Tail(l.conn.Unsent())
	requests := l.q.all()
	sent, size := len(requests), 0
	for sent > 0 && size+int(requests[sent-1].size) <= len(tail) {
		sent--
		size += int(requests[sent].size)
	}
	tail = tail[len(tail)-size:]
	l.conn, l.state = nil, idle

	var failed []failure
	lost := map[Owner]bool{}
	kept := ring{head: l.q.tail, tail: l.q.tail}
	var backlog []byte
	for i, q := range requests {
		if i < sent {
			lost[whose(q.owner)] = true
			failed = append(failed, failure{q.owner, q.cmd, &Error{Sent: true}})
			continue
		}
		raw := tail[:q.size]
		tail = tail[q.size:]
		if lost[whose(q.owner)] {
			failed = append(failed, failure{q.owner, q.cmd, &Error{Reason: "connection closed", Held: true}})
			continue
		}
		q.cut, q.taped = true, false // its position changes, so it could not be named for Cut
		kept.push(q)
		backlog = append(backlog, raw...)
	}
	l.q = kept
	l.setBacklog(backlog)
	l.partial = false
	l.forgetTape()
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

// Rider is an owner for whom several others own commands, one each.
type Rider interface{ Client() Owner }

// whose is the client that a command is of.
func whose(o Owner) Owner {
	if r, ok := o.(Rider); ok {
		return r.Client()
	}
	return o
}

type failure struct {
	owner Owner
	cmd   command.ID
	err   *Error
}
