// Package resp frames the Redis serialization protocol: it finds where commands
// and replies begin and end without decoding them, so that they can be passed
// on as they came. Every length is checked before it is believed, and nothing
// is allocated because a peer announced it.
//
// See https://redis.io/docs/latest/develop/reference/protocol-spec/.
package resp

import (
	"bytes"
	"math"
	"strconv"
)

// Limits bound a command. They are Redis's own where Redis has one.
type Limits struct {
	MaxArgs    int   // arguments, the name included
	MaxBulk    int64 // bytes of one argument
	MaxInline  int   // bytes of an inline command's line or of a header
	MaxCommand int64 // bytes of the whole command
	// Unauthenticated chooses Redis's words for a command beyond the limits.
	Unauthenticated bool
}

// maxBulk is Redis's proto-max-bulk-len.
const maxBulk = 512 << 20

// Unauthenticated returns the limits before AUTH: 10 arguments, as in Redis, and
// 16 KiB in all.
func Unauthenticated() *Limits {
	return &Limits{MaxArgs: 10, MaxBulk: 16 << 10, MaxInline: 16 << 10, MaxCommand: 16 << 10, Unauthenticated: true}
}

// Authenticated returns the limits after AUTH for commands of at most
// maxCommand bytes: Redis's INT_MAX arguments, its proto-max-bulk-len of 512 MiB
// and its PROTO_INLINE_MAX_SIZE of 64 KiB.
func Authenticated(maxCommand int64) *Limits {
	return &Limits{MaxArgs: math.MaxInt32, MaxBulk: min(maxBulk, maxCommand), MaxInline: 64 << 10, MaxCommand: maxCommand}
}

// ProtocolError is what is wrong with a client's bytes, in Redis's words. The
// connection cannot go on.
type ProtocolError string

// Error implements error: the text that Redis sends after "-ERR ".
func (e ProtocolError) Error() string { return "Protocol error: " + string(e) }

// Frame is one command.
type Frame struct {
	// Raw is the whole command as a multibulk that any RESP parser reads
	// alike: the bytes as they came or, where they were an inline command or
	// in a form that only Redis tolerates, encoded anew.
	Raw []byte
	// Args is how many arguments it has, at least 1.
	Args int
	// Name and Sub are the first two arguments; Sub is nil when there is one.
	Name, Sub []byte
}

// Framer finds the commands in a client's bytes. It remembers how far it has
// looked into an incomplete command, which is never looked through again.
type Framer struct {
	lim     *Limits
	args    int   // of the multibulk at hand, 0 between commands
	left    int   // of them still to come
	pos     int   // where in the command the next header begins
	scan    int   // how far a line's end has been sought in vain
	bulk    int64 // length of the argument whose header has been read, else -1
	name    span
	sub     span
	strange bool // in a form that only Redis tolerates
}

type span struct{ from, to int }

// NewFramer returns a framer that refuses commands beyond lim, which many framers may
// share.
func NewFramer(lim *Limits) Framer { return Framer{lim: lim, bulk: -1} }

// SetLimits changes the limits from the next command on.
func (f *Framer) SetLimits(lim *Limits) { f.lim = lim }

// Reset forgets an incomplete command: its bytes will be offered again.
func (f *Framer) Reset() {
	f.args, f.left, f.pos, f.scan, f.bulk, f.strange = 0, 0, 0, 0, -1, false
}

// Need returns how many bytes, from the beginning of the incomplete command, it
// takes before Next can get further; 0 is unknown.
func (f *Framer) Need() int {
	if f.bulk < 0 {
		return 0
	}
	return f.pos + int(f.bulk) + 2
}

