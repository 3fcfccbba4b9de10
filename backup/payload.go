package backup

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// What a payload of DUMP begins with, of those whose elements are in the order of a hash
// table, which is chance; and how long its end is: the version of the format and a checksum.
const (
	setTable   = 2
	hashTable  = 4
	payloadEnd = 10
)

// lastPlain is the last kind of value of which clients read all that there is: those after it are
// hashes whose fields expire.
const lastPlain = 21

// isPlain reports whether a payload is of such a kind.
func isPlain(payload string) bool { return len(payload) > payloadEnd && payload[0] <= lastPlain }

// samePayload reports whether two payloads hold the same. False is that they do, perhaps, in
// different forms: versions and settings of Redis keep values differently.
func samePayload(a, b string) bool {
	if a == b {
		return true
	}
	x, ok := content(a)
	y, alsoOK := content(b)
	return ok && alsoOK && bytes.Equal(x, y)
}

// content is a payload without its end; what is in the order of a hash table is in order.
func content(payload string) ([]byte, bool) {
	if len(payload) <= payloadEnd {
		return nil, false
	}
	body := []byte(payload[:len(payload)-payloadEnd])
	each := 1
	switch body[0] {
	case hashTable:
		each = 2
	case setTable:
	default:
		return body, true
	}
	n, rest, ok := length(body[1:])
	if !ok {
		return nil, false
	}
	begin := body[:len(body)-len(rest)]
	var all [][]byte
	for range n {
		from := rest
		for range each {
			if rest, ok = skip(rest); !ok {
				return nil, false
			}
		}
		all = append(all, from[:len(from)-len(rest)])
	}
	slices.SortFunc(all, bytes.Compare)
	return append(slices.Concat(begin, slices.Concat(all...)), rest...), true
}

// skip returns what follows a string of a payload: a length and as many bytes, a number, or
// what LZF has made of it.
func skip(b []byte) ([]byte, bool) {
	const number8, number16, number32, lzf = 0xc0, 0xc1, 0xc2, 0xc3
	if len(b) == 0 {
		return nil, false
	}
	n, ok := uint64(0), true
	switch b[0] {
	case number8:
		n, b = 1, b[1:]
	case number16:
		n, b = 2, b[1:]
	case number32:
		n, b = 4, b[1:]
	case lzf:
		if n, b, ok = length(b[1:]); ok {
			_, b, ok = length(b)
		}
	default:
		n, b, ok = length(b)
	}
	if !ok || n > uint64(len(b)) {
		return nil, false
	}
	return b[n:], true
}

// length reads a length: of 6, 14, 32 or 64 bits, as the first bits say.
func length(b []byte) (n uint64, rest []byte, ok bool) {
	switch {
	case len(b) >= 1 && b[0] < 0x40:
		return uint64(b[0]), b[1:], true
	case len(b) >= 2 && b[0] < 0x80:
		return uint64(b[0]&0x3f)<<8 | uint64(b[1]), b[2:], true
	case len(b) >= 5 && b[0] == 0x80:
		return uint64(binary.BigEndian.Uint32(b[1:])), b[5:], true
	case len(b) >= 9 && b[0] == 0x81:
		return binary.BigEndian.Uint64(b[1:]), b[9:], true
	}
	return 0, nil, false
}
