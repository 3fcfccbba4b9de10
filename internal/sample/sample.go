// Package sample lets the first of many events that are alike through in a period of time,
// and counts those that follow.
package sample

// Sampler samples events of type E, which are alike when they have the same K. The zero one
// is ready. It is for one goroutine; whoever has it says when a period is over.
type Sampler[K comparable, E any] struct {
	kinds map[K]*kind[E]
}

type kind[E any] struct {
	first E
	left  int // how many were left out since
}

// maxKinds bounds the kinds of a period.
const maxKinds = 4096

// Seen reports whether there was one like it in this period: then n more are counted, and it
// is left out.
func (s *Sampler[K, E]) Seen(k K, n int) bool {
	seen := s.kinds[k]
	if seen == nil {
		return false
	}
	seen.left += n
	return true
}

// Add takes the first of a kind, of which more are left out already. False says that there
// are too many kinds: it is left out, and not counted.
func (s *Sampler[K, E]) Add(k K, e E, more int) bool {
	if len(s.kinds) >= maxKinds {
		return false
	}
	if s.kinds == nil {
		s.kinds = map[K]*kind[E]{}
	}
	s.kinds[k] = &kind[E]{e, more}
	return true
}

// Turn ends a period. It calls tell with each kind of which some were left out, with how
// many: that is the next period's first. It reports whether there is any.
func (s *Sampler[K, E]) Turn(tell func(first E, left int)) (more bool) {
	for k, seen := range s.kinds {
		if seen.left == 0 {
			delete(s.kinds, k)
			continue
		}
		tell(seen.first, seen.left)
		seen.left = 0
	}
	return len(s.kinds) > 0
}
