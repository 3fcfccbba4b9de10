package proxy

import (
	"github.com/tidwall/redcon"

	"github.com/respgate/respgate/resp"
	"github.com/respgate/respgate/tenant"
)

// SlowLog has the slow commands of instances, by their ids; *insight.Book is one. It is
// shared by all loops.
type SlowLog interface {
	// Slow returns the newest n entries, all with a negative n, the newest first.
	Slow(instance string, n int) []tenant.SlowEntry
	SlowLen(instance string) int
	ResetSlow(instance string)
}

// slowlogTold is how many entries SLOWLOG GET tells when it is not told how many.
const slowlogTold = 10

// slowlogGet serves SLOWLOG GET [count] in Redis's form: what is known of a command besides
// is in the management API.
func (s *Session) slowlogGet(it *item, args [][]byte) {
	count := int64(slowlogTold)
	switch len(args) {
	case 2:
	case 3:
		var ok bool
		if count, ok = resp.ParseInt(args[2]); !ok || count < -1 {
			s.refuse(it.id, badRequest, "ERR count should be greater than or equal to -1")
			return
		}
	default:
		s.refuse(it.id, badRequest, "ERR unknown subcommand or wrong number of arguments for '", printable(args[1]), "'. Try SLOWLOG HELP.")
		return
	}
	entries := s.core.SlowLog.Slow(s.principal.Route.InstanceID, int(count))
	b := redcon.AppendArray(s.core.scratch[:0], len(entries))
	for i := range entries {
		e := &entries[i]
		b = redcon.AppendArray(b, 6)
		b = redcon.AppendInt(b, e.ID)
		b = redcon.AppendInt(b, e.At.Unix())
		b = redcon.AppendInt(b, e.Took.Microseconds())
		b = redcon.AppendArray(b, len(e.Args))
		for _, arg := range e.Args {
			b = redcon.AppendBulkString(b, arg)
		}
		b = redcon.AppendBulkString(b, e.Address)
		b = redcon.AppendBulkString(b, e.Name)
	}
	s.say(b)
}

func (s *Session) slowlogLen(*item, [][]byte) {
	s.say(redcon.AppendInt(s.core.scratch[:0], int64(s.core.SlowLog.SlowLen(s.principal.Route.InstanceID))))
}

func (s *Session) slowlogReset(*item, [][]byte) {
	s.core.SlowLog.ResetSlow(s.principal.Route.InstanceID)
	s.say([]byte("+OK\r\n"))
}

// slowlogHelp is Redis's text, to the byte.
func (s *Session) slowlogHelp(*item, [][]byte) {
	s.sayLines([]string{
		"SLOWLOG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
		"GET [<count>]",
		"    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
		"    Entries are made of:",
		"    id, timestamp, time in microseconds, arguments array, client IP and port,",
		"    client name",
		"LEN",
		"    Return the length of the slowlog.",
		"RESET",
		"    Reset the slowlog.",
		"HELP",
		"    Prints this help.",
	})
}

// sayLines answers with an array of simple strings, as a HELP does.
func (s *Session) sayLines(lines []string) {
	b := redcon.AppendArray(nil, len(lines))
	for _, line := range lines {
		b = redcon.AppendString(b, line)
	}
	s.say(b)
}
