package cache

import (
	"bytes"
	"strconv"
)

// ToRESP2 makes of a reply in RESP3 what Redis says in RESP2, piece by piece: for replies of the
// types that those have which a Rule is for. Null is a null string, a map or a set is an array, a
// double is a string; all others are the same in both. The zero value is ready for one reply.
type ToRESP2 struct {
	line []byte // the beginning of a line of which the end has not come
	body int    // bytes of a string still to come, its line break included
}

// Append appends to dst what a piece of the reply is in RESP2.
func (t *ToRESP2) Append(dst, piece []byte) []byte {
	for len(piece) > 0 {
		if n := min(t.body, len(piece)); n > 0 {
			dst = append(dst, piece[:n]...)
			piece = piece[n:]
			t.body -= n
			continue
		}
		end := bytes.IndexByte(piece, '\n') + 1
		if end == 0 {
			t.line = append(t.line, piece...)
			return dst
		}
		line := piece[:end]
		if len(t.line) > 0 {
			t.line = append(t.line, line...)
			line = t.line
		}
		dst = t.appendLine(dst, line)
		t.line = t.line[:0]
		piece = piece[end:]
	}
	return dst
}

func (t *ToRESP2) appendLine(dst, line []byte) []byte {
	value := bytes.TrimSuffix(line[1:], []byte("\r\n"))
	switch line[0] {
	case '_':
		return append(dst, "$-1\r\n"...)
	case '~':
		return append(append(dst, '*'), line[1:]...)
	case '%':
		n, _ := strconv.Atoi(string(value))
		return append(strconv.AppendInt(append(dst, '*'), int64(2*n), 10), "\r\n"...)
	case ',':
		dst = strconv.AppendInt(append(dst, '$'), int64(len(value)), 10)
		return append(append(dst, "\r\n"...), append(value[:len(value):len(value)], "\r\n"...)...)
	case '$':
		n, _ := strconv.Atoi(string(value))
		t.body = n + 2
	}
	return append(dst, line...)
}

// SameInRESP2 reports whether a whole reply is the same in both protocols for its first byte.
func SameInRESP2(reply []byte) bool {
	return reply[0] == '$' || reply[0] == ':' || reply[0] == '+'
}
