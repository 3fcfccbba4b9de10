package insight

import "slices"

// width is how many counters a sketch has: what is at least one in so many of all is
// certainly in it.
const width = 64

// sketch counts the most frequent of many things with few counters, by Space-Saving
// (Metwally, Agrawal, El Abbadi: Efficient Computation of Frequent and Top-k Elements in Data
// Streams, 2005): what has no counter takes over the one that has counted least, and that
// count with it. Things are told apart by 64-bit hashes with a secret seed. It grows as it is
// filled, and then allocates nothing.
type sketch[T any] struct {
	hashes []uint64
	counts []count
	items  []T
	low    uint64 // at most what the least has counted, once it is full
	passed int    // those before have counted more
}

// count is between what was counted without over and all of it.
type count struct {
	all  uint64 // at least the true count
	over uint64 // of all, what may be others': all-over is at most the true count
}

// add counts n of what has a hash. It returns what the sketch keeps of it, and whether that
// is another's, to be overwritten.
func (s *sketch[T]) add(hash, n uint64) (item *T, fresh bool) {
	for i, h := range s.hashes {
		if h == hash {
			s.counts[i].all += n
			return &s.items[i], false
		}
	}
	if len(s.hashes) < width {
		i := len(s.hashes)
		if i == cap(s.hashes) {
			s.grow()
		}
		s.hashes, s.counts, s.items = append(s.hashes, hash), append(s.counts, count{all: n}), s.items[:i+1]
		return &s.items[i], true
	}
	i := s.least()
	floor := s.counts[i].all
	s.hashes[i], s.counts[i] = hash, count{all: floor + n, over: floor}
	return &s.items[i], true
}

// least is a counter of a full sketch that has counted least. Since counts only grow, and none
// is below low, those are found one by one in the same pass.
func (s *sketch[T]) least() int {
	for i := s.passed; i < width; i++ {
		if s.counts[i].all == s.low {
			s.passed = i + 1
			return i
		}
	}
	s.low, s.passed = s.floor(), 0
	return s.least()
}

// floor is the most that what has no counter may have been counted.
func (s *sketch[T]) floor() uint64 {
	if len(s.counts) < width {
		return 0
	}
	floor := s.counts[0].all
	for i := range s.counts {
		floor = min(floor, s.counts[i].all)
	}
	return floor
}

func (s *sketch[T]) grow() {
	n := len(s.hashes)
	size := max(4, 2*n)
	s.hashes = append(make([]uint64, 0, size), s.hashes...)
	s.counts = append(make([]count, 0, size), s.counts...)
	items := make([]T, n, size)
	copy(items, s.items)
	s.items = items
}

// reset forgets all, and keeps its room and what the items have.
func (s *sketch[T]) reset() {
	s.hashes, s.counts, s.items, s.low, s.passed = s.hashes[:0], s.counts[:0], s.items[:0], 0, 0
}

// clone copies what is counted. The items are copied as they are.
func (s *sketch[T]) clone() sketch[T] {
	return sketch[T]{hashes: slices.Clone(s.hashes), counts: slices.Clone(s.counts), items: slices.Clone(s.items)}
}

// room is how many slots it takes.
func (s *sketch[T]) room() int { return cap(s.hashes) }

// mergedCount adds counts of the same thing in several sketches up.
type mergedCount[T any] struct {
	item  T
	count count
	known uint64 // the floors of the sketches that have it
}

// merger adds sketches up.
type merger[T any] struct {
	all    map[uint64]*mergedCount[T]
	floors uint64
}

// add adds a sketch. Of what several have, the last one's item is taken.
func (m *merger[T]) add(s *sketch[T]) {
	floor := s.floor()
	m.floors += floor
	for i, hash := range s.hashes {
		c := m.all[hash]
		if c == nil {
			c = new(mergedCount[T])
			m.all[hash] = c
		}
		c.item = s.items[i]
		c.count.all += s.counts[i].all
		c.count.over += s.counts[i].over
		c.known += floor
	}
}

// total is a thing's count over all sketches: where it has no counter, it may have been
// counted up to the floor.
func (m *merger[T]) total(c *mergedCount[T]) count {
	missed := m.floors - c.known
	return count{all: c.count.all + missed, over: c.count.over + missed}
}
