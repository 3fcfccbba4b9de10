package resp

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// frames cuts input into commands, offering it in pieces of the given size, and
// renders them and the error.
func frames(f *Framer, input []byte, piece int) string {
	var out strings.Builder
	var b []byte
	for len(input) > 0 {
		n := min(piece, len(input))
		b = append(b, input[:n]...)
		input = input[n:]
		for {
			var fr Frame
			n, err := f.Next(b, &fr)
			b = b[n:]
			if err != nil {
				fmt.Fprintf(&out, "(%v)", err)
				return out.String()
			}
			if fr.Raw == nil {
				break
			}
			fmt.Fprintf(&out, "%q", fr.AppendArgs(nil))
		}
	}
	return out.String()
}

func TestCommands(t *testing.T) {
	after := Authenticated(1 << 30)
	before := Unauthenticated()
	for _, c := range []struct {
		name, in, want string
		lim            *Limits
	}{
		{"multibulk", "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", `["GET" "k"]`, after},
		{"pipeline", "*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nQUIT\r\n", `["PING"]["QUIT"]`, after},
		{"two-digit lengths", "*1\r\n$12\r\nabcdefghijkl\r\n", `["abcdefghijkl"]`, after},
		{"empty argument", "*1\r\n$0\r\n\r\n", `[""]`, after},
		{"binary argument", "*1\r\n$4\r\n\r\n\x00*\r\n", `["\r\n\x00*"]`, after},
		{"empty multibulks", "*0\r\n*-1\r\n*1\r\n$1\r\nx\r\n", `["x"]`, after},
		{"inline", "SET a  b\r\n", `["SET" "a" "b"]`, after},
		{"inline without carriage return", "PING\n", `["PING"]`, after},
		{"empty lines", "\r\n\n  \r\nPING\r\n", `["PING"]`, after},
		{"double quotes", `SET "a b\x41\n\"" c` + "\r\n", `["SET" "a bA\n\"" "c"]`, after},
		{"single quotes", `SET 'a\'b\n' c` + "\r\n", `["SET" "a'b\\n" "c"]`, after},
		{"unbalanced quotes", "SET \"a\r\n", "(Protocol error: unbalanced quotes in request)", after},
		{"text after a quote", "SET \"a\"b\r\n", "(Protocol error: unbalanced quotes in request)", after},
		{"line break that only Redis takes", "*1\rx$4\r\nPINGxy", `["PING"]`, after},
		{"largest length", "*1\r\n$9223372036854775807\r\nPING\r\n", "(Protocol error: invalid bulk length)", after},
		{"largest length before AUTH", "*1\r\n$9223372036854775807\r\nPING\r\n", "(Protocol error: invalid bulk length)", before},
		{"large length before AUTH", "*1\r\n$16385\r\nPING\r\n", "(Protocol error: unauthenticated bulk length)", before},
		{"length beyond 64 bits", "*1\r\n$18446744073709551620\r\nPING\r\n", "(Protocol error: invalid bulk length)", after},
		{"count beyond 32 bits", "*2147483648\r\n", "(Protocol error: invalid multibulk length)", after},
		{"count beyond 64 bits", "*9000000000000000000\r\n", "(Protocol error: invalid multibulk length)", before},
		{"count before AUTH", "*11\r\n", "(Protocol error: unauthenticated multibulk length)", before},
		{"leading zero", "*01\r\n", "(Protocol error: invalid multibulk length)", after},
		{"negative length", "*1\r\n$-1\r\n", "(Protocol error: invalid bulk length)", after},
		{"no bulk", "*1\r\n:1\r\n", "(Protocol error: expected '$', got ':')", after},
		{"long header", "*" + strings.Repeat("1", 70000), "(Protocol error: too big mbulk count string)", after},
		{"long bulk header", "*1\r\n$" + strings.Repeat("1", 70000), "(Protocol error: too big bulk count string)", after},
		{"long line", strings.Repeat("a ", 100000), "(Protocol error: too big inline request)", after},
		{"all too much before AUTH", "*3\r\n$9000\r\n" + strings.Repeat("a", 9000) + "\r\n$9000\r\n", "(Protocol error: unauthenticated bulk length)", before},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, piece := range []int{1, 2, 7, len(c.in)} {
				f := NewFramer(c.lim)
				if got := frames(&f, []byte(c.in), piece); got != c.want {
					t.Errorf("in pieces of %d: got %s, want %s", piece, got, c.want)
				}
			}
		})
	}
}

