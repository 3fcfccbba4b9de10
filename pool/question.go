package pool

import (
	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/resp"
)

// Ask sends a command of the proxy's own on a pinned link. then is given the reply,
// valid during the call, or nil when the link is lost.
func (l *Link) Ask(then func(reply []byte), args ...string) {
	if _, err := l.Send(&question{then: then}, resp.AppendCommand(nil, args...), command.Other, l.nanos()); err != nil {
		then(nil)
	}
}

// maxAnswer bounds a reply that the proxy has asked for itself.
const maxAnswer = 64 << 10

// question is the owner of a command that the proxy sends itself.
type question struct {
	then   func([]byte)
	answer []byte
}

// Replies implements Owner.
func (q *question) Replies(b []byte, done int, _ bool) {
	if len(q.answer) < maxAnswer {
		q.answer = append(q.answer, b...)
	}
	if done > 0 {
		q.then(q.answer)
	}
}

// Failed implements Owner.
func (q *question) Failed(command.ID, *Error) { q.then(nil) }
