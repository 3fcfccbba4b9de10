package loop

import "math/bits"

// readBuffer returns a buffer that begins with the kept input and has room for
// more. Little input is kept apart and read on in the loop's large buffer; much
// is read straight into its place.
func (c *Conn) readBuffer() []byte {
	if c.skip > 0 {
		c.in = c.in[:copy(c.in, c.in[c.skip:])]
		c.skip = 0
	}
	if len(c.in) <= chunkSize/2 {
		copy(c.loop.rbuf, c.in)
		return c.loop.rbuf
	}
	if len(c.in) == cap(c.in) {
		c.move(c.in, readSize)
	}
	return c.in[:cap(c.in)]
}

// keep keeps rest, which lies in c.in or in the loop's buffer, for later.
func (c *Conn) keep(rest []byte) {
	c.skip = 0
	switch {
	case len(rest) == 0:
		c.dropInput()
	case len(rest) > chunkSize && c.inChunk == nil && cap(c.in) >= len(rest):
		c.in = c.in[:copy(c.in[:len(rest)], rest)]
	case len(rest) > chunkSize:
		c.move(rest, 4*chunkSize)
	default:
		if c.inChunk == nil || len(c.inChunk.buf) < len(rest) {
			k := c.loop.chunks.get(len(rest))
			copy(k.buf, rest) // before rest's own buffer is let go of
			c.dropInput()
			c.inChunk = k
		} else {
			copy(c.inChunk.buf, rest)
		}
		c.in = c.inChunk.buf[:len(rest)]
	}
}

// move keeps rest in a larger buffer, of size at least: four times of what there is, or
// twice where that is much, so that all copying together stays linear; but it need not be
// beyond what the handler wants.
func (c *Conn) move(rest []byte, size int) {
	factor := 4
	if len(rest) > readSize {
		factor = 2
	}
	size = max(size, factor*len(rest))
	if c.want > len(rest) {
		size = min(size, c.want)
	}
	in := c.loop.buffers.get(size)[:len(rest)]
	copy(in, rest)
	c.dropInput()
	c.in = in
}

func (c *Conn) dropInput() {
	switch {
	case c.inChunk != nil:
		c.loop.chunks.put(c.inChunk)
		c.inChunk = nil
	case c.in != nil:
		c.loop.buffers.put(c.in)
	}
	c.in, c.skip = nil, 0
}

const (
	minBuffer = 15 // buffers of 32 KiB
	maxBuffer = 21 // to 2 MiB are kept for reuse
	// maxBuffers bounds the memory that a loop keeps in them.
	maxBuffers = 16 << 20
)

// bufferList keeps large buffers for reuse, whose capacities are powers of two.
type bufferList struct {
	free [maxBuffer - minBuffer + 1][][]byte
	size int // bytes in all
	lent int // bytes of those in use
}

// get returns an empty buffer for at least n bytes; one that is not kept for reuse is for
// exactly as many.
func (l *bufferList) get(n int) []byte {
	class := max(minBuffer, bits.Len(uint(n-1)))
	if class > maxBuffer {
		l.lent += n
		return make([]byte, 0, n)
	}
	l.lent += 1 << class
	list := &l.free[class-minBuffer]
	if last := len(*list) - 1; last >= 0 {
		b := (*list)[last]
		(*list)[last] = nil
		*list = (*list)[:last]
		l.size -= cap(b)
		return b
	}
	return make([]byte, 0, 1<<class)
}

func (l *bufferList) put(b []byte) {
	l.lent -= cap(b)
	class := bits.Len(uint(cap(b) - 1))
	if class < minBuffer || class > maxBuffer || cap(b) != 1<<class || l.size+cap(b) > maxBuffers {
		return
	}
	l.size += cap(b)
	l.free[class-minBuffer] = append(l.free[class-minBuffer], b[:0])
}
