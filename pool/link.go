package pool

import (
	"errors"
	"io"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/loop"
	"github.com/respgate/respgate/resp"
	"github.com/respgate/respgate/tenant"
)

// Owner is a client whose commands ride on links. Its methods are called on
// the loop's goroutine.
type Owner interface {
	// Replies is given replies to the owner's commands, in order: done of
	// them end in b, and with partial set, b ends within the next one. b is
	// the caller's and valid during the call.
	Replies(b []byte, done int, partial bool)
	// Failed says that the owner's oldest command on this link, id, gets no
	// reply.
	Failed(id command.ID, err *Error)
}

// Meter counts what one instance's backend does. It is called on the loop's
// goroutine.
type Meter interface {
	// Answered counts n replies to the same command after nanos each.
	Answered(id command.ID, nanos int64, n int)
	// Waited counts n commands that waited nanos each for a connection.
	Waited(nanos int64, n int)
	// Refused counts an error reply to a command of owner's by its first word; code is
	// valid during the call.
	Refused(owner Owner, id command.ID, code []byte)
	// Watch returns which commands Saw is to be told of: it is asked once for each link.
	Watch() *tenant.Watch
	// Saw is told of a command that is looked at closely. sight is valid during the call.
	Saw(sight *Sight)
}

// Conn is what a link sends through; *loop.Conn is one.
type Conn interface {
	Write(b []byte)
	Unsent() int
	// Tail returns a copy of the last n unsent bytes, or of as many as have
	// certainly not been sent.
	Tail(n int) []byte
	Close(err error)
}

// fullAt is how many unsent bytes make a link full, at most: see share.
const fullAt = 4 << 20

// state is where a link is in its life.
type state uint8

const (
	idle    state = iota // no connection and none wanted
	dialing              // commands wait for the connection
	up
	broken  // a round of dialling failed: commands fail at once, probes go on
	turning // the connection is to be replaced when it owes nothing: commands wait for the next
)

// errGarbage closes a connection whose bytes cannot be matched to requests.
var errGarbage = errors.New("unexpected data from backend")

// Link is one shared connection to a backend, or the wish for one: it dials
// when it is used and dials again when it is lost. Many clients' commands ride
// on it, and each reply goes to the client whose turn it is. Its methods must be
// called on its loop's goroutine.
type Link struct {
	key     Key
	meter   Meter
	nanos   func() int64 // the loop's clock
	redial  func(*Link)  // starts a round of dialling
	onIdle  func(*Link)  // the last client has left
	memory  memory
	conn    Conn
	state   state
	framer  resp.ReplyFramer
	q       ring   // commands sent, and behind them those in the backlog
	backlog []byte // commands waiting for a connection
	cause   error  // why the link is broken
	partial bool   // part of the oldest command's reply has been handed out
	moved   int64  // when bytes last came or went, nanoseconds of the loop's clock
	clients int
	gone    bool           // it is never to connect again
	waiting []func(*Error) // want to know when the link is up, or cannot be
	roomy   []func()       // want to know when the link is no longer full
	hello   Hello
	retry   *loop.Timer // of a broken link that waits to dial again
	pin     *pinned     // nil: the link is shared
	turnAt  uint64      // while turning, the position of the first command that waits
	watched
}

// Acquire counts a client of the link, Release undoes it: a link without
// clients is closed when it has been idle for long enough.
func (l *Link) Acquire() { l.clients++ }

// Release is the opposite of Acquire.
func (l *Link) Release() {
	l.clients--
	if l.clients == 0 {
		l.onIdle(l)
	}
}

// Hello returns what the backend said of itself when last connected.
func (l *Link) Hello() Hello { return l.hello }

// Key returns what the link is to.
func (l *Link) Key() Key { return l.key }

// Want has the link connect, if it is not about to.
func (l *Link) Want() { l.dial() }

// refresh has the link's group looked at, if it has one: a server cannot be reached.
func (k *Key) refresh() {
	if k.Group != nil {
		k.Group.Refresh()
	}
}

