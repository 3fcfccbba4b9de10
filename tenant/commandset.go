package tenant

// CommandSet is the set of commands that a key may run, by the ids of the
// command table. The zero value allows nothing. A set is not changed once it
// is shared.
type CommandSet struct {
	words   []uint64
	unknown bool
}

// NewCommandSet returns an empty set for ids from 0 to n-1.
func NewCommandSet(n int) *CommandSet {
	return &CommandSet{words: make([]uint64, (n+63)/64)}
}

// Has reports whether id is in the set. An id beyond the set is not.
func (s *CommandSet) Has(id uint16) bool {
	w := int(id >> 6)
	return w < len(s.words) && s.words[w]>>(id&63)&1 != 0
}

// Set adds or removes id, which must be within the size given to NewCommandSet.
func (s *CommandSet) Set(id uint16, allowed bool) {
	if allowed {
		s.words[id>>6] |= 1 << (id & 63)
	} else {
		s.words[id>>6] &^= 1 << (id & 63)
	}
}

// SetUnknown says whether commands that the table does not know are allowed.
func (s *CommandSet) SetUnknown(allowed bool) { s.unknown = allowed }

// Unknown reports whether commands that the table does not know are allowed.
func (s *CommandSet) Unknown() bool { return s.unknown }
