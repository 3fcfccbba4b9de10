package cache

import (
	"bytes"

	"github.com/respgate/respgate/command"
)

// Rule says how the replies to a command are kept.
type Rule uint8

// The rules.
const (
	Never  Rule = iota
	Always      // the reply follows from the one key and the arguments
	Hash        // so it does, where fields of hashes do not expire by themselves
	Single      // so it does, when there is no second key
	Many        // MGET: its reply is made of those to GET of each key
)

// RuleOf returns a command's rule. Its first argument is a key.
func RuleOf(id command.ID) Rule { return rules[id] }

// rules are of commands that only read, whose reply depends on nothing but the value of their
// key and their arguments, and whose RESP3 reply makes the RESP2 one: see ToRESP2.
var rules = func() (r [command.Num]Rule) {
	for name, rule := range map[string]Rule{
		"get": Always, "strlen": Always, "getrange": Always, "getbit": Always, "type": Always, "exists": Single, "mget": Many,
		"hget": Hash, "hmget": Hash, "hgetall": Hash, "hlen": Hash, "hexists": Hash, "hkeys": Hash, "hvals": Hash, "hstrlen": Hash,
		"sismember": Always, "smismember": Always, "smembers": Always, "scard": Always,
		"zscore": Always, "zcard": Always, "zcount": Always,
		"llen": Always, "lindex": Always, "lrange": Always,
	} {
		r[command.Lookup([]byte(name))] = rule
	}
	return r
}()

// Changes reports whether a command may change data, or nobody knows: all but those that are
// known not to.
func Changes(id command.ID) bool { return !harmless[id] }

var harmless = func() (h [command.Num]bool) {
	for id := range h {
		info := command.ID(id).Info()
		h[id] = info.Flags&command.FlagReadonly != 0 && info.Class == command.Shared && info.Flags&(command.FlagWrite|command.FlagMayReplicate) == 0
	}
	for _, name := range []string{"ping", "echo", "time", "publish", "spublish", "wait", "waitaof", "watch", "unwatch", "multi", "discard"} {
		h[command.Lookup([]byte(name))] = true
	}
	return h
}()

// ArgsOf returns what follows the name in a command's bytes.
func ArgsOf(raw []byte) []byte {
	for range 3 { // the number of arguments, the name's length, the name
		raw = raw[bytes.IndexByte(raw, '\n')+1:]
	}
	return raw
}
