package proxy

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/respgate/respgate/auth"
	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/loop"
	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/resp"
	"github.com/respgate/respgate/tenant"
)

// Output is the client's side of a session; *loop.Conn is one.
type Output interface {
	Write(b []byte)
	Unsent() int
	Held() int
	Arrived() int
	Want(n int)
	Again()
	Pause()
	Resume()
	CloseAfterFlush()
	Close(err error)
}

// ClientAddr is where a client connects from.
type ClientAddr = netip.AddrPort

var (
	errAuthTimeout = errors.New("not authenticated in time")
	errLeft        = errors.New("client has left")
	errKilled      = errors.New("killed by another client")
	errMoved       = errors.New("its instance has moved")
	errEnded       = errors.New("its key has ended")
	errOutput      = errors.New("client does not read its replies")
	errTorn        = errors.New("backend lost in the middle of a reply")
)

// waitReason is what a session waits for before it looks at more commands.
type waitReason uint8

const (
	nothing  waitReason = iota
	someone             // a look-up, a link, room: whoever it is calls resume
	idleness            // nothing is owed
	fewer               // less is owed
	reading             // the client reads what it has been sent
)

// maxOwed is how many replies a client may be owed: a longer pipeline waits, so
// that others' commands come between.
const maxOwed = 4096

// maxPushed is how many bytes a client that is sent what it did not ask for one by
// one may leave unread: the hard limit of Redis's client-output-buffer-limit pubsub.
const maxPushed = 32 << 20

// Session is one client's conversation. It is used on its loop's goroutine only.
type Session struct {
	core   *Core
	out    Output
	framer resp.Framer
	addr   ClientAddr
	local  ClientAddr // where it has connected to
	id     int64

	since, active int64 // when it connected and last sent something

	name, libName, libVer string
	proto, db             int
	current               command.ID // its last command
	wait                  waitReason
	secure                bool // it speaks TLS
	known                 bool // it has authenticated, if not as now
	hungUp                bool // the client will send no more
	heldUp                bool // CLIENT PAUSE holds it up, or it waits for tokens
	off, skip, muteNow    bool // CLIENT REPLY: none, not the next, not this
	cut                   bool // the last relayed command was muted
	stale                 bool // it is to follow its principal when nothing is owed
	partial               bool // part of a reply has gone out
	closing               bool // to end when nothing is owed
	closed                bool
	draining              bool // to end when what arrived before is answered

	before int // bytes that had arrived when draining began and are not consumed

	handle    *auth.Handle // nil: not authenticated
	principal *tenant.Principal
	was       *tenant.Principal // of a session that is closed, and may still be owed replies
	backend   pool.Backend
	buckets   buckets
	waited    time.Duration // for tokens, the commands that are being sent
	meter     *meter
	usage     *usage
	refusals  int           // commands answered with an error of the proxy's own
	links     [2]*pool.Link // by lane, acquired

	pin      pinned
	near     near
	group    group
	kept     int      // bytes of replies that wait, of calls and of names: see keep
	redirect redirect // where its invalidations go

	mutes []muted // replies to relayed commands that are kept back

	link       *pool.Link // the one that owes, or that was used last; nil at first
	last       uint64     // the position there of the last command
	sent, done uint64     // commands relayed, and answered of them
	later      later
	authTimer  Timer              // nil once authenticated
	giveUp     context.CancelFunc // of the look-up that runs, or nil

	patience  Timer             // with a client that is to read, or nil
	outBytes  int               // written since the output was last drained
	unwritten int               // replies among them
	oldest    int64             // when the first of them was written
	awaited   []func(time.Time) // observers that want to know when it is drained
}

func (s *Session) owed() uint64 { return s.sent - s.done }

// Data implements loop.Handler.
func (s *Session) Data(b []byte) int {
	if len(b) == 0 {
		s.HungUp()
		s.finish()
		return 0
	}
	s.refresh()
	s.active = s.core.Clock.Nanos()
	off := 0
	for end := s.core.allowance(); s.wait == nothing && !s.closing && !s.toldEnough(); {
		if s.isAhead() && s.fallsBehind() {
			break
		}
		if s.core.looked >= end {
			s.out.Again()
			break
		}
		sender, meter := s.usage, s.meter // AUTH changes them
		n, more := s.runBatch(b[off:])
		sender.BytesIn += int64(n)
		if meter != nil {
			meter.tenant.Bytes(n, 0)
		}
		off += n
		if !more {
			break
		}
	}
	if s.draining {
		s.before -= off
		s.concludeSoon()
	}
	if s.closing {
		return len(b)
	}
	return off
}

// HungUp is told that the client will send no more. It may have gone: a command that
// blocks must not wait for it. What is answered already it still gets.
func (s *Session) HungUp() {
	s.hungUp = true
	switch {
	case s.delayed():
		s.finish()
		s.endWait()
	case s.heldUp:
		s.drop(errLeft)
	default:
		s.endWait()
	}
}

// endWait has the backend end a wait of a client that has left, or is to.
func (s *Session) endWait() {
	if (s.hungUp || s.closing || s.draining || s.drainingForMove()) && !s.closed && s.blocked() && !s.pin.asking {
		s.askToUnblock(nil, true, func([]byte) {})
	}
}

