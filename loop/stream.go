package loop

import "net"

// stream feeds a connection that is no plain socket: one goroutine reads and
// one writes, each handing over to the loop before it goes on. Its fields but
// the channels belong to the loop.
type stream struct {
	nc   net.Conn
	next chan struct{} // lets the reader read once more
	send chan *chunk   // what the writer is to write; closed to end it
	busy int           // bytes with the writer
	idle bool          // the reader waits for next
}

func newStream(nc net.Conn) *stream {
	return &stream{nc: nc, next: make(chan struct{}, 1), send: make(chan *chunk, 1)}
}

func (s *stream) start(c *Conn) {
	c.loop.streams.Go(func() { s.read(c) })
	c.loop.streams.Go(func() { s.write(c) })
}

func (s *stream) close(c *Conn) {
	close(s.next)
	close(s.send)
	// Closing may block: a TLS connection says goodbye first.
	c.loop.streams.Go(func() { _ = s.nc.Close() })
}

// more lets the reader go on when the handler has room for input, or a little has: it
// finds out then when the peer will send no more.
func (s *stream) more(c *Conn) {
	if s.idle && (!c.paused || len(c.in) < chunkSize) && !c.hungUp && !c.eof && c.state == open && !c.queued {
		s.idle = false
		s.next <- struct{}{}
	}
}

func (s *stream) read(c *Conn) {
	buf := make([]byte, chunkSize)
	for {
		n, err := s.nc.Read(buf)
		done := make(chan struct{})
		posted := c.loop.Post(func() {
			defer close(done)
			s.received(c, buf[:n], err)
		})
		if !posted || err != nil {
			return
		}
		<-done
		if _, ok := <-s.next; !ok {
			return
		}
	}
}

// received runs on the loop.
func (s *stream) received(c *Conn, b []byte, err error) {
	defer c.loop.recover(c)
	if c.state != open {
		return
	}
	s.idle = true
	for len(b) > 0 && c.state == open {
		buf := c.readBuffer()
		n := copy(buf[len(c.in):], b)
		b = b[n:]
		if got := buf[:len(c.in)+n]; c.paused {
			c.keep(got)
		} else {
			c.consume(got)
		}
	}
	switch {
	case err == nil || c.state != open:
	case c.paused || c.queued:
		c.tellHungUp() // and more when it goes on
	default:
		c.endOfInput()
	}
	s.more(c)
}

// flush hands all output to the writer unless it is still busy with the last.
func (s *stream) flush(c *Conn) {
	if s.busy > 0 {
		return
	}
	if c.out.size == 0 {
		c.flushed()
		return
	}
	s.busy = c.out.size
	s.send <- c.out.head
	c.out = queue{}
}

func (s *stream) write(c *Conn) {
	for head := range s.send {
		var pieces net.Buffers
		for k := head; k != nil; k = k.next {
			pieces = append(pieces, k.buf[k.r:k.w])
		}
		_, err := pieces.WriteTo(s.nc)
		c.loop.Post(func() { s.wrote(c, head, err) })
	}
}

// wrote runs on the loop.
func (s *stream) wrote(c *Conn, head *chunk, err error) {
	for head != nil {
		next := head.next
		c.loop.chunks.put(head)
		head = next
	}
	s.busy = 0
	if c.state > draining {
		return
	}
	if err != nil {
		c.Close(err)
		return
	}
	c.flush()
}
