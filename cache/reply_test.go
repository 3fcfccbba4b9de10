package cache

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/respgate/respgate/resp"
)

func TestToRESP2(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"string", "$3\r\na\nb\r\n", "$3\r\na\nb\r\n"},
		{"empty string", "$0\r\n\r\n", "$0\r\n\r\n"},
		{"null", "_\r\n", "$-1\r\n"},
		{"number", ":-12\r\n", ":-12\r\n"},
		{"status", "+string\r\n", "+string\r\n"},
		{"double", ",3.25\r\n", "$4\r\n3.25\r\n"},
		{"infinity", ",-inf\r\n", "$4\r\n-inf\r\n"},
		{"set", "~2\r\n$1\r\na\r\n$1\r\nb\r\n", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"},
		{"map", "%2\r\n$1\r\nf\r\n$1\r\nv\r\n$1\r\ng\r\n$1\r\nw\r\n", "*4\r\n$1\r\nf\r\n$1\r\nv\r\n$1\r\ng\r\n$1\r\nw\r\n"},
		{"empty map", "%0\r\n", "*0\r\n"},
		{"nulls in an array", "*3\r\n_\r\n$3\r\n_\r\n\r\n_\r\n", "*3\r\n$-1\r\n$3\r\n_\r\n\r\n$-1\r\n"},
		{"error", "-WRONGTYPE of key\r\n", "-WRONGTYPE of key\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for size := 1; size <= len(c.in); size++ { // however it is cut
				var to2 ToRESP2
				var got []byte
				for piece := range slices.Chunk([]byte(c.in), size) {
					got = to2.Append(got, piece)
				}
				if string(got) != c.want {
					t.Errorf("cut at each %d: got %q, want %q", size, got, c.want)
				}
			}
		})
	}
}

// FuzzToRESP2 has a reply be one reply in RESP2, too, and the same however it is cut.
func FuzzToRESP2(f *testing.F) {
	for _, seed := range []string{"$3\r\nabc\r\n", "*2\r\n_\r\n:1\r\n", "%1\r\n$1\r\na\r\n$0\r\n\r\n", "~0\r\n", ",1.5\r\n", "-ERR x\r\n"} {
		f.Add([]byte(seed), 2)
	}
	f.Fuzz(func(t *testing.T, reply []byte, cut int) {
		var framer resp.ReplyFramer
		n, done, err := framer.Next(reply)
		if err != nil || !done || n != len(reply) || bytes.ContainsAny(reply[:1], "|>!=#(") {
			return
		}
		var whole, cutUp ToRESP2
		want := whole.Append(nil, reply)
		cut = max(0, min(cut, len(reply)))
		if got := cutUp.Append(cutUp.Append(nil, reply[:cut]), reply[cut:]); !bytes.Equal(got, want) {
			t.Errorf("whole %q, cut at %d %q", want, cut, got)
		}
	})
}

func TestInvalidated(t *testing.T) {
	for _, c := range []struct {
		name, in string
		keys     []string
		all      bool
	}{
		{"one key", ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n", []string{"k"}, false},
		{"several keys", ">2\r\n$10\r\ninvalidate\r\n*2\r\n$3\r\na\r\n\r\n$0\r\n\r\n", []string{"a\r\n", ""}, false},
		{"flushed", ">2\r\n$10\r\ninvalidate\r\n_\r\n", nil, true},
		{"something else", ">2\r\n$7\r\nmessage\r\n$1\r\nk\r\n", nil, true},
		{"no string", ">2\r\n$10\r\ninvalidate\r\n*1\r\n:1\r\n", nil, true},
		{"more than it says", ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n$1\r\nj\r\n", []string{"k"}, true},
		{"cut off", ">2\r\n$10\r\ninvalidate\r\n*1\r\n$9\r\nk\r\n", nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			keys, all := Invalidated([]byte(c.in))
			var got []string
			for _, key := range keys {
				got = append(got, string(key))
			}
			if !slices.Equal(got, c.keys) || all != c.all {
				t.Errorf("got %q, %v, want %q, %v", got, all, c.keys, c.all)
			}
		})
	}
}

// FuzzInvalidated: whatever is pushed, either the keys are understood to the last byte or all
// that is kept is dropped.
func FuzzInvalidated(f *testing.F) {
	f.Add([]byte(">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n"))
	f.Add([]byte(">2\r\n$10\r\ninvalidate\r\n_\r\n"))
	f.Fuzz(func(t *testing.T, push []byte) {
		keys, all := Invalidated(push)
		if all {
			return
		}
		again := fmt.Appendf(nil, ">2\r\n$10\r\ninvalidate\r\n*%d\r\n", len(keys))
		for _, key := range keys {
			again = fmt.Appendf(again, "$%d\r\n%s\r\n", len(key), key)
		}
		if !bytes.Equal(again, push) {
			t.Errorf("%q is understood as %q", push, keys)
		}
	})
}

func TestElementsAndLife(t *testing.T) {
	var got []string
	Elements([]byte("*3\r\n$1\r\na\r\n_\r\n$0\r\n\r\n"), func(i int, element []byte) { got = append(got, fmt.Sprint(i, string(element))) })
	if want := []string{"0$1\r\na\r\n", "1_\r\n", "2$0\r\n\r\n"}; !slices.Equal(got, want) {
		t.Errorf("elements are %q, want %q", got, want)
	}
	Elements([]byte("-ERR x\r\n"), func(int, []byte) { t.Error("an error has no elements") })
	Elements(nil, func(int, []byte) { t.Error("nothing has no elements") })
	for _, c := range []struct {
		reply    string
		ms       int64
		gone, ok bool
	}{{":1500\r\n", 1500, false, true}, {":-1\r\n", -1, false, true}, {":-2\r\n", -1, true, true}, {":0\r\n", 0, false, true}, {"-NOPERM x\r\n", 0, false, false}, {"", 0, false, false}, {":-3\r\n", 0, false, false}} {
		if ms, gone, ok := Life([]byte(c.reply)); ms != c.ms || gone != c.gone || ok != c.ok {
			t.Errorf("%q: got %d, %v, %v, want %d, %v, %v", c.reply, ms, gone, ok, c.ms, c.gone, c.ok)
		}
	}
}