// Connected reports whether what is sent now goes out at once.
func (l *Link) Connected() bool { return l.state == up }

// Part is one command of several that are sent together: which, and of how many bytes.
type Part struct {
	ID   command.ID
	Size int
}

// Send sends the command id, whose bytes are raw, for owner. pos names the
// command for Cut. An error says that it was not sent, nor ever will be.
func (l *Link) Send(owner Owner, raw []byte, id command.ID, now int64) (pos uint64, err *Error) {
	if err := l.write(raw, now); err != nil {
		return 0, err
	}
	l.q.push(request{owner: owner, at: now, size: uint32(len(raw)), n: 1, cmd: id, taped: l.record(raw)}) //nolint:gosec // a command is at most 1 GiB
	return l.q.tail - 1, nil
}

// SendAll is Send for several commands on a shared link, whose bytes follow each other in
// raw. pos names the last of them.
func (l *Link) SendAll(owner Owner, raw []byte, parts []Part, now int64) (pos uint64, err *Error) {
	if err := l.write(raw, now); err != nil {
		return 0, err
	}
	taped := l.recordAll(raw, parts)
	for _, p := range parts {
		l.q.add(request{owner: owner, at: now, size: uint32(p.Size), n: 1, cmd: p.ID, taped: taped}) //nolint:gosec // a command is at most 1 GiB
	}
	return l.q.tail - 1, nil
}

// write has raw sent now or when there is a connection.
func (l *Link) write(raw []byte, now int64) *Error {
	switch l.state {
	case up:
		if l.q.len() == 0 {
			l.moved = now
		}
		l.conn.Write(raw)
	case broken:
		return refusal(l.cause)
	default:
		if n := len(l.backlog) + len(raw); n > leastShare && n > l.share(maxBacklog) {
			return &Error{Reason: "too many commands wait for a connection"}
		}
		l.setBacklog(append(l.backlog, raw...))
		l.dial()
	}
	return nil
}

// Cut has the replies up to the command at pos handed out apart from later
// ones, so that the owner can put an answer of its own between them.
func (l *Link) Cut(pos uint64) {
	if pos-l.q.head < l.q.tail-l.q.head {
		l.q.at(pos).cut = true
	}
}

// Full reports whether the backend takes bytes more slowly than they come.
func (l *Link) Full() bool {
	n := l.Unsent()
	return n > leastShare && n > l.share(fullAt)
}

// WhenRoom has fn called once when the link is no longer full.
func (l *Link) WhenRoom(fn func()) { l.roomy = append(l.roomy, fn) }

// WhenUp has fn called, perhaps at once, when the link is up, or with the reason
// why it cannot be.
func (l *Link) WhenUp(fn func(*Error)) {
	switch l.state {
	case up:
		fn(nil)
	case broken:
		fn(refusal(l.cause))
	default:
		l.waiting = append(l.waiting, fn)
		l.dial()
	}
}

func (l *Link) dial() {
	if l.state == idle {
		l.state = dialing
		l.redial(l)
	}
}

// Up gives the link a connection that owes nothing.
func (l *Link) Up(conn Conn, hello Hello) {
	l.conn, l.hello, l.state, l.cause = conn, hello, up, nil
	l.framer, l.pieces, l.answeredAt = resp.ReplyFramer{}, 0, 0
	l.moved = l.nanos()
	for pos := l.q.head; pos != l.q.tail; pos++ {
		q := l.q.at(pos)
		l.meter.Waited(l.moved-q.at, int(q.n))
		q.wait(l.moved - q.at)
		q.at = l.moved
	}
	if len(l.backlog) > 0 {
		conn.Write(l.backlog)
		l.setBacklog(nil)
	}
	l.wake(nil)
}

