package loop

// chunkSize is the unit in which output and unconsumed input are kept.
const chunkSize = 16 << 10

// maxFreeChunks bounds the memory that a loop keeps for reuse: 4 MiB.
const maxFreeChunks = 256

// chunk is a piece of a byte stream: the bytes from r to w are still to come.
type chunk struct {
	next *chunk
	r, w int
	buf  [chunkSize]byte
}

// chunkList is a stack of chunks for reuse: the one used last is the one in
// the processor's cache.
type chunkList struct {
	head *chunk
	n    int
}

func (f *chunkList) get() *chunk {
	c := f.head
	if c == nil {
		return new(chunk)
	}
	f.head = c.next
	f.n--
	c.next, c.r, c.w = nil, 0, 0
	return c
}

func (f *chunkList) put(c *chunk) {
	if f.n < maxFreeChunks {
		c.next = f.head
		f.head = c
		f.n++
	}
}

// queue is a byte stream made of chunks, oldest first.
type queue struct {
	head, tail *chunk
	size       int
}

// append copies b to the end of the stream.
func (q *queue) append(b []byte, free *chunkList) {
	q.size += len(b)
	for len(b) > 0 {
		if q.tail == nil || q.tail.w == chunkSize {
			c := free.get()
			if q.tail == nil {
				q.head = c
			} else {
				q.tail.next = c
			}
			q.tail = c
		}
		n := copy(q.tail.buf[q.tail.w:], b)
		q.tail.w += n
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