// Next sets fr to the first command of b and returns how many bytes are consumed: those
// of the command and of the empty lines and empty multibulks before it, which Redis
// ignores. Without a command (fr.Raw is nil) and without an error, call again with
// the unconsumed bytes and more. The frame aliases b.
func (f *Framer) Next(b []byte, fr *Frame) (int, error) {
	if f.args == 0 {
		if n := f.whole(b, fr); n > 0 {
			f.scan = 0 // its header may have come in pieces
			return n, nil
		}
	}
	fr.Raw = nil
	off := 0
	for {
		if f.args == 0 {
			if off == len(b) {
				return off, nil
			}
			if b[off] != '*' {
				n, err := f.inline(b[off:], fr)
				off += n
				if n > 0 && fr.Raw == nil && err == nil {
					continue
				}
				return off, err
			}
			ended, err := f.begin(b[off:])
			if err != nil {
				return off, err
			}
			if ended {
				off += f.pos
				f.Reset()
				continue
			}
			if f.args == 0 {
				return off, nil
			}
		}
		done, err := f.arguments(b[off:])
		if err != nil || !done {
			return off, err
		}
		f.frame(b[off:off+f.pos], fr)
		off += f.pos
		f.Reset()
		return off, nil
	}
}

// begin reads a multibulk's header; ended says that it announces nothing.
func (f *Framer) begin(b []byte) (ended bool, err error) {
	n, ok, end := f.header(b)
	switch {
	case end < 0 && len(b) > f.lim.MaxInline:
		return false, ProtocolError("too big mbulk count string")
	case end < 0:
		return false, nil
	case !ok || n > math.MaxInt32:
		return false, ProtocolError("invalid multibulk length")
	case n > int64(f.lim.MaxArgs):
		return false, ProtocolError("unauthenticated multibulk length")
	}
	f.pos = end
	if n <= 0 {
		return true, nil
	}
	f.args, f.left = int(n), int(n)
	return false, nil
}

// arguments reads on in a multibulk; done says that it is whole.
func (f *Framer) arguments(b []byte) (done bool, err error) {
	for f.left > 0 {
		if f.bulk < 0 {
			if more, err := f.argument(b); err != nil || more {
				return false, err
			}
		}
		// f.pos is at most MaxCommand here, so the sum cannot overflow.
		end := int64(f.pos) + f.bulk
		if int64(len(b)) < end+2 {
			return false, nil
		}
		to := int(end)
		if b[to] != '\r' || b[to+1] != '\n' {
			f.strange = true
		}
		switch f.args - f.left {
		case 0:
			f.name = span{f.pos, to}
		case 1:
			f.sub = span{f.pos, to}
		}
		f.pos = to + 2
		f.bulk = -1
		f.left--
	}
	return true, nil
}

// argument reads an argument's header; more says that it is incomplete.
func (f *Framer) argument(b []byte) (more bool, err error) {
	rest := b[f.pos:]
	n, ok, end := f.header(rest)
	switch {
	case end < 0 && len(rest) > f.lim.MaxInline:
		return false, ProtocolError("too big bulk count string")
	case end < 0:
		return true, nil
	case rest[0] != '$':
		return false, ProtocolError("expected '$', got '" + printable(rest[0]) + "'")
	case !ok || n < 0 || n > maxBulk:
		return false, ProtocolError("invalid bulk length")
	case n > f.lim.MaxBulk || int64(f.pos+end)+n+2 > f.lim.MaxCommand:
		if f.lim.Unauthenticated {
			return false, ProtocolError("unauthenticated bulk length")
		}
		return false, ProtocolError("invalid bulk length")
	}
	f.pos += end
	f.bulk = n
	return false, nil
}

// header reads the number behind b's type byte, as Redis's string2ll does, and
// returns where the line ends, its line break included, or -1 when it does not
// end yet. Redis takes whatever byte follows the '\r' for the '\n'.
func (f *Framer) header(b []byte) (n int64, ok bool, end int) {
	if len(b) > 3 && b[2] == '\r' && b[3] == '\n' && b[1]-'0' <= 9 {
		f.scan = 0
		return int64(b[1] - '0'), true, 4
	}
	if len(b) > 4 && b[3] == '\r' && b[4] == '\n' && b[1]-'1' <= 8 && b[2]-'0' <= 9 {
		f.scan = 0
		return int64(b[1]-'0')*10 + int64(b[2]-'0'), true, 5
	}
	cr := bytes.IndexByte(b[f.scan:], '\r')
	if cr < 0 {
		f.scan = len(b)
		return 0, false, -1
	}
	cr += f.scan
	if cr+1 >= len(b) {
		f.scan = cr
		return 0, false, -1
	}
	f.scan = 0
	if b[cr+1] != '\n' {
		f.strange = true
	}
	if cr > 0 {
		n, ok = ParseInt(b[1:cr])
	}
	return n, ok, cr + 2
}

