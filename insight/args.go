package insight

import (
	"fmt"
	"strings"

	"github.com/respgate/respgate/command"
)

// What Redis's slow log keeps of a command (SLOWLOG_ENTRY_MAX_ARGC and _STRING in slowlog.h).
const (
	maxArgs = 32
	maxText = 128 // bytes of an argument; of a key too
)

// maxLooked is in how many arguments of a command its keys are sought.
const maxLooked = 64

// header reads a line such as *3 or $5 and what it counts; ok is false where b does not begin
// with a whole one.
func header(b []byte, kind byte) (n int, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != kind {
		return 0, nil, false
	}
	for i, c := range b[1:] {
		switch {
		case c >= '0' && c <= '9' && i < 10:
			n = n*10 + int(c-'0')
		case c == '\r' && i > 0 && len(b) > i+2 && b[i+2] == '\n':
			return n, b[i+3:], true
		default:
			return 0, nil, false
		}
	}
	return 0, nil, false
}

// next reads an argument as far as b has it: what is seen of it, and its whole size.
func next(b []byte) (seen []byte, size int, rest []byte, ok bool) {
	size, b, ok = header(b, '$')
	if !ok {
		return nil, 0, nil, false
	}
	seen = b[:min(size, len(b))]
	return seen, size, b[min(size+2, len(b)):], true
}

// looked appends to dst, up to its capacity, as many arguments as a command has of which b is
// the beginning. Those that b has nothing of are nil.
func looked(dst [][]byte, b []byte) [][]byte {
	n, b, ok := header(b, '*')
	if !ok {
		return nil
	}
	for n = min(n, cap(dst)); len(dst) < n; {
		var seen []byte
		seen, _, b, _ = next(b)
		dst = append(dst, seen)
	}
	return dst
}

// fullLen is the size of the argument at pos in the command that b begins.
func fullLen(b []byte, pos int) (size int) {
	_, b, _ = header(b, '*')
	for range pos + 1 {
		_, size, b, _ = next(b)
	}
	return size
}

// shownArg is an argument as the slow log has it.
type shownArg struct {
	text  string
	rest  string // what is said of what is left out of it
	aside bool   // it says something of arguments, and is none itself
}

const redacted = "(redacted)"

// shownArgs are the arguments of the command that b begins, cut and in Redis's words. Where b
// is nil that is the command's name.
func shownArgs(id command.ID, b []byte) []shownArg {
	total, b, ok := header(b, '*')
	if !ok || total == 0 {
		return []shownArg{{text: id.Info().Name}}
	}
	var all []shownArg
	var args []string // in lower case, for secrets
	for len(all) < total {
		if len(all) == maxArgs-1 && total > maxArgs {
			break
		}
		var seen []byte
		var size int
		if seen, size, b, ok = next(b); !ok || len(seen) == 0 && size > 0 {
			break
		}
		args = append(args, strings.ToLower(string(seen[:min(len(seen), maxText)])))
		all = append(all, shown(seen, size))
	}
	hideSecrets(id, args, all)
	if more := total - len(all); more > 0 {
		all = append(all, shownArg{text: fmt.Sprintf("... (%d more arguments)", more), aside: true})
	}
	return all
}

func shown(seen []byte, size int) shownArg {
	a := shownArg{text: string(seen[:min(len(seen), maxText)])}
	if more := size - len(a.text); more > 0 {
		a.rest = fmt.Sprintf("... (%d more bytes)", more)
	}
	return a
}

// secrets says where a command has what must not be shown: all arguments from one on, and so
// many after a word. It is what Redis redacts.
type secrets struct {
	from  int
	after map[string]int
}

var secretsOf = map[string]secrets{
	"auth":        {from: 1},
	"acl|setuser": {from: 2},
	"sentinel":    {from: 2}, // a command of Sentinel's, which the table does not have
	"hello":       {after: map[string]int{"auth": 2}},
	"migrate":     {after: map[string]int{"auth": 1, "auth2": 2}},
	"config|set":  {after: map[string]int{"requirepass": 1, "masterauth": 1, "masteruser": 1, "tls-key-file-pass": 1, "tls-client-key-file-pass": 1}},
}

// hideSecrets redacts all, whose texts args are in lower case.
func hideSecrets(id command.ID, args []string, all []shownArg) {
	name := id.Info().Name
	if id == command.Other && len(args) > 0 {
		name = args[0]
	}
	secret, has := secretsOf[name]
	if !has {
		return
	}
	hide := func(i int) {
		if i < len(all) {
			all[i] = shownArg{text: redacted, aside: true}
		}
	}
	for i, word := range args {
		if secret.from > 0 && i >= secret.from {
			hide(i)
		}
		for n := range secret.after[word] {
			hide(i + 1 + n)
		}
	}
}
