package loop

const (
	// chunkSize is the unit in which output and unconsumed input are kept.
	chunkSize = 16 << 10
	// smallSize is the same for little of it, as most replies are: thousands of
	// connections have some in one turn.
	smallSize = 1 << 10
	// maxFree bounds the memory that a loop keeps for reuse: 4 MiB of each size.
	maxFree = 4 << 20
)

// chunk is a piece of a byte stream: the bytes from r to w are still to come. Its buf has
// chunkSize or smallSize bytes.
type chunk struct {
	next *chunk
	r, w int
	buf  []byte
}

// chunkList keeps chunks for reuse.
type chunkList struct {
	small, large stack
	lent         int // bytes of those in use
}

// stack holds chunks of one size: the one used last is the one in the processor's cache.
type stack struct {
	head *chunk
	n    int // bytes
}

// get returns a chunk for n bytes, or for the first of them.
func (f *chunkList) get(n int) *chunk {
	s, size := &f.small, smallSize
	if n > smallSize {
		s, size = &f.large, chunkSize
	}
	f.lent += size
	c := s.head
	if c == nil {
		return &chunk{buf: make([]byte, size)}
	}
	s.head = c.next
	s.n -= size
	c.next, c.r, c.w = nil, 0, 0
	return c
}

func (f *chunkList) put(c *chunk) {
	s := &f.small
	if len(c.buf) > smallSize {
		s = &f.large
	}
	f.lent -= len(c.buf)
	if s.n < maxFree {
		c.next = s.head
		s.head = c
		s.n += len(c.buf)
	}
}

// queue is a byte stream made of chunks, oldest first.
type queue struct {
	head, tail *chunk
	size       int
}

// append copies b to the end of the stream. What comes after a first small chunk goes to
// large ones.
func (q *queue) append(b []byte, free *chunkList) {
	for len(b) > 0 {
		if q.tail == nil || q.tail.w == len(q.tail.buf) {
			c := free.get(q.size + len(b))
			if q.tail == nil {
				q.head = c
			} else {
				q.tail.next = c
			}
			q.tail = c
		}
		n := copy(q.tail.buf[q.tail.w:], b)
		q.tail.w += n
		q.size += n
		b = b[n:]
	}
}

// discard drops n bytes, at most size, from the front of the stream.
func (q *queue) discard(n int, free *chunkList) {
	q.size -= n
	for q.head != nil && n >= q.head.w-q.head.r {
		c := q.head
		n -= c.w - c.r
		q.head = c.next
		free.put(c)
	}
	if q.head == nil {
		q.tail = nil
		return
	}
	q.head.r += n
}

// reset drops the whole stream.
func (q *queue) reset(free *chunkList) { q.discard(q.size, free) }

// vector appends the pieces of the stream, oldest first, until dst is full.
func (q *queue) vector(dst [][]byte) [][]byte {
	for c := q.head; c != nil && len(dst) < cap(dst); c = c.next {
		dst = append(dst, c.buf[c.r:c.w])
	}
	return dst
}
