package cache

// sieve chooses what is dropped to make room. New entries come in at one end; a hand goes from
// the other, lets those stay that were given since it last came by, and takes the first that was
// not. What is read once goes soon, what is read often stays, and reading costs one bit.
// See https://www.usenix.org/conference/nsdi24/presentation/zhang-yazhuo.
type sieve struct {
	newest, oldest, hand *Entry
	n                    int
}

func (s *sieve) add(e *Entry) {
	e.older, e.newer = s.newest, nil
	if s.newest != nil {
		s.newest.newer = e
	} else {
		s.oldest = e
	}
	s.newest = e
	s.n++
}

func (s *sieve) remove(e *Entry) {
	if s.hand == e {
		s.hand = e.newer
	}
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		s.newest = e.older
	}
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		s.oldest = e.newer
	}
	e.newer, e.older = nil, nil
	s.n--
}

// victim returns the entry that is to go; there is one at least.
func (s *sieve) victim() *Entry {
	e := s.hand
	for {
		if e == nil {
			e = s.oldest
		}
		if !e.visited {
			s.hand = e
			return e
		}
		e.visited = false
		e = e.newer
	}
}
