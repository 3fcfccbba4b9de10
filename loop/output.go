package loop

// writeThrough is from how many bytes on output is better sent at once than copied.
const writeThrough = 32 << 10

// Write appends a copy of b to the output, which is sent at the end of the turn; much may
// be sent at once. What a connection is given that is closing is not sent, which Tail tells.
func (c *Conn) Write(b []byte) {
	switch c.state {
	case open:
		c.markDirty()
		b = b[c.sendNow(b):]
	case closing:
	default:
		return
	}
	c.out.append(b, &c.loop.chunks)
}

// sendNow sends what is better sent than copied, where nothing waits before it, and
// returns how much it has sent.
func (c *Conn) sendNow(b []byte) int {
	if len(b) < writeThrough || c.out.size > 0 || c.sec != nil {
		return 0
	}
	n, err := writeFD(c.fd, b)
	if err != nil && !isAgain(err) {
		c.Close(err)
	}
	return n
}

// Unsent returns how many bytes of output the kernel has not taken yet.
func (c *Conn) Unsent() int {
	if c.sec != nil {
		return c.out.size + c.sec.wire.out.size
	}
	return c.out.size
}

// Tail returns a copy of the last n unsent bytes, or of as many as have
// certainly not been sent. It may be called until the handler's Closed has
// returned.
func (c *Conn) Tail(n int) []byte {
	n = min(n, c.out.size)
	tail := make([]byte, 0, n)
	skip := c.out.size - n
	for k := c.out.head; k != nil; k = k.next {
		b := k.buf[k.r:k.w]
		drop := min(max(skip, 0), len(b))
		skip -= drop
		tail = append(tail, b[drop:]...)
	}
	return tail
}

func (c *Conn) markDirty() {
	if c.dirty {
		return
	}
	c.dirty = true
	if c.first {
		c.loop.first = append(c.loop.first, c)
	} else {
		c.loop.dirty = append(c.loop.dirty, c)
	}
}

// flush sends output until it is all sent or the socket takes no more.
func (c *Conn) flush() {
	if c.state > draining {
		return
	}
	q := &c.out
	if c.sec != nil {
		if c.sec.shaking && c.out.size > 0 {
			return
		}
		q = &c.sec.wire.out
		c.seal()
	}
	for q.size > 0 {
		n, err := c.writeOnce(q)
		if err != nil && !isAgain(err) {
			c.Close(err)
			return
		}
		q.discard(n, &c.loop.chunks)
		if isAgain(err) {
			break
		}
		if c.sec != nil {
			c.seal()
		}
	}
	if q.size == 0 && c.state <= draining {
		c.flushed()
	}
	if c.state == draining && c.patience == nil {
		c.expectProgress()
	}
	c.watch()
}

func (c *Conn) flushed() {
	switch {
	case c.state == open:
		c.loop.drained = append(c.loop.drained, c)
	case c.sec != nil && !c.sec.said && !c.sec.shaking:
		c.goodbye()
	default:
		c.Close(nil)
	}
}

// expectProgress closes a draining connection whose peer takes nothing of what is left.
func (c *Conn) expectProgress() {
	left := c.Unsent()
	c.patience = c.loop.After(stallTime, func() {
		switch {
		case c.state != draining:
		case c.Unsent() == left:
			c.Close(ErrStalled)
		default:
			c.expectProgress()
		}
	})
}

func (c *Conn) writeOnce(q *queue) (int, error) {
	if head := q.head; head.next == nil {
		return writeFD(c.fd, head.buf[head.r:head.w])
	}
	var pieces [maxPieces][]byte
	return writevFD(c.fd, q.vector(pieces[:0]))
}
