package cache

import (
	"bytes"

	"github.com/respgate/respgate/resp"
)

// Invalidated reads what Redis pushes to a connection that tracks keys: the keys that have
// changed, which alias push; all when nothing that is kept is sure any more. That is said when
// databases are flushed, and is to be thought of anything that is no such message.
func Invalidated(push []byte) (keys [][]byte, all bool) {
	rest, ok := bytes.CutPrefix(push, []byte(">2\r\n$10\r\ninvalidate\r\n*"))
	if !ok {
		return nil, true
	}
	digits, rest, _ := bytes.Cut(rest, []byte("\r\n"))
	n, ok := resp.ParseInt(digits)
	if !ok || n < 0 {
		return nil, true
	}
	for range n {
		var key []byte
		if key, rest, ok = cutString(rest); !ok {
			return nil, true
		}
		keys = append(keys, key)
	}
	return keys, len(rest) > 0
}

// cutString cuts off b the bulk string that it begins with.
func cutString(b []byte) (text, rest []byte, ok bool) {
	header, rest, _ := bytes.Cut(b, []byte("\r\n"))
	if len(header) < 2 || header[0] != '$' {
		return nil, nil, false
	}
	n, ok := resp.ParseInt(header[1:])
	if !ok || n < 0 || n > int64(len(rest))-2 || string(rest[n:n+2]) != "\r\n" {
		return nil, nil, false
	}
	return rest[:n], rest[n+2:], true
}

// Elements calls each with the elements of a whole reply that is an array, in order; it does
// nothing for other replies.
func Elements(reply []byte, each func(i int, element []byte)) {
	if len(reply) == 0 || reply[0] != '*' {
		return
	}
	rest := reply[bytes.IndexByte(reply, '\n')+1:]
	var f resp.ReplyFramer
	for i := 0; len(rest) > 0; i++ {
		n, done, err := f.Next(rest)
		if err != nil || !done {
			return
		}
		each(i, rest[:n])
		rest = rest[n:]
	}
}

// Life returns for how long a key lives still that PTTL was asked about, in milliseconds, or -1
// when nothing ends it; gone: there is no such key. Not ok is no answer of PTTL's.
func Life(reply []byte) (ms int64, gone, ok bool) {
	digits, isNumber := bytes.CutPrefix(reply, []byte(":"))
	ms, number := resp.ParseInt(bytes.TrimSuffix(digits, []byte("\r\n")))
	if !isNumber || !number || ms < -2 {
		return 0, false, false
	}
	return max(ms, -1), ms == -2, true
}
