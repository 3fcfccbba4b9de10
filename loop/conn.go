package loop

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"syscall"
)

// Conn is one connection of a loop. Its methods must be called on the loop's
// goroutine.
type Conn struct {
	loop    *Loop
	handler Handler
	sec     *secure // nil without TLS
	fd      int     // -1 during a TLS handshake: one descriptor is enough
	err     error   // why it closes

	out     queue
	in      []byte // received, and from skip on not consumed
	skip    int    // more than 0 only after Again
	inChunk *chunk // what in lies in, when it is small
	want    int

	state     connState
	first     bool // flushed before the others
	dirty     bool // in the loop's list of connections to flush
	queued    bool // in the loop's list of connections to deliver to
	again     bool // the handler wants the rest in the next turn
	paused    bool
	eof       bool   // the peer will send no more
	hungUp    bool   // so it will, and the handler knows, though not all is consumed
	readable  bool   // the poller watches for input
	writable  bool   // the poller watches for room
	hangingUp bool   // the poller watches for the peer's end only
	patience  *Timer // ends draining or lingering
}

type connState uint8

const (
	open connState = iota
	draining
	closing
	lingering
	released
)

// Adopt makes nc one of the loop's connections, owned by it from now on also when Adopt
// fails; open returns its handler. nc is a plain TCP or Unix connection, or a *tls.Conn
// over a Transport, whose handshake is done, away from the loop, if it has not been yet.
// Connections with first set, those to backends, are written to before the others, and do
// not linger when they are closed. It must be called on the loop's goroutine.
func (l *Loop) Adopt(nc net.Conn, first bool, open func(*Conn) Handler) error {
	c := &Conn{loop: l, first: first, fd: -1}
	socket, shaking := nc, false
	if t, ok := nc.(*tls.Conn); ok {
		wire, _ := t.NetConn().(*Transport)
		if wire == nil {
			_ = nc.Close()
			return fmt.Errorf("event loop: TLS over %T", t.NetConn())
		}
		shaking = !t.ConnectionState().HandshakeComplete
		c.sec = &secure{tls: t, wire: wire, shaking: shaking}
		socket = wire.Conn
	}
	if !shaking {
		if err := c.own(socket); err != nil {
			return err
		}
	}
	l.conns[c] = struct{}{}
	l.protect(nil, func() { c.handler = open(c) })
	switch {
	case c.handler == nil:
		c.release()
		return ErrPanic
	case shaking:
		c.shake()
	case c.sec != nil:
		c.begin()
	}
	return nil
}

// own has the loop serve the socket by a descriptor of its own, in place of the other one.
func (c *Conn) own(socket net.Conn) error {
	defer func() { _ = socket.Close() }() // the loop's is a duplicate
	raw, ok := socket.(syscall.Conn)
	if !ok {
		return fmt.Errorf("event loop: %T is no socket", socket)
	}
	fd, err := detach(raw)
	if err == nil {
		err = c.loop.poll.add(fd)
	}
	if err != nil {
		closeFD(fd)
		return fmt.Errorf("event loop: %w", err)
	}
	c.fd, c.readable = fd, true
	for fd >= len(c.loop.byFD) {
		c.loop.byFD = append(c.loop.byFD, make([]*Conn, len(c.loop.byFD)+64)...)
	}
	c.loop.byFD[fd] = c
	if c.sec != nil {
		c.sec.wire.Conn, c.sec.wire.conn = nil, c
	}
	return nil
}

// Attach is Adopt from any goroutine: the connection is adopted in one of the
// loop's next turns, or closed when that cannot be.
func (l *Loop) Attach(nc net.Conn, open func(*Conn) Handler) {
	posted := l.Post(func() {
		if err := l.Adopt(nc, false, open); err != nil {
			l.log.Warn("connection not served", "error", err)
		}
	})
	if !posted {
		_ = nc.Close()
	}
}

// Want says how many bytes, counted from the first unconsumed one, the handler
// needs before it can go on. It is a hint for sizing the buffer, which grows
// only as bytes arrive.
func (c *Conn) Want(n int) { c.want = n }

// Pause stops the delivery of input until Resume; the kernel's buffers then
// fill up and slow the peer down.
func (c *Conn) Pause() { c.paused = true }

// Resume undoes Pause. Input kept meanwhile is delivered before the turn ends.
func (c *Conn) Resume() {
	if !c.paused {
		return
	}
	c.paused = false
	if c.state != open {
		return
	}
	if len(c.in) > 0 || c.sec != nil && c.hungUp {
		c.queue()
	}
	c.watch()
}

// queue has kept input delivered before anything more is read.
func (c *Conn) queue() {
	if !c.queued {
		c.queued = true
		c.loop.ready = append(c.loop.ready, c)
	}
}

// Again has what the handler leaves unconsumed offered to it again in the next turn, though
// no more has come: others have their turn first. It is for within Data.
func (c *Conn) Again() { c.again = true }

// Close closes the connection at the end of the turn, without sending what is
// still unsent. The handler's Closed is called with err. What the kernel has still
// reaches the peer: the connection lingers until the peer has closed its side too, for
// up to a second, or for as long as the peer takes what it has not got yet.
func (c *Conn) Close(err error) {
	if c.state >= closing {
		return
	}
	c.state = closing
	c.err = err
	c.loop.closing = append(c.loop.closing, c)
}

// CloseAfterFlush takes no more input and output, sends what has been written and
// closes, as Close does. The handler's Closed is called with nil, or with ErrStalled when
// the peer has taken nothing for half a minute.
func (c *Conn) CloseAfterFlush() {
	if c.state != open {
		return
	}
	c.state = draining
	c.markDirty()
}