// Down says that a round of dialling has failed: what waited fails.
func (l *Link) Down(cause error) {
	l.state, l.cause = broken, cause
	l.setBacklog(nil)
	l.key.refresh()
	failed := l.take()
	refused := refusal(cause)
	for _, q := range failed {
		q.owner.Failed(q.cmd, refused)
	}
	l.wake(refused)
}

func (l *Link) wake(err *Error) {
	waiting, roomy := l.waiting, l.roomy
	l.waiting, l.roomy = nil, nil
	for _, fn := range waiting {
		fn(err)
	}
	for _, fn := range roomy {
		fn()
	}
}

// take empties the queue and returns what was in it.
func (l *Link) take() []request {
	taken := l.q.all()
	l.q = ring{}
	l.partial = false
	l.forgetTape()
	return taken
}

// Data implements loop.Handler: it hands the replies in b to their owners,
// consecutive ones of the same owner in one piece.
func (l *Link) Data(b []byte) int {
	if len(b) == 0 {
		l.conn.Close(io.EOF)
		return 0
	}
	switch {
	case l.pin != nil:
		return l.dataPinned(b)
	case l.state == turning:
		return l.dataTurning(b)
	}
	return l.replies(b)
}

// replies is Data for a shared link's connection.
func (l *Link) replies(b []byte) int {
	now := l.nanos()
	l.moved = now
	run := run{link: l, lookout: l.lookout(now)}
	off := 0
	for off < len(b) {
		n, done, err := l.framer.Next(b[off:])
		if err != nil || n > 0 && (l.q.len() == 0 || l.framer.Kind() == '>') { // nobody's, or no reply
			l.conn.Close(errGarbage)
			break
		}
		if n == 0 {
			break
		}
		q := l.q.at(l.q.head)
		if run.owner != q.owner {
			run.deliver(b[run.start:off], false)
			q = l.q.at(l.q.head) // the queue may have grown meanwhile
			run.owner, run.start = q.owner, off
		}
		piece := b[off : off+n]
		off += n
		if !done {
			run.deliver(b[run.start:off], true)
			l.partial = true
			l.pieces += n
			break
		}
		l.partial = false
		run.answered(q, piece)
		if q.n--; q.n > 0 {
			continue
		}
		cut := q.cut
		l.q.pop()
		if cut {
			run.deliver(b[run.start:off], false)
			run.start = off
		}
	}
	run.deliver(b[min(run.start, off):off], false)
	run.count()
	return off
}

// run gathers consecutive replies: those of one owner for delivery, those to
// one command sent at one time for the metrics.
type run struct {
	link  *Link
	owner Owner
	start int // where in the input the owner's replies begin
	done  int // how many of them end there
	lookout
	cmd command.ID
	at  int64
	n   int // replies to cmd sent at at
}

func (r *run) answered(q *request, reply []byte) {
	r.done++
	r.look(r.link, q, reply)
	if q.cmd == command.Other && ownCommand(q.owner) {
		return
	}
	if r.n > 0 && (r.cmd != q.cmd || r.at != q.at) {
		r.count()
	}
	r.cmd, r.at = q.cmd, q.at
	r.n++
	if r.link.isError() {
		r.link.refused(q.owner, q.cmd, reply)
	}
}

// refused takes note of an error reply. One that writes do not go here says that the server
// is no primary any more, whatever the command was that met it.
func (l *Link) refused(owner Owner, id command.ID, reply []byte) {
	code := resp.ErrorCode(reply)
	if string(code) == "READONLY" {
		l.key.refresh()
	}
	l.meter.Refused(owner, id, code)
}

func (r *run) count() {
	if r.n > 0 {
		r.link.meter.Answered(r.cmd, r.now-r.at, r.n)
		r.n = 0
	}
}

func (r *run) deliver(b []byte, partial bool) {
	if len(b) > 0 {
		r.owner.Replies(b, r.done, partial)
		r.start += len(b)
		r.done = 0
	}
}

// Drained implements loop.Handler.
func (l *Link) Drained() {
	l.wakeRoomy()
}