// ParseInt reads a decimal number as Redis's string2ll does: without leading zeros,
// plus signs or spaces.
func ParseInt(b []byte) (n int64, ok bool) {
	negative := len(b) > 0 && b[0] == '-'
	digits := b
	if negative {
		digits = b[1:]
	}
	if len(digits) == 0 || len(digits) > 19 || digits[0] == '0' && len(b) > 1 {
		return 0, false
	}
	var u uint64
	for _, c := range digits {
		if c -= '0'; c > 9 {
			return 0, false
		}
		u = u*10 + uint64(c) // 19 digits fit
	}
	if u > math.MaxInt64 {
		return 0, false
	}
	if negative {
		return -int64(u), true
	}
	return int64(u), true
}

// printable is c where it does not end a line, else a blank, as Redis has it.
func printable(c byte) string {
	if c == '\r' || c == '\n' {
		return " "
	}
	return string([]byte{c})
}

// frame sets fr to the whole multibulk raw.
func (f *Framer) frame(raw []byte, fr *Frame) {
	if f.strange {
		*fr = newFrame(tolerantArgs(raw, f.args))
		return
	}
	*fr = Frame{Raw: raw, Args: f.args, Name: raw[f.name.from:f.name.to]}
	if f.args > 1 {
		fr.Sub = raw[f.sub.from:f.sub.to]
	}
}

// tolerantArgs splits a whole multibulk, whatever its line breaks are.
func tolerantArgs(raw []byte, n int) [][]byte {
	var args [][]byte
	pos := bytes.IndexByte(raw, '\r') + 2
	for range n {
		cr := pos + bytes.IndexByte(raw[pos:], '\r')
		size, _ := ParseInt(raw[pos+1 : cr])
		from := cr + 2
		args = append(args, raw[from:from+int(size)])
		pos = from + int(size) + 2
	}
	return args
}

func newFrame(args [][]byte) Frame {
	var raw []byte
	raw = appendHeader(raw, '*', len(args))
	for _, a := range args {
		raw = appendBulk(raw, a)
	}
	frame := Frame{Raw: raw, Args: len(args), Name: args[0]}
	if len(args) > 1 {
		frame.Sub = args[1]
	}
	return frame
}

func appendHeader(dst []byte, kind byte, n int) []byte {
	dst = append(dst, kind)
	dst = strconv.AppendInt(dst, int64(n), 10)
	return append(dst, "\r\n"...)
}

func appendBulk[T []byte | string](dst []byte, b T) []byte {
	dst = appendHeader(dst, '$', len(b))
	dst = append(dst, b...)
	return append(dst, "\r\n"...)
}

// AppendCommand appends a command as a multibulk to dst.
func AppendCommand(dst []byte, args ...string) []byte {
	dst = appendHeader(dst, '*', len(args))
	for _, a := range args {
		dst = appendBulk(dst, a)
	}
	return dst
}

// AppendArgs appends the command's arguments to dst. They alias Raw.
func (fr Frame) AppendArgs(dst [][]byte) [][]byte {
	pos := bytes.IndexByte(fr.Raw, '\n') + 1
	for range fr.Args {
		nl := pos + bytes.IndexByte(fr.Raw[pos:], '\n')
		size, _ := ParseInt(fr.Raw[pos+1 : nl-1])
		from := nl + 1
		dst = append(dst, fr.Raw[from:from+int(size)])
		pos = from + int(size) + 2
	}
	return dst
}
