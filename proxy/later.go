package proxy

// later holds replies made here that have to wait for earlier commands' replies.
type later struct {
	bytes []byte
	items []laterItem
}

type laterItem struct {
	after uint64 // goes out when so many relayed commands are answered
	size  int
}

// laterItemSize is what one takes besides its bytes.
const laterItemSize = 16

// say answers the command at hand: after the replies that are still owed.
func (s *Session) say(reply []byte) {
	if s.muteNow {
		return
	}
	if s.owed() == 0 && !s.partial {
		s.write(reply, 1)
		return
	}
	if s.link != nil {
		s.link.Cut(s.last)
	}
	s.later.bytes = append(s.later.bytes, reply...)
	s.later.items = append(s.later.items, laterItem{s.sent, len(reply)})
	s.keep(len(reply) + laterItemSize)
	if len(s.later.bytes) > readAhead && s.wait == nothing {
		s.pause(idleness)
	}
}

// sayLater lets go of the replies whose time has come.
func (s *Session) sayLater() {
	used := 0
	n := 0
	for n < len(s.later.items) && s.later.items[n].after <= s.done {
		used += s.later.items[n].size
		n++
	}
	if n == 0 {
		return
	}
	s.write(s.later.bytes[:used], n)
	s.keep(-used - n*laterItemSize)
	if n == len(s.later.items) {
		s.later = later{}
		return
	}
	s.later.bytes = s.later.bytes[used:]
	s.later.items = s.later.items[n:]
}
