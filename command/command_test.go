package command

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/respgate/respgate/internal/testbed"
)

func TestLookup(t *testing.T) {
	for _, c := range []struct{ name, sub, want string }{
		{"get", "", "get"},
		{"GeT", "", "get"},
		{"CONFIG", "Get", "config|get"},
		{"CONFIG", "nosuch", "config"},
		{"GET", "key", "get"},
		{"restore-asking", "", "restore-asking"},
		{"nosuch", "", "other"},
		{"", "", "other"},
		{strings.Repeat("x", 1000), "", "other"},
		{"ge\x54", "", "get"},
		{"ge\x14", "", "other"},
	} {
		if got := Lookup([]byte(c.name)).Sub([]byte(c.sub)).Info().Name; got != c.want {
			t.Errorf("%.20q %q is %q, want %q", c.name, c.sub, got, c.want)
		}
	}
	for id := ID(1); id < NumTop; id++ {
		if got := Lookup([]byte(strings.ToUpper(id.Info().Name))); got != id {
			t.Errorf("Lookup(%q) = %d, want %d", id.Info().Name, got, id)
		}
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	name, sub := []byte("CONFIG"), []byte("GET")
	if n := testing.AllocsPerRun(100, func() { _ = Lookup(name).Sub(sub) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestClasses(t *testing.T) {
	want := map[Class]string{
		Shared:  "get set mget ping echo info publish xread xreadgroup object|encoding config|get vadd msetex xackdel delex scan dump restore flushall swapdb script|kill function|kill",
		Script:  "eval evalsha_ro fcall function|load script|load",
		Pinned:  "multi exec discard watch unwatch subscribe psubscribe ssubscribe unsubscribe blpop blmove bzmpop wait waitaof monitor shutdown debug migrate other",
		Local:   "auth hello quit reset select client client|list client|setname slowlog slowlog|get",
		Refused: "sync psync replconf asking readonly script|debug",
	}
	for class, names := range want {
		for _, name := range strings.Fields(names) {
			top, sub, _ := strings.Cut(name, "|")
			if got := Lookup([]byte(top)).Sub([]byte(sub)).Info().Class; got != class {
				t.Errorf("%s has class %d, want %d", name, got, class)
			}
		}
	}
	for id := ID(1); id < Num; id++ {
		if c := id.Info(); c.Class == Shared && c.Flags&FlagBlocking != 0 && !strings.HasPrefix(c.Name, "xread") {
			t.Errorf("%s blocks and is shared", c.Name)
		}
	}
}

func TestKeys(t *testing.T) {
	for _, c := range []struct {
		command string
		want    []int
		ok      bool
	}{
		{"GET k", []int{1}, true},
		{"MSET a 1 b 2", []int{1, 3}, true},
		{"EVAL script 2 a b c", []int{3, 4}, true},
		{"EVAL script 9 a b c", nil, false},
		{"XREAD COUNT 2 STREAMS a b 0 0", []int{4, 5}, true},
		{"XREAD COUNT 2", nil, true},
		{"GEORADIUS k 1 2 3 m STORE d", []int{1, 7}, true},
		{"ZUNIONSTORE d 2 a b", []int{1, 3, 4}, true},
		{"BLPOP a b 0", []int{1, 2}, true},
		{"MSETEX 2 a 1 b 2 EX 10", []int{2, 4}, true},
		{"VADD k FP32 blob e", []int{1}, true},
		{"PING", nil, true},
		{"SORT k", []int{1}, false},
	} {
		var args [][]byte
		for _, a := range strings.Fields(c.command) {
			args = append(args, []byte(a))
		}
		got, ok := Lookup(args[0]).AppendKeys(nil, args)
		if ok != c.ok || ok && !slices.Equal(got, c.want) {
			t.Errorf("%s: keys at %v, %v; want %v, %v", c.command, got, ok, c.want, c.ok)
		}
	}
}

// differs lists what Redis 7.0 says where 7.2, of which the table is, says
// otherwise: blocking commands may run in scripts, FUNCTION's are no longer
// @write, ZRANK and COMMAND GETKEYS take other arguments.
var differs = map[string]string{
	"blmove":                  "arity 6, flags blocking denyoom noscript write, categories blocking list slow write",
	"blpop":                   "arity -3, flags blocking noscript write, categories blocking list slow write",
	"brpop":                   "arity -3, flags blocking noscript write, categories blocking list slow write",
	"brpoplpush":              "arity 4, flags blocking denyoom noscript write, categories blocking list slow write",
	"bzpopmax":                "arity -3, flags blocking fast noscript write, categories blocking fast sortedset write",
	"bzpopmin":                "arity -3, flags blocking fast noscript write, categories blocking fast sortedset write",
	"cluster|shards":          "arity 2, flags stale, categories slow",
	"cluster|slots":           "arity 2, flags stale, categories slow",
	"command|getkeys":         "arity -4, flags loading stale, categories connection slow",
	"command|getkeysandflags": "arity -4, flags loading stale, categories connection slow",
	"function|delete":         "arity 3, flags noscript write, categories scripting slow write",
	"function|flush":          "arity -2, flags noscript write, categories scripting slow write",
	"function|load":           "arity -3, flags denyoom noscript write, categories scripting slow write",
	"function|restore":        "arity -3, flags denyoom noscript write, categories scripting slow write",
	"wait":                    "arity 3, flags noscript, categories connection slow",
	"zrank":                   "arity 3, flags fast readonly, categories fast read sortedset",
	"zrevrank":                "arity 3, flags fast readonly, categories fast read sortedset",
}

func TestTableAgreesWithServer(t *testing.T) {
	server := testbed.Redis(t)
	rows, err := server.Client().Do(context.Background(), "COMMAND").Slice()
	if err != nil {
		t.Fatal(err)
	}
	checked := compare(t, rows)
	if checked < 300 {
		t.Errorf("only %d commands compared", checked)
	}
}

// internal are the flags that COMMAND does not tell.
const internal = FlagSentinel | FlagProtected | FlagExperimental | FlagMayReplicate | FlagTouchesArbitraryKeys

// compare checks COMMAND's rows, and their subcommands', against the table.
func compare(t *testing.T, rows []any) (checked int) {
	for _, r := range rows {
		row := r.([]any)
		name := row[0].(string)
		checked++
		if len(row) > 9 {
			checked += compare(t, row[9].([]any))
		}
		top, sub, _ := strings.Cut(name, "|")
		got := Lookup([]byte(top)).Sub([]byte(sub)).Info()
		if got.Name != name {
			t.Errorf("%s is not in the table", name)
			continue
		}
		table := fmt.Sprintf("arity %d, flags %s, categories %s", got.Arity, sorted((got.Flags &^ internal).String()), sorted(got.Categories.String()))
		live := fmt.Sprintf("arity %d, flags %s, categories %s", row[1], sorted(serverFlags(row[2])), sorted(strings.ReplaceAll(fields(row[6]), "@", "")))
		if table != live && differs[name] != live {
			t.Errorf("%s:\n  table  %s\n  server %s", name, table, live)
		}
	}
	return checked
}

// serverFlags leaves out the flag that COMMAND derives from the key positions.
func serverFlags(v any) string {
	return strings.ReplaceAll(fields(v), "movablekeys", "")
}

func fields(v any) string { return strings.Trim(fmt.Sprint(v), "[]") }

func sorted(s string) string {
	f := strings.Fields(s)
	slices.Sort(f)
	return strings.Join(f, " ")
}

func BenchmarkLookup(b *testing.B) {
	name := []byte("GET")
	for b.Loop() {
		if Lookup(name) == Other {
			b.Fatal("unknown")
		}
	}
}

// TestKeysAgreeWithServer compares where the keys are with COMMAND GETKEYS, for calls of
// several lengths of every command that has some.
func TestKeysAgreeWithServer(t *testing.T) {
	client := testbed.Redis(t).Client()
	compared := 0
	for id := ID(1); id < Num; id++ {
		c := id.Info()
		if c.Container || len(c.Keys) == 0 {
			continue
		}
		for extra := range 8 {
			args := plausibleCall(c, max(c.Arity, -c.Arity)+extra)
			ask := []any{"COMMAND", "GETKEYS"}
			for _, a := range args {
				ask = append(ask, string(a))
			}
			want, err := client.Do(t.Context(), ask...).StringSlice()
			if err != nil {
				continue // the server does not know the command, or not in this form
			}
			positions, known := id.AppendKeys(nil, args)
			var got []string
			for _, p := range positions {
				got = append(got, string(args[p]))
			}
			compared++
			if known && !slices.Equal(got, want) {
				t.Errorf("%q: keys %q, the server says %q", args, got, want)
			}
		}
	}
	if compared < 700 {
		t.Errorf("only %d calls compared", compared)
	}
}

// plausibleCall is a call of n arguments; where their number is one, there is one key.
func plausibleCall(c *Command, n int) [][]byte {
	var args [][]byte
	for _, part := range strings.Split(c.Name, "|") {
		args = append(args, []byte(part))
	}
	for len(args) < n {
		arg := fmt.Sprintf("a%d", len(args))
		for _, k := range c.Keys {
			if k.KeyNum && len(args) == k.Pos+k.Last {
				arg = "1"
			}
		}
		args = append(args, []byte(arg))
	}
	return args
}