func TestRawIsCanonical(t *testing.T) {
	for _, in := range []string{"PING 'a b'\r\n", "*2\rx$4\rxPINGxx$3\rya byy", "*2\r\n$4\r\nPING\r\n$3\r\na b\r\n"} {
		f := NewFramer(Authenticated(1 << 20))
		var fr Frame
		n, err := f.Next([]byte(in), &fr)
		if want := "*2\r\n$4\r\nPING\r\n$3\r\na b\r\n"; err != nil || n != len(in) || string(fr.Raw) != want {
			t.Errorf("Next(%q) = %q, %d, %v; want %q", in, fr.Raw, n, err, want)
		}
		if string(fr.Name) != "PING" || string(fr.Sub) != "a b" || fr.Args != 2 {
			t.Errorf("Next(%q): name %q, sub %q, %d args", in, fr.Name, fr.Sub, fr.Args)
		}
	}
}

// What was looked at in vain of one command says nothing of the next.
func TestHeaderThatComesInPieces(t *testing.T) {
	ping := "*1\r\n$4\r\nPING\r\n"
	for first := 1; first < len(ping); first++ {
		for second := 1; second <= len(ping); second++ {
			for _, next := range []string{ping, "A\nB\n", "*0\r\n" + ping} {
				f := NewFramer(Authenticated(1 << 20))
				var out strings.Builder
				all := ping + next
				seen, have := 0, 0
				for _, upTo := range []int{first, len(ping), min(len(ping)+second, len(all)), len(all)} {
					have = max(have, upTo)
					for {
						var fr Frame
						n, err := f.Next([]byte(all[seen:have]), &fr)
						if err != nil {
							t.Fatal(err)
						}
						seen += n
						if fr.Raw == nil {
							break
						}
						fmt.Fprintf(&out, "%q", fr.AppendArgs(nil))
					}
				}
				whole := NewFramer(Authenticated(1 << 20))
				if want := frames(&whole, []byte(all), len(all)); out.String() != want {
					t.Errorf("%q, cut at %d and %d: got %s, want %s", all, first, len(ping)+second, out.String(), want)
				}
			}
		}
	}
}

func TestNeedAnnouncesALargeArgument(t *testing.T) {
	f := NewFramer(Authenticated(1 << 20))
	head := []byte("*1\r\n$100000\r\nabc")
	var fr Frame
	if n, err := f.Next(head, &fr); fr.Raw != nil || n != 0 || err != nil {
		t.Fatalf("got %v, %d, %v from the beginning of a command", fr, n, err)
	}
	if got, want := f.Need(), len("*1\r\n$100000\r\n")+100002; got != want {
		t.Errorf("Need() = %d, want %d", got, want)
	}
}

var replies = []string{
	"+OK\r\n", ":1\r\n", ":-5\r\n", "-ERR no\r\n", "$3\r\nabc\r\n", "$0\r\n\r\n", "$-1\r\n", "*-1\r\n", "*0\r\n", "_\r\n", "#t\r\n",
	",1.5\r\n", ",inf\r\n", "(3492890328409238509324850943850943825024385\r\n", "=7\r\ntxt:abc\r\n", "!5\r\nERR x\r\n",
	"*2\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n", "%1\r\n+k\r\n*1\r\n+v\r\n", "~2\r\n:1\r\n:2\r\n", ">2\r\n+invalidate\r\n*1\r\n$1\r\na\r\n",
	"|1\r\n+ttl\r\n:3600\r\n$1\r\na\r\n", "*1\r\n|1\r\n+a\r\n:1\r\n:2\r\n", "*1\r\n-ERR inside\r\n", "*1\r\n>2\r\n+message\r\n+x\r\n:1\r\n", "%0\r\n", "~0\r\n",
	"$20\r\n01234567890123456789\r\n", "+" + strings.Repeat("x", 100) + "\r\n",
}

// replyEnds returns where in input the replies end when it comes in pieces.
func replyEnds(input []byte, piece int) (ends []int, kinds string, err error) {
	var f ReplyFramer
	pos, have := 0, 0
	for have < len(input) || pos < have {
		before := pos
		have = min(have+piece, len(input))
		for pos < have {
			n, done, err := f.Next(input[pos:have])
			pos += n
			if err != nil {
				return ends, kinds, err
			}
			if done {
				ends = append(ends, pos)
				kinds += string(f.Kind())
			}
			if n == 0 {
				break
			}
		}
		if have == len(input) && pos == before {
			break
		}
	}
	return ends, kinds, nil
}

func TestReplies(t *testing.T) {
	input := []byte(strings.Join(replies, ""))
	var want []int
	end := 0
	for _, r := range replies {
		end += len(r)
		want = append(want, end)
	}
	const kinds = "+::-$$$**_#,,(=!*%~>$***%~$+"
	for piece := 1; piece < 40; piece++ {
		got, gotKinds, err := replyEnds(input, piece)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) || gotKinds != kinds {
			t.Fatalf("in pieces of %d: ends %v, kinds %s, %v\nwant %v, %s", piece, got, gotKinds, err, want, kinds)
		}
	}
}

