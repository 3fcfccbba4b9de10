package loop

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// maxSealed is how many encrypted bytes of one connection wait for its socket: more
// output stays as it is until there is room.
const maxSealed = 4 * chunkSize

// Transport is what a TLS connection runs over that a loop is to serve: until the loop
// has adopted it, the socket itself, which may block; from then on the loop's buffers,
// which have nothing to read when the loop has not read it.
type Transport struct {
	net.Conn        // the socket; nil once it is the loop's
	conn     *Conn  // whose it is from then on
	in       []byte // received and not decrypted; the loop's, valid during the call
	eof      bool
	out      queue // encrypted and not sent
	gate     *Gate // nil: the handshake is not bounded
	inside   bool  // it has the handshake's place in the gate
	got      int   // bytes received during the handshake
	loop     *Loop // counts what the handshake holds; nil without one
	counted  atomic.Int64
}

// NewTransport returns a transport for tls.Server or tls.Client over a plain TCP or
// Unix connection, which it owns.
func NewTransport(nc net.Conn) *Transport { return &Transport{Conn: nc} }

// wouldBlock is temporary, so that crypto/tls goes on later where it has stopped.
type wouldBlock struct{}

func (wouldBlock) Error() string   { return "nothing received yet" }
func (wouldBlock) Timeout() bool   { return false }
func (wouldBlock) Temporary() bool { return true }

var errWouldBlock net.Error = wouldBlock{}

// Read implements net.Conn.
func (t *Transport) Read(b []byte) (int, error) {
	switch {
	case t.conn == nil:
		return t.readShaking(b)
	case len(t.in) > 0:
		n := copy(b, t.in)
		t.in = t.in[n:]
		return n, nil
	case t.eof:
		return 0, io.EOF
	}
	return 0, errWouldBlock
}

// Write implements net.Conn.
func (t *Transport) Write(b []byte) (int, error) {
	if t.conn == nil {
		return t.writeShaking(b)
	}
	t.out.append(b, &t.conn.loop.chunks)
	t.conn.markDirty()
	return len(b), nil
}

// SetWriteDeadline implements net.Conn: what is the loop's does not wait.
func (t *Transport) SetWriteDeadline(at time.Time) error {
	if t.conn == nil {
		return t.Conn.SetWriteDeadline(at)
	}
	return nil
}

// Close implements net.Conn: the loop closes what is the loop's.
func (t *Transport) Close() error {
	if t.conn == nil {
		return t.Conn.Close()
	}
	return nil
}

// secure is the TLS side of a connection, nil for one without.
type secure struct {
	tls     *tls.Conn
	wire    *Transport
	shaking bool // the handshake is not over: the socket is not the loop's yet
	said    bool // that no more output comes
}

// shake has the handshake done on a goroutine; then the loop takes the socket over.
func (c *Conn) shake() {
	c.sec.wire.loop = c.loop
	c.loop.tasks.Go(func() {
		err := c.sec.tls.HandshakeContext(context.Background()) // closing the socket ends it
		c.sec.wire.shaken(err)
		c.loop.Post(func() { c.takeOver(err) })
	})
}

// takeOver has the loop serve the socket after a handshake that ended with err. After one
// that failed the connection lingers, so that the alert is not destroyed by a reset.
func (c *Conn) takeOver(err error) {
	if c.state > draining {
		return
	}
	client := c.sec.wire.RemoteAddr()
	if unowned := c.own(c.sec.wire.Conn); unowned != nil {
		c.Close(cmp.Or(err, unowned))
		return
	}
	c.sec.shaking = false
	if err != nil {
		c.loop.log.Debug("TLS handshake failed", "client", client, "error", err)
		c.Close(err)
		return
	}
	c.begin()
}

// begin goes on after the handshake. What came with its end is looked at later in the turn.
func (c *Conn) begin() {
	c.tellCertificate()
	c.queue()
	c.markDirty()
}

// tellCertificate tells the handler, if it wants to know, what the peer has shown.
func (c *Conn) tellCertificate() {
	h, ok := c.handler.(interface{ Certified(*x509.Certificate) })
	if !ok {
		return
	}
	if state := c.sec.tls.ConnectionState(); len(state.VerifiedChains) > 0 {
		c.loop.protect(c, func() { h.Certified(state.PeerCertificates[0]) })
	}
}

// maxAhead is how much input a paused connection keeps until it is read no more: its end, which
// comes sealed in the stream, is only seen by reading what is before it. The last read brings as
// much once more, and may complete a record of which as much had come: at most three times that.
const maxAhead = chunkSize

// readsAhead reports whether a paused connection is read all the same.
func (c *Conn) readsAhead() bool {
	return c.sec != nil && !c.sec.shaking && !c.hungUp && len(c.in) < maxAhead
}

// readSealed is read for a connection with TLS.
func (c *Conn) readSealed() {
	if c.loop.sealed == nil {
		c.loop.sealed = make([]byte, readSize)
	}
	room := c.loop.sealed
	if c.paused {
		room = room[:maxAhead]
	}
	n, err := readFD(c.fd, room)
	switch {
	case isAgain(err):
	case err != nil:
		c.Close(err)
	default:
		c.sec.wire.in, c.sec.wire.eof = c.loop.sealed[:n], n == 0
		c.decrypt()
		c.sec.wire.in = nil
	}
}

// decrypt delivers what the bytes received so far hold.
func (c *Conn) decrypt() {
	for {
		buf := c.readBuffer()
		n, err := c.sec.tls.Read(buf[len(c.in):])
		if n > 0 {
			if got := buf[:len(c.in)+n]; c.paused || c.queued {
				c.keep(got)
			} else {
				c.consume(got)
			}
		}
		switch {
		case c.state != open || errors.Is(err, errWouldBlock):
			return
		case errors.Is(err, io.EOF) && c.queued:
			return // what has come before is looked at first, and then this again
		case errors.Is(err, io.EOF) && c.paused:
			c.tellHungUp() // and more when it goes on
			return
		case errors.Is(err, io.EOF):
			c.endOfInput()
			return
		case err != nil:
			c.sendAlert()
			c.Close(err)
			return
		}
	}
}

// sendAlert sends what crypto/tls has said of input that it could not read, behind what
// was sealed before, as far as the socket takes it.
func (c *Conn) sendAlert() {
	if c.sec.wire.out.size > 0 {
		_, _ = c.writeOnce(&c.sec.wire.out)
	}
}

// seal encrypts output, as much as may wait for the socket.
func (c *Conn) seal() {
	dirty := c.dirty
	c.dirty = true // it is being flushed: what is sealed needs no other turn
	defer func() { c.dirty = dirty }()
	for c.out.size > 0 && c.sec.wire.out.size < maxSealed {
		b := c.out.head.buf[c.out.head.r:c.out.head.w]
		if _, err := c.sec.tls.Write(b); err != nil {
			c.Close(err)
			return
		}
		c.out.discard(len(b), &c.loop.chunks)
	}
}

// goodbye tells the peer that no more comes, behind what waits for the socket.
func (c *Conn) goodbye() {
	c.sec.said = true
	_ = c.sec.tls.CloseWrite()
	c.markDirty()
}