// refresh follows a change of the principal; without one, or where it may not be used from
// here any more, the session ends.
func (s *Session) refresh() {
	if s.handle == nil || s.closed {
		return
	}
	switch p := s.handle.Principal(); {
	case p == s.principal:
	case p == nil, !p.AllowFrom.Allow(s.addr.Addr()):
		if s.heldUp || (s.pin.link != nil || s.group.acks != nil) && s.owed() > 0 {
			s.drop(errEnded) // what it waits for may never come
			return
		}
		s.finish()
	default:
		switch {
		case s.bound() && !p.Route.SameWay(s.principal.Route):
			s.drop(errMoved) // what its connection holds cannot move with it
		case s.group.topology != nil && !p.Route.SameWay(s.principal.Route) && s.owed() > 0:
			s.stale = true
			if s.wait == nothing {
				s.pause(idleness)
			}
		case s.adopt(s.handle, p) != nil:
			s.finish()
		}
	}
}

// finish ends the session once the client has got what it is owed.
func (s *Session) finish() {
	if s.closing {
		return
	}
	s.closing = true
	s.unshape()
	if s.owed() == 0 && (s.wait != someone || s.heldUp) {
		s.out.CloseAfterFlush()
	}
}

// drop ends the session at once.
func (s *Session) drop(err error) {
	s.closing = true
	s.out.Close(err)
}

// pause stops looking at commands until the reason has passed.
func (s *Session) pause(why waitReason) {
	s.wait = why
	s.out.Pause()
}

// resume undoes pause.
func (s *Session) resume() {
	s.wait, s.heldUp = nothing, false
	if s.closed {
		return
	}
	if s.closing && s.owed() == 0 {
		s.out.CloseAfterFlush()
		return
	}
	s.out.Resume()
}

// write appends b, in which n replies end, to the output.
func (s *Session) write(b []byte, n int) {
	if s.unwritten == 0 && s.outBytes == 0 {
		s.oldest = s.core.Clock.Nanos()
	}
	s.unwritten += n
	s.outBytes += len(b)
	s.usage.BytesOut += int64(len(b))
	s.out.Write(b)
	limit := s.core.Limits.MaxOutput
	if s.listens() || s.pin.monitors {
		limit = min(limit, maxPushed)
	}
	if s.out.Unsent() > limit {
		s.drop(errOutput)
	}
}

// Replies implements pool.Owner.
func (s *Session) Replies(b []byte, done int, partial bool) {
	mute := len(s.mutes) > 0 && s.mutedReply()
	s.done += uint64(done) //nolint:gosec // done counts
	s.partial = partial
	if s.closed {
		return
	}
	if !mute {
		if s.buckets.more != nil {
			s.debit(len(b))
		}
		s.write(b, done)
	}
	s.answered()
	s.endWait()
}

// Failed implements pool.Owner.
func (s *Session) Failed(id command.ID, err *pool.Error) {
	mute := len(s.mutes) > 0 && s.mutedReply()
	s.done++
	if s.closed {
		return
	}
	if s.partial {
		s.partial = false
		s.drop(errTorn)
		return
	}
	why := unservedBy(err)
	reply := why.appendReply(s.core.scratch[:0], err.Error())
	s.countRefusal(id, why, reply)
	if !mute {
		s.write(reply, 1)
	}
	s.answered()
}

// answered goes on with what waited for a reply.
func (s *Session) answered() {
	if s.partial {
		return
	}
	if len(s.later.items) > 0 {
		s.sayLater()
	}
	s.flushPushed()
	s.settlePinned()
	if s.stale && s.owed() == 0 {
		s.stale = false
		s.refresh()
	}
	switch {
	case s.owed() == 0 && s.closing && (s.wait != someone || s.heldUp):
		s.out.CloseAfterFlush()
	case s.owed() == 0 && s.wait == idleness, s.owed() < maxOwed/2 && s.wait == fewer:
		s.resume()
	}
	if s.draining {
		s.concludeSoon()
	}
}

// Drained implements loop.Handler.
func (s *Session) Drained() {
	if s.meter != nil && s.outBytes > 0 {
		s.meter.tenant.Bytes(0, s.outBytes)
		s.meter.tenant.Phase(metrics.PhaseWrite, since(s.core.Clock, s.oldest), s.unwritten)
	}
	s.outBytes, s.unwritten = 0, 0
	if len(s.awaited) > 0 {
		s.wrote()
	}
	if s.wait == reading {
		stop(&s.patience)
		s.resume()
	}
}

// Closed implements loop.Handler.
func (s *Session) Closed(err error) {
	s.closed, s.closing = true, true
	stop(&s.authTimer)
	stop(&s.patience)
	if s.giveUp != nil {
		s.giveUp()
	}
	delete(s.core.sessions, s)
	s.core.forget(s)
	if errors.Is(err, loop.ErrPanic) && s.owed() > 0 {
		s.abort(err)
	}
	s.noteDrop(err)
	s.wrote()
	s.core.Seats.move(s.principal, nil)
	s.was = s.principal
	s.leave()
	s.keep(-s.kept)
}

// abort closes the links that owe the session something.
func (s *Session) abort(err error) {
	if s.link != nil {
		s.link.Abort(err)
	}
	for c := s.group.calls.head; c != nil; c = c.next {
		c.abort(err)
	}
}

// Released is told when the client's descriptor is closed.
func (s *Session) Released() { s.core.Left() }

// leave lets go of the principal and what came with it.
func (s *Session) leave() {
	s.unshape()
	s.unpin()
	s.pin = pinned{}
	s.releaseLinks()
	s.quit()
	if s.meter != nil {
		s.meter.tenant.Clients(-1)
	}
	s.handle, s.principal, s.buckets, s.meter = nil, nil, buckets{}, nil
	s.countFor(nil)
	s.redirect = redirect{}
}
