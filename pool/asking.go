package pool

import "github.com/respgate/respgate/command"

var askingCommand = []byte("*1\r\n$6\r\nASKING\r\n")

// SendAsking is Send for a command that a node of a cluster is to serve though it does not
// have the slot yet: an ASKING goes before it. Both are sent or none is, since what comes
// next would be served so in its place.
func (l *Link) SendAsking(owner Owner, raw []byte, id command.ID, now int64) (pos uint64, err *Error) {
	both := make([]byte, 0, len(askingCommand)+len(raw))
	if err := l.write(append(append(both, askingCommand...), raw...), now); err != nil {
		return 0, err
	}
	l.q.push(request{owner: asking{owner}, at: now, size: uint32(len(askingCommand)), n: 1, cmd: command.Other}) //nolint:gosec // a constant
	l.q.push(request{owner: owner, at: now, size: uint32(len(raw)), n: 1, cmd: id, taped: l.record(raw)})        //nolint:gosec // a command is at most 1 GiB
	return l.q.tail - 1, nil
}

// asking owns the ASKING before a command of owner, whose reply says all.
type asking struct{ owner Owner }

// Client implements Rider: the one is not kept for the next connection without the other.
func (a asking) Client() Owner { return whose(a.owner) }

// Replies implements Owner.
func (asking) Replies([]byte, int, bool) {}

// Failed implements Owner.
func (asking) Failed(command.ID, *Error) {}
