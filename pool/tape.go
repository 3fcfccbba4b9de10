package pool

const (
	// tapePart is how much of a command is kept: more than what names its key in nearly all.
	tapePart = 256
	// tapeMax bounds the tape of a link: what is sent while it is full is not kept.
	tapeMax = 64 << 10
)

// tape keeps how the commands begin that a link owes replies to, the oldest first, so that
// of those that turn out to be worth a look it can be told what they were. Each takes as much
// of it as recorded says. It is empty most of the time, and small: a link that owes nothing
// keeps no more than it has used lately, and after a second nothing (see Pool.watch).
type tape struct {
	buf  []byte
	head int // where the oldest begins
}

// recorded is how many bytes a command of that size takes on the tape.
func recorded(size int) int { return min(size, tapePart) }

// add keeps how the commands begin whose bytes follow each other in raw; all of them or, when
// there is no room, none.
func (t *tape) add(raw []byte, parts []Part) bool {
	if len(raw) <= tapePart {
		return t.addOne(raw)
	}
	need := 0
	for i := range parts {
		need += recorded(parts[i].Size)
	}
	if !t.room(need) {
		return false
	}
	if need == len(raw) {
		t.buf = append(t.buf, raw...)
		return true
	}
	for i := range parts {
		t.buf = append(t.buf, raw[:recorded(parts[i].Size)]...)
		raw = raw[parts[i].Size:]
	}
	return true
}

// addOne is add for one command.
func (t *tape) addOne(raw []byte) bool {
	raw = raw[:recorded(len(raw))]
	if len(t.buf)+len(raw) > cap(t.buf) && !t.room(len(raw)) {
		return false
	}
	t.buf = append(t.buf, raw...)
	return true
}

// room reports whether n more bytes fit, and makes place for them. What is kept moves only
// where there is no more of it than has been answered: a tape that is full for long costs no
// more for a command than one that is not.
func (t *tape) room(n int) bool {
	used := len(t.buf) - t.head
	from := t.buf[t.head:]
	switch {
	case used+n > tapeMax:
		return false
	case len(t.buf)+n <= cap(t.buf):
		return true
	case used <= t.head && used+n <= cap(t.buf):
	case cap(t.buf) == tapeMax:
		return false
	default:
		t.buf = make([]byte, 0, min(tapeMax, max(512, 2*(used+n))))
	}
	t.buf, t.head = append(t.buf[:0], from...), 0
	return true
}

// skip forgets the oldest command, which has that size.
func (t *tape) skip(size int) { t.head += recorded(size) }

// next returns how the oldest command begins, which has that size, and forgets it. It is
// valid until something is added.
func (t *tape) next(size int) []byte {
	begin := t.head
	t.head += recorded(size)
	return t.buf[begin:t.head]
}
