package loop

// readBuffer returns a buffer that begins with the kept input and has room for
// more. Little input is kept apart and read on in the loop's large buffer; much
// is read straight into its place.
func (c *Conn) readBuffer() []byte {
	if len(c.in) <= chunkSize/2 {
		copy(c.loop.rbuf, c.in)
		return c.loop.rbuf
	}
	if len(c.in) == cap(c.in) {
		c.grow()
	}
	return c.in[:cap(c.in)]
}

// grow at least doubles the room, so that all copying together stays linear,
// but not beyond what the handler wants.
func (c *Conn) grow() {
	size := 2 * cap(c.in)
	if c.want > len(c.in) {
		size = min(size, c.want)
	}
	in := make([]byte, len(c.in), size)
	copy(in, c.in)
	c.dropInput()
	c.in = in
}

// keep keeps rest, which lies in c.in or in the loop's buffer, for later.
func (c *Conn) keep(rest []byte) {
	switch {
	case len(rest) == 0:
		c.dropInput()
	case len(rest) > chunkSize && c.inChunk == nil && cap(c.in) >= len(rest):
		c.in = c.in[:copy(c.in[:len(rest)], rest)]
	case len(rest) > chunkSize:
		in := make([]byte, len(rest), max(readSize, len(rest)))
		copy(in, rest)
		c.dropInput()
		c.in = in
	default:
		if c.inChunk == nil || len(c.inChunk.buf) < len(rest) {
			k := c.loop.chunks.get(len(rest))
			copy(k.buf, rest) // before rest's own chunk is let go of
			c.dropInput()
			c.inChunk = k
		} else {
			copy(c.inChunk.buf, rest)
		}
		c.in = c.inChunk.buf[:len(rest)]
	}
}

func (c *Conn) dropInput() {
	if c.inChunk != nil {
		c.loop.chunks.put(c.inChunk)
		c.inChunk = nil
	}
	c.in = nil
}
