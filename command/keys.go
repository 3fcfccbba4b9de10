package command

import "strconv"

// AppendKeys appends the positions of the keys among args, the command's name
// being args[0]. ok is false where the table cannot tell all of them.
func (id ID) AppendKeys(dst []int, args [][]byte) (_ []int, ok bool) {
	ok = true
	for i := range table[id].Keys {
		spec := &table[id].Keys[i]
		begin, found := spec.begin(args)
		switch {
		case spec.Unknown:
			ok = false
		case !found:
		case spec.KeyNum:
			var counted bool
			dst, counted = spec.appendCounted(dst, args, begin)
			ok = ok && counted
		default:
			dst = spec.appendRange(dst, args, begin)
		}
	}
	return dst, ok
}

// begin returns the position at which the search for keys begins.
func (s *KeySpec) begin(args [][]byte) (pos int, found bool) {
	if s.Keyword == "" {
		return s.Pos, s.Pos < len(args)
	}
	if s.Pos < 0 {
		for i := len(args) + s.Pos; i > 0; i-- {
			if equalUpper(s.Keyword, args[i]) {
				return i + 1, i+1 < len(args)
			}
		}
		return 0, false
	}
	for i := s.Pos; i+1 < len(args); i++ {
		if equalUpper(s.Keyword, args[i]) {
			return i + 1, true
		}
	}
	return 0, false
}

func equalUpper(word string, b []byte) bool {
	if len(word) != len(b) {
		return false
	}
	for i, c := range b {
		if c >= 'a' && c <= 'z' {
			c &^= 0x20
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

func (s *KeySpec) appendRange(dst []int, args [][]byte, begin int) []int {
	last := begin + s.Last
	if s.Last < 0 {
		last = len(args) + s.Last
		if s.Limit > 1 {
			last = begin + (len(args)-begin)/s.Limit - 1
		}
	}
	for i := begin; i <= min(last, len(args)-1); i += s.Step {
		dst = append(dst, i)
	}
	return dst
}

func (s *KeySpec) appendCounted(dst []int, args [][]byte, begin int) (_ []int, ok bool) {
	at := begin + s.Last
	if at >= len(args) {
		return dst, false
	}
	n, err := strconv.Atoi(string(args[at]))
	if err != nil || n < 0 || n > len(args) {
		return dst, false
	}
	for i := range n {
		pos := begin + s.First + i*s.Step
		if pos >= len(args) {
			return dst, false
		}
		dst = append(dst, pos)
	}
	return dst, true
}
