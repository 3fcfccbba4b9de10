//go:build linux

package chaos

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// reply is a reply, or a command as it is on the wire. Its kind is the first byte, but '_'
// for every form of null and '$' for every form of text.
type reply struct {
	kind  byte
	text  string
	items []reply
}

// String is the reply for people.
func (r reply) String() string {
	switch r.kind {
	case '_':
		return "null"
	case '*', '%', '~', '>':
		parts := make([]string, len(r.items))
		for i, item := range r.items {
			parts[i] = item.String()
		}
		return "[" + strings.Join(parts, " ") + "]"
	}
	return string(r.kind) + r.text
}

// number is the reply's integer; false says that it is none.
func (r reply) number() (int64, bool) {
	n, err := strconv.ParseInt(r.text, 10, 64)
	return n, r.kind == ':' && err == nil
}

// words are the texts of an array of texts; nil says that it is none.
func (r reply) words() (words []string) {
	if r.kind != '*' && r.kind != '>' {
		return nil
	}
	for _, item := range r.items {
		words = append(words, item.text)
	}
	return words
}

// wire reads RESP2 and RESP3. raw collects the bytes that were read, for who passes them on.
type wire struct {
	*bufio.Reader
	raw []byte
}

func newWire(r io.Reader) *wire { return &wire{Reader: bufio.NewReaderSize(r, 64<<10)} }

// next reads one reply or command; it owns raw until the next call.
func (w *wire) next() (reply, error) {
	w.raw = w.raw[:0]
	return w.value()
}

func (w *wire) value() (reply, error) {
	line, err := w.ReadSlice('\n')
	if err != nil {
		return reply{}, err
	}
	w.raw = append(w.raw, line...)
	if len(line) < 3 {
		return reply{}, fmt.Errorf("not RESP: %q", line)
	}
	r := reply{kind: line[0], text: string(line[1 : len(line)-2])}
	switch r.kind {
	case '+', '-', ':', '#', ',', '(':
		return r, nil
	case '_':
		return reply{kind: '_'}, nil
	}
	n, err := strconv.Atoi(r.text)
	if err != nil {
		return reply{}, fmt.Errorf("not RESP: %q", line)
	}
	if n < 0 {
		return reply{kind: '_'}, nil
	}
	switch r.kind {
	case '$', '=', '!':
		return w.bulk(r.kind, n)
	case '%':
		n *= 2
	case '*', '~', '>':
	default:
		return reply{}, fmt.Errorf("not RESP: %q", line)
	}
	r.text = ""
	for range n {
		item, err := w.value()
		if err != nil {
			return reply{}, err
		}
		r.items = append(r.items, item)
	}
	return r, nil
}

func (w *wire) bulk(kind byte, n int) (reply, error) {
	start := len(w.raw)
	w.raw = append(w.raw, make([]byte, n+2)...)
	if _, err := io.ReadFull(w.Reader, w.raw[start:]); err != nil {
		return reply{}, err
	}
	if kind == '=' {
		kind = '$'
	}
	return reply{kind: kind, text: string(w.raw[start : start+n])}, nil
}