// report handles what the poller reported. Reports may be stale: the read or
// write that follows tells the truth.
func (c *Conn) report(e *event) {
	defer c.loop.recover(c)
	if e.writable() && c.writable && c.state <= draining {
		c.flush()
	}
	if !e.readable() {
		return
	}
	switch {
	case c.queued: // kept input comes first; this will be reported again
	case c.state == lingering:
		c.discardInput()
	case e.failed() && (c.paused || c.eof || c.state == draining):
		c.Close(io.ErrUnexpectedEOF)
	case c.paused && c.state == open && c.readsAhead():
		c.readSealed()
	case c.paused || c.eof || c.state != open:
		if e.hungUp() && c.paused && c.state == open {
			c.tellHungUp()
		}
		c.watch()
	default:
		c.read()
	}
}

// tellHungUp tells a paused connection's handler, if it wants to know, that the peer
// will send no more.
func (c *Conn) tellHungUp() {
	if c.hungUp {
		return
	}
	c.hungUp = true
	if h, ok := c.handler.(interface{ HungUp() }); ok {
		h.HungUp()
	}
}

// read takes what the socket has, once, and delivers it.
func (c *Conn) read() {
	if c.sec != nil {
		c.readSealed()
		return
	}
	buf := c.readBuffer()
	n, err := readFD(c.fd, buf[len(c.in):])
	switch {
	case isAgain(err):
	case err != nil:
		c.Close(err)
	case n == 0:
		c.endOfInput()
	default:
		c.consume(buf[:len(c.in)+n])
	}
}

func (c *Conn) endOfInput() {
	c.eof = true
	c.handler.Data(nil)
	c.watch()
}

// deliver offers kept input again after a pause.
func (c *Conn) deliver() {
	defer c.loop.recover(c)
	if !c.paused && c.state == open && len(c.in) > 0 {
		c.consume(c.in[c.skip:])
	}
	if c.sec != nil && !c.eof && c.state == open {
		c.decrypt() // what came with the end of the handshake, or how it ended
	}
}

func (c *Conn) consume(b []byte) {
	c.want = 0
	c.again = false
	n := c.handler.Data(b)
	switch {
	case c.state != open:
	case !c.again || c.paused || n == len(b):
		c.keep(b[n:])
	case len(c.in) > 0 && &b[0] == &c.in[c.skip]:
		c.in = c.in[:c.skip+len(b)] // it need not move: nothing is read before
		c.skip += n
		c.queue()
	default:
		c.keep(b[n:])
		c.queue()
	}
}

// watch tells the poller what to report, where that has changed. Input is
// unwatched only once it has been reported in vain: most pauses end before.
func (c *Conn) watch() {
	if c.state >= closing || c.sec != nil && c.sec.shaking {
		return
	}
	readable := (!c.paused || c.readsAhead()) && !c.eof && c.state == open
	writable := c.Unsent() > 0
	hangingUp := c.paused && !c.hungUp && !c.eof && c.state == open
	if readable == c.readable && writable == c.writable && hangingUp == c.hangingUp {
		return
	}
	if err := c.loop.poll.modify(c.fd, c.readable, c.writable, readable, writable, hangingUp); err != nil {
		c.Close(err)
		return
	}
	c.readable, c.writable, c.hangingUp = readable, writable, hangingUp
}

// Arrived returns how many bytes have come from the peer that the handler has not been
// given, or has not consumed. With TLS those that are encrypted count as they are. It must
// not be called from the handler's Data.
func (c *Conn) Arrived() int {
	n := len(c.in)
	if c.state == open && !c.eof {
		n += unread(c.fd)
	}
	return n
}

// finish tells the handler that the connection is gone and lets go of it.
func (c *Conn) finish() {
	c.loop.protect(nil, func() { c.handler.Closed(c.err) })
	c.out.reset(&c.loop.chunks)
	if c.sec != nil {
		c.sec.wire.out.reset(&c.loop.chunks)
	}
	c.dropInput()
	c.patience.Stop()
	if c.first || c.eof || c.sec != nil && c.sec.shaking || shutdownWrite(c.fd) != nil {
		c.release()
		return
	}
	c.state = lingering
	if !c.readable || c.writable {
		_ = c.loop.poll.modify(c.fd, c.readable, c.writable, true, false, false)
	}
	c.linger(undelivered(c.fd), 0)
}

// linger waits for the peer to close its side, and longer than a while only for what it has
// not acknowledged: left bytes, as it has been for so many times that this was looked at.
func (c *Conn) linger(left, times int) {
	c.patience = c.loop.After(lingerTime, func() {
		switch now := undelivered(c.fd); {
		case now == 0 || now >= left && times >= lingerTries:
			c.release()
		case now < left:
			c.linger(now, 0)
		default:
			c.linger(now, times+1)
		}
	})
}

// discardInput reads and throws away what a lingering peer still sends.
func (c *Conn) discardInput() {
	n, err := readFD(c.fd, c.loop.rbuf)
	if n == 0 && !isAgain(err) {
		c.release()
	}
}

func (c *Conn) release() {
	if c.state == released {
		return
	}
	c.state = released
	c.patience.Stop()
	if c.sec != nil && c.sec.shaking {
		_ = c.sec.wire.Conn.Close() // ends the handshake
		c.sec.wire.uncount()
	} else {
		c.loop.poll.remove(c.fd)
		c.loop.byFD[c.fd] = nil
		closeFD(c.fd)
	}
	delete(c.loop.conns, c)
	if h, ok := c.handler.(interface{ Released() }); ok {
		c.loop.protect(nil, h.Released)
	}
}
