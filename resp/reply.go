package resp

import (
	"bytes"
	"errors"
	"math"
)

const (
	// maxDepth bounds how deep replies are nested. Redis's own reach a few
	// levels, scripts' at most Lua's 200 C levels' worth of tables.
	maxDepth = 256
	// maxLine bounds a line: an error, a status, a big number.
	maxLine = 64 << 10
	// maxLength bounds what a header may announce: bytes, or elements.
	maxLength = math.MaxInt64 / 4
)

// Errors of a peer that does not speak RESP as Redis does.
var (
	ErrReplyType   = errors.New("reply of unknown type")
	ErrReplyLength = errors.New("reply with an invalid length")
	ErrReplyLine   = errors.New("reply with an invalid line")
	ErrReplyDepth  = errors.New("reply nested too deeply")
)

// ReplyFramer finds the ends of replies, of all types of RESP2 and RESP3, in a
// server's bytes. The zero value is ready.
type ReplyFramer struct {
	kind  byte // of the top-level reply
	line  byte // type of the line at hand, 0 between lines
	size  int  // bytes of the line so far
	last  byte // the line's last byte so far
	num   int64
	minus bool
	body  int64 // bytes still to come of a string, its line break included
	depth int
	stack [maxDepth]level
}

// level is an aggregate that is not complete.
type level struct {
	left  int64 // elements to come
	aside bool  // an attribute or a push: no element of what it is in
}

// Kind returns the type byte of the top-level reply at hand or just ended; of
// one with attributes, of what follows them; 0 when that has not come yet.
func (f *ReplyFramer) Kind() byte { return f.kind }

// Next returns how many bytes of b belong to the reply at hand, and whether it
// ends there. All of b is consumed until it ends, but for an error at the top
// level: that is handed over whole, so it stays unconsumed until it is all there.
func (f *ReplyFramer) Next(b []byte) (n int, done bool, err error) {
	if f.depth == 0 && f.line == 0 && f.body == 0 {
		f.kind = 0
		if n := small(b); n > 0 {
			f.kind = b[0]
			return n, true, nil
		}
	}
	for n < len(b) {
		if f.body > 0 {
			k := min(f.body, int64(len(b)-n))
			n += int(k)
			if f.body -= k; f.body > 0 {
				return n, false, nil
			}
			if f.value() {
				return n, true, nil
			}
			continue
		}
		if f.line == 0 && f.depth == 0 && (b[n] == '-' || b[n] == '!') {
			size, err := topError(b[n:])
			f.kind = b[n]
			return n + size, size > 0, err
		}
		used, ended, err := f.header(b[n:])
		n += used
		if err != nil || ended {
			return n, ended, err
		}
	}
	return n, false, nil
}

// small returns the size of the reply that b begins with, if it is all there
// and of the commonest kinds: a short string, a status or a number.
func small(b []byte) int {
	if len(b) < 4 {
		return 0
	}
	switch b[0] {
	case '$':
		n, end := int(b[1]-'0'), 2
		if n > 9 {
			return 0
		}
		for end < len(b) && end < 6 && b[end]-'0' <= 9 {
			n = n*10 + int(b[end]-'0')
			end++
		}
		if end+n+4 > len(b) || b[end] != '\r' || b[end+1] != '\n' {
			return 0
		}
		return end + n + 4
	case '+', ':':
		nl := bytes.IndexByte(b[:min(len(b), 64)], '\n')
		if nl > 0 && b[nl-1] == '\r' {
			return nl + 1
		}
	}
	return 0
}

// topError returns the size of the error that b begins with, or 0 when it is
// not all there.
func topError(b []byte) (int, error) {
	nl := bytes.IndexByte(b, '\n')
	switch {
	case nl < 0 && len(b) > maxLine, nl > maxLine:
		return 0, ErrReplyLine
	case nl < 0:
		return 0, nil
	case b[nl-1] != '\r':
		return 0, ErrReplyLine
	case b[0] == '-':
		return nl + 1, nil
	}
	n, ok := ParseInt(b[1 : nl-1])
	if !ok || n < 0 || n > maxLine {
		return 0, ErrReplyLength
	}
	if size := nl + 1 + int(n) + 2; size <= len(b) {
		return size, nil
	}
	return 0, nil
}

