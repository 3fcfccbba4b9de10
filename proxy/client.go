package proxy

import (
	"strings"

	"github.com/tidwall/redcon"
)

const badName = "Client names cannot contain spaces, newlines or special characters."

// validName accepts what Redis's validateClientName does: '!' to '~'.
func validName(name string) bool {
	return !strings.ContainsFunc(name, func(r rune) bool { return r < '!' || r > '~' })
}

// localCommands are the subcommands, of CLIENT and SLOWLOG, that are answered here.
var localCommands = map[string]func(*Session, *item, [][]byte){
	"client|id":       func(s *Session, _ *item, _ [][]byte) { s.say(redcon.AppendInt(s.core.scratch[:0], s.id)) },
	"client|getname":  func(s *Session, _ *item, _ [][]byte) { s.sayName() },
	"client|setname":  (*Session).setName,
	"client|setinfo":  (*Session).setInfo,
	"client|info":     func(s *Session, _ *item, _ [][]byte) { s.sayText(string(s.describe(nil))) },
	"client|list":     (*Session).clientList,
	"client|kill":     (*Session).clientKill,
	"client|unblock":  (*Session).clientUnblock,
	"client|pause":    (*Session).clientPause,
	"client|unpause":  func(s *Session, _ *item, _ [][]byte) { s.onAllLoops((*Core).release) },
	"client|reply":    (*Session).clientReply,
	"client|no-evict": (*Session).clientNoEvict,
	"client|help":     (*Session).clientHelp,
	"slowlog|get":     (*Session).slowlogGet,
	"slowlog|len":     (*Session).slowlogLen,
	"slowlog|reset":   (*Session).slowlogReset,
	"slowlog|help":    (*Session).slowlogHelp,
}

// asksOthers are those of them that look at other sessions, or at what these have done: what
// is owed must have come before, since the answer takes its time or is about that.
var asksOthers = map[string]bool{
	"client|list": true, "client|kill": true, "client|unblock": true, "client|pause": true, "client|unpause": true,
	"slowlog|get": true, "slowlog|len": true, "slowlog|reset": true,
}

// serveLocal serves one of localCommands.
func (s *Session) serveLocal(it *item) {
	info := it.id.Info()
	if serve := localCommands[info.Name]; serve != nil {
		serve(s, it, it.frame.AppendArgs(nil))
		return
	}
	s.refuse(it.id, badRequest, "ERR unknown subcommand '", printable(it.frame.Sub), "'. Try ", strings.ToUpper(info.Top.Info().Name), " HELP.")
}

func (s *Session) sayName() {
	switch {
	case s.name != "":
		s.say(redcon.AppendBulkString(s.core.scratch[:0], s.name))
	case s.proto == 3:
		s.say([]byte("_\r\n"))
	default:
		s.say([]byte("$-1\r\n"))
	}
}

func (s *Session) setName(it *item, args [][]byte) {
	if !validName(string(args[2])) {
		s.refuse(it.id, badRequest, "ERR "+badName)
		return
	}
	s.rename(&s.name, string(args[2]))
	s.say([]byte("+OK\r\n"))
}

// clientNoEvict serves CLIENT NO-EVICT: who is dropped when too much is in flight is for
// the operator to say, and no tenant's client is exempt.
func (s *Session) clientNoEvict(it *item, args [][]byte) {
	if !equalFold(args[2], "on") && !equalFold(args[2], "off") {
		s.refuse(it.id, badRequest, "ERR syntax error")
		return
	}
	s.say([]byte("+OK\r\n"))
}

func (s *Session) clientHelp(*item, [][]byte) {
	lines := []string{
		"CLIENT <subcommand> [<arg> ...]. What concerns clients is about those of this instance on this proxy:",
		"CACHING (YES|NO)", "    Whether the next command's keys are tracked, in the modes OPTIN and OPTOUT.",
		"GETNAME", "    This connection's name.",
		"GETREDIR", "    Which client is sent this connection's invalidations.",
		"ID", "    This connection's id.",
		"INFO", "    This connection's line of LIST.",
		"KILL <ip:port>", "KILL <option> <value> [...]", "    Close connections, by ID, TYPE, ADDR, LADDR, USER (a key's id), MAXAGE; SKIPME yes spares this one.",
		"LIST [TYPE <type> | ID <id> ...]", "    A line about each connection.",
		"NO-EVICT (ON|OFF)", "    Accepted, and without effect.",
		"PAUSE <milliseconds> [WRITE|ALL]", "    Hold up commands, or those that write.",
		"REPLY (ON|OFF|SKIP)", "    Whether this connection gets replies.",
		"SETINFO (LIB-NAME|LIB-VER) <value>", "    Say which client library this is.",
		"SETNAME <name>", "    Name this connection.",
		"TRACKING (ON|OFF) [...]", "    Have this connection told of changed keys.",
		"TRACKINGINFO", "    How this connection tracks keys.",
		"UNBLOCK <id> [TIMEOUT|ERROR]", "    End another connection's wait.",
		"UNPAUSE", "    End a pause.",
		"HELP", "    This text.",
	}
	s.sayLines(lines)
}

func (s *Session) setInfo(it *item, args [][]byte) {
	attribute, value := string(args[2]), string(args[3])
	field := map[string]*string{"lib-name": &s.libName, "lib-ver": &s.libVer}[strings.ToLower(attribute)]
	switch {
	case field == nil:
		s.refuse(it.id, badRequest, "ERR Unrecognized option '", printable([]byte(attribute)), "'")
	case !validName(value):
		s.refuse(it.id, badRequest, "ERR ", strings.ToLower(attribute), " cannot contain spaces, newlines or special characters.")
	default:
		s.rename(field, value)
		s.say([]byte("+OK\r\n"))
	}
}
