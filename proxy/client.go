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

// client serves CLIENT's subcommands about the session itself.
func (s *Session) client(it *item) {
	args := it.frame.AppendArgs(nil)
	switch name := it.id.Info().Name; name {
	case "client|id":
		s.say(redcon.AppendInt(s.core.scratch[:0], s.id))
	case "client|getname":
		if s.name == "" && s.proto == 3 {
			s.say([]byte("_\r\n"))
		} else if s.name == "" {
			s.say([]byte("$-1\r\n"))
		} else {
			s.say(redcon.AppendBulkString(s.core.scratch[:0], s.name))
		}
	case "client|setname":
		if !validName(string(args[2])) {
			s.refuse(it.id, badRequest, "ERR "+badName)
			return
		}
		s.name = string(args[2])
		s.say([]byte("+OK\r\n"))
	case "client|setinfo":
		s.setInfo(it, string(args[2]), string(args[3]))
	case "client":
		s.refuse(it.id, badRequest, "ERR unknown subcommand '", printable(it.frame.Sub), "'. Try CLIENT HELP.")
	default:
		s.refuse(it.id, unsupported, "the '", name, "' command is not supported by this proxy yet")
	}
}

func (s *Session) setInfo(it *item, attribute, value string) {
	field := map[string]*string{"lib-name": &s.libName, "lib-ver": &s.libVer}[strings.ToLower(attribute)]
	switch {
	case field == nil:
		s.refuse(it.id, badRequest, "ERR Unrecognized option '", printable([]byte(attribute)), "'")
	case !validName(value):
		s.refuse(it.id, badRequest, "ERR ", strings.ToLower(attribute), " cannot contain spaces, newlines or special characters.")
	default:
		*field = value
		s.say([]byte("+OK\r\n"))
	}
}