// header reads on in a line; ended says that the top-level reply ends with it.
func (f *ReplyFramer) header(b []byte) (n int, ended bool, err error) {
	if f.line == 0 {
		f.line, f.size, f.last, f.num, f.minus = b[0], 1, 0, 0, false
		if f.depth == 0 && b[0] != '|' {
			f.kind = b[0]
		}
		n = 1
	}
	nl := bytes.IndexByte(b[n:], '\n')
	part := b[n:]
	if nl >= 0 {
		part = part[:nl+1]
	}
	if f.size += len(part); f.size > maxLine {
		return n, false, ErrReplyLine
	}
	n += len(part)
	if err := f.digits(part); err != nil {
		return n, false, err
	}
	if nl < 0 {
		if len(part) > 0 {
			f.last = part[len(part)-1]
		}
		return n, false, nil
	}
	if len(part) > 1 {
		f.last = part[len(part)-2]
	}
	if f.last != '\r' {
		return n, false, ErrReplyLine
	}
	ended, err = f.endOfLine()
	return n, ended, err
}

// digits reads the number of a line that announces a length.
func (f *ReplyFramer) digits(part []byte) error {
	switch f.line {
	case '+', '-', ':', '_', '#', ',', '(':
		return nil
	case '$', '*', '!', '=', '%', '~', '>', '|':
	default:
		return ErrReplyType
	}
	for _, c := range part {
		switch {
		case c == '\r' || c == '\n':
		case c == '-' && f.num == 0 && !f.minus:
			f.minus = true
		case c < '0' || c > '9':
			return ErrReplyLength
		default:
			if f.num = f.num*10 + int64(c-'0'); f.num > maxLength/16 {
				return ErrReplyLength
			}
		}
	}
	return nil
}

// endOfLine acts on a whole line.
func (f *ReplyFramer) endOfLine() (ended bool, err error) {
	kind, n := f.line, f.num
	if f.minus {
		n = -n
	}
	f.line = 0
	switch kind {
	case '$', '!', '=':
		if n == -1 && kind == '$' {
			return f.value(), nil
		}
		if n < 0 {
			return false, ErrReplyLength
		}
		f.body = n + 2
		return false, nil
	case '*', '~', '>', '%', '|':
		if n == -1 && kind == '*' {
			return f.value(), nil
		}
		if n < 0 {
			return false, ErrReplyLength
		}
		if kind == '%' || kind == '|' {
			n *= 2
		}
		// Redis before 7.2 says what it pushes in the middle of EXEC's reply.
		return f.aggregate(n, kind == '|' || kind == '>' && f.depth > 0)
	}
	return f.value(), nil
}

// aggregate opens a level for n elements.
func (f *ReplyFramer) aggregate(n int64, aside bool) (ended bool, err error) {
	switch {
	case n == 0 && aside:
		return false, nil
	case n == 0:
		return f.value(), nil
	case f.depth == maxDepth:
		return false, ErrReplyDepth
	}
	f.stack[f.depth] = level{n, aside}
	f.depth++
	return false, nil
}

// value counts a value that is complete, and the aggregates that it completes.
// It reports whether the top-level reply is complete.
func (f *ReplyFramer) value() bool {
	for f.depth > 0 {
		top := &f.stack[f.depth-1]
		if top.left--; top.left > 0 {
			return false
		}
		f.depth--
		if top.aside {
			return false
		}
	}
	return true
}

// ErrorCode returns the first word of an error reply, which aliases b.
func ErrorCode(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	if b[0] == '!' {
		b = b[bytes.IndexByte(b, '\n')+1:]
	} else {
		b = b[1:]
	}
	if end := bytes.IndexAny(b, " \r\n"); end >= 0 {
		return b[:end]
	}
	return b
}
