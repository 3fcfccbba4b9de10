package command

import (
	"bytes"
	"slices"
	"testing"
)

// FuzzAppendKeys: whatever the arguments, and whatever number of keys they announce, keys
// are arguments behind the name, each once for a place that the table knows.
func FuzzAppendKeys(f *testing.F) {
	for _, seed := range []string{"MGET a b c", "MSET a 1 b 2", "EVAL x 2 a b c", "EVAL x 9223372036854775807 a", "EVAL x -1", "ZUNIONSTORE d 2 a b WEIGHTS 1 2",
		"XREAD COUNT 1 STREAMS a b 0 0", "XREAD STREAMS a", "SORT a BY x STORE d", "MIGRATE h 1  0 0 KEYS a b", "MIGRATE h 1 k 0 0", "COPY a b", "LMPOP 1000000000 a LEFT",
		"OBJECT ENCODING a", "XGROUP CREATE s g $", "GET", "BITOP AND d a b", "SINTERCARD 2 a b LIMIT 1", "NOSUCH a"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		args := bytes.Split(line, []byte(" "))
		id := Lookup(args[0])
		if len(args) > 1 {
			id = id.Sub(args[1])
		}
		specs := len(id.Info().Keys)
		keys, ok := id.AppendKeys(nil, args)
		if len(keys) > specs*len(args) || specs == 1 && !slices.IsSorted(keys) {
			t.Errorf("%q: keys at %v", line, keys)
		}
		for _, pos := range keys {
			if pos < 1 || pos >= len(args) {
				t.Errorf("%q: keys at %v of %d arguments", line, keys, len(args))
			}
		}
		again, same := id.AppendKeys([]int{-7}, args)
		if same != ok || again[0] != -7 || !slices.Equal(again[1:], keys) {
			t.Errorf("%q: keys at %v, then %v", line, keys, again)
		}
		if n := testing.AllocsPerRun(1, func() { again, _ = id.AppendKeys(again[:0], args) }); n > 3 { // for what is wrong with a count
			t.Errorf("%q: %v allocations", line, n)
		}
	})
}