func TestInvalidReplies(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     error
	}{
		{"unknown type", "@1\r\n", ErrReplyType},
		{"streamed string", "$?\r\n", ErrReplyLength},
		{"negative length", "$-2\r\n", ErrReplyLength},
		{"huge length", "$99999999999999999999999\r\n", ErrReplyLength},
		{"huge map", "%9223372036854775807\r\n", ErrReplyLength},
		{"too deep", strings.Repeat("*1\r\n", maxDepth+1), ErrReplyDepth},
		{"endless line", "(" + strings.Repeat("1", maxLine+1), ErrReplyLine},
		{"endless error", "-" + strings.Repeat("1", maxLine+1), ErrReplyLine},
		{"bare line feed", "#t\n", ErrReplyLine},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, _, err := replyEnds([]byte(c.in), len(c.in)); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestErrorsAreHandedOverWhole(t *testing.T) {
	for _, in := range []string{"-ERR something\r\n", "!13\r\nERR something\r\n"} {
		var f ReplyFramer
		for cut := 1; cut < len(in); cut++ {
			if n, done, err := f.Next([]byte(in[:cut])); n != 0 || done || err != nil {
				t.Fatalf("Next(%q) = %d, %v, %v; want nothing yet", in[:cut], n, done, err)
			}
		}
		if n, done, err := f.Next([]byte(in)); n != len(in) || !done || err != nil {
			t.Errorf("Next(%q) = %d, %v, %v", in, n, done, err)
		}
		if got := string(ErrorCode([]byte(in))); got != "ERR" {
			t.Errorf("ErrorCode(%q) = %q", in, got)
		}
	}
}

func FuzzCommands(f *testing.F) {
	f.Add([]byte("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"), uint8(3))
	f.Add([]byte("SET \"a\\x41\" 'b'\r\n*0\r\n*1\r\n$4\r\nPING\r\n"), uint8(1))
	f.Add([]byte("*1\rx$4\rxPINGxx*1\r\n$9223372036854775807\r\n"), uint8(5))
	f.Fuzz(func(t *testing.T, in []byte, piece uint8) {
		lim := Authenticated(1 << 16)
		whole, cut := NewFramer(lim), NewFramer(lim)
		want := frames(&whole, in, max(1, len(in)))
		got := frames(&cut, in, int(piece)+1)
		// A line is refused once it is too long, which a cut may show earlier.
		if got != want && len(in) < 1<<16 {
			t.Errorf("cut: %s\nwhole: %s", got, want)
		}
		again := NewFramer(lim)
		b := in
		for {
			var fr, fr2 Frame
			n, err := again.Next(b, &fr)
			if err != nil || fr.Raw == nil {
				return
			}
			b = b[n:]
			second := NewFramer(Authenticated(1 << 30))
			n2, err := second.Next(fr.Raw, &fr2)
			if err != nil || n2 != len(fr.Raw) || !bytes.Equal(fr2.Raw, fr.Raw) || fr2.Args != fr.Args {
				t.Fatalf("%q frames as %q, %d, %v", fr.Raw, fr2.Raw, n2, err)
			}
		}
	})
}

func FuzzReplies(f *testing.F) {
	f.Add([]byte(strings.Join(replies, "")), uint8(3))
	f.Fuzz(func(t *testing.T, in []byte, piece uint8) {
		want, wantKinds, wantErr := replyEnds(in, max(1, len(in)))
		got, gotKinds, gotErr := replyEnds(in, int(piece)+1)
		if fmt.Sprint(got) != fmt.Sprint(want) || gotKinds != wantKinds || (gotErr == nil) != (wantErr == nil) {
			t.Errorf("cut: %v %s %v\nwhole: %v %s %v", got, gotKinds, gotErr, want, wantKinds, wantErr)
		}
	})
}

func TestFramingDoesNotAllocate(t *testing.T) {
	get := []byte("*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000001\r\n")
	f := NewFramer(Authenticated(1 << 30))
	var fr Frame
	if n := testing.AllocsPerRun(100, func() { _, _ = f.Next(get, &fr) }); n != 0 {
		t.Errorf("framing a command allocates %v times", n)
	}
	var r ReplyFramer
	reply := []byte(replies[len(replies)-2])
	if n := testing.AllocsPerRun(100, func() { _, _, _ = r.Next(reply) }); n != 0 {
		t.Errorf("framing a reply allocates %v times", n)
	}
}

func BenchmarkCommand(b *testing.B) {
	get := []byte("*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000001\r\n")
	f := NewFramer(Authenticated(1 << 30))
	var fr Frame
	b.ReportAllocs()
	for b.Loop() {
		if _, _ = f.Next(get, &fr); fr.Raw == nil {
			b.Fatal("no frame")
		}
	}
}

func BenchmarkReply(b *testing.B) {
	reply := []byte("$64\r\n" + strings.Repeat("x", 64) + "\r\n")
	var f ReplyFramer
	b.ReportAllocs()
	for b.Loop() {
		if _, done, _ := f.Next(reply); !done {
			b.Fatal("no reply")
		}
	}
}
