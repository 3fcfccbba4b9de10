package proxy

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/resp"
	"github.com/respgate/respgate/tenant"
)

// truth makes what a backend says about its commands true for a key: those that the key
// may not run, and those that the proxy does not serve, are not there.
type truth struct {
	*Session
	about   string // which of COMMAND's subcommands is answered
	allowed func(name string) bool
	asked   []string // the names that are asked about, where the key may run PROXY; none: all
	reply   []byte
}

// tellTruth returns who takes the reply to COMMAND or one of its subcommands, and what is
// to be sent for it.
func (s *Session) tellTruth(it *item, raw []byte) (pool.Owner, []byte) {
	about := it.id.Info().Name
	if !it.id.ArityOK(it.frame.Args) {
		return s, raw
	}
	switch about {
	case "command|count":
		raw = resp.AppendCommand(nil, "COMMAND") // they have to be looked through
	case "command|getkeys", "command|getkeysandflags", "command|help":
		return s, raw
	}
	set := s.principal.Commands
	t := &truth{Session: s, about: about, allowed: func(name string) bool { return runs(set, name) }}
	if t.allowed(ownCommand) && it.frame.Args > 2 {
		for _, name := range it.frame.AppendArgs(nil)[2:] {
			t.asked = append(t.asked, strings.ToLower(string(name)))
		}
	}
	return t, raw
}

// runs reports whether a key may run a command, or any subcommand of it.
func runs(set *tenant.CommandSet, name string) bool {
	top, sub, hasSub := bytes.Cut([]byte(name), []byte("|"))
	id := command.Lookup(top)
	if hasSub {
		id = id.Sub(sub)
	}
	info := id.Info()
	switch {
	case id == command.Other:
		return set.Unknown()
	case info.Class == command.Refused:
		return false
	case info.Class == command.Local && info.Flags&command.FlagNoAuth != 0:
		return true
	case set.Has(uint16(id)):
		return true
	case !info.Container || hasSub:
		return false
	}
	for sub := range command.Num {
		if c := sub.Info(); c.Top == id && sub != id && set.Has(uint16(sub)) {
			return true
		}
	}
	return false
}

// Replies implements pool.Owner.
func (t *truth) Replies(b []byte, done int, _ bool) {
	if t.closed {
		t.Session.Replies(b, done, false)
		return
	}
	t.reply = append(t.reply, b...)
	t.keep(len(b))
	if done == 0 {
		return
	}
	t.keep(-len(t.reply))
	told := t.reply
	switch kind, parts, ok := elements(t.reply); {
	case !ok, kind == '%' && t.about != "command|docs": // an error, or nothing that Redis says
	case t.about == "command":
		told = appendAggregate(nil, kind, append(t.details(parts), t.ownDetails(ownCommand)...))
	case t.about == "command|count":
		told = strconv.AppendInt([]byte{':'}, int64(len(t.details(parts))+len(t.ownDetails(ownCommand))), 10)
		told = append(told, "\r\n"...)
	case t.about == "command|list":
		told = appendAggregate(nil, kind, append(t.among(parts, 1), t.ownNames()...))
	case t.about == "command|docs":
		told = appendAggregate(nil, kind, append(t.among(parts, 2), t.ownDocs()...))
	case t.about == "command|info":
		for i, part := range parts {
			if one := t.details([][]byte{part}); len(one) == 1 {
				parts[i] = one[0]
			} else if own := t.ownAsked(i); own != nil {
				parts[i] = own
			} else if t.proto == 3 {
				parts[i] = []byte("_\r\n")
			} else {
				parts[i] = []byte("$-1\r\n")
			}
		}
		told = appendAggregate(nil, kind, parts)
	}
	t.Session.Replies(told, done, false)
}

// Failed implements pool.Owner.
func (t *truth) Failed(id command.ID, err *pool.Error) {
	if !t.closed {
		t.keep(-len(t.reply))
	}
	t.Session.Failed(id, err)
}

// among returns those of parts, in groups of n that begin with a name, that are allowed.
func (t *truth) among(parts [][]byte, n int) (kept [][]byte) {
	for ; len(parts) >= n; parts = parts[n:] {
		if t.allowed(text(parts[0])) {
			kept = append(kept, parts[:n]...)
		}
	}
	return kept
}

// subcommandsAt is where a command's details have its subcommands.
const subcommandsAt = 9

// details returns those of a list of commands' details that are allowed, with the
// subcommands that are.
func (t *truth) details(parts [][]byte) (kept [][]byte) {
	for _, part := range parts {
		kind, fields, ok := elements(part)
		if !ok || len(fields) == 0 || !t.allowed(text(fields[0])) {
			continue
		}
		if len(fields) > subcommandsAt {
			if subKind, subs, ok := elements(fields[subcommandsAt]); ok && subKind != '%' && len(subs) > 0 {
				fields[subcommandsAt] = appendAggregate(nil, subKind, t.details(subs))
				part = appendAggregate(nil, kind, fields)
			}
		}
		kept = append(kept, part)
	}
	return kept
}

// elements splits an array, a set or a map into what is in it. Not ok is what has more in
// it than its header says too: what is pushed in the middle.
func elements(b []byte) (kind byte, parts [][]byte, ok bool) {
	end := bytes.IndexByte(b, '\n')
	if end < 2 || b[0] != '*' && b[0] != '~' && b[0] != '%' {
		return 0, nil, false
	}
	n, ok := resp.ParseInt(b[1 : end-1])
	if !ok || n < 0 {
		return 0, nil, false
	}
	if b[0] == '%' {
		n *= 2
	}
	for rest := b[end+1:]; len(rest) > 0; {
		var f resp.ReplyFramer
		size, done, err := f.Next(rest)
		if err != nil || !done {
			return 0, nil, false
		}
		parts = append(parts, rest[:size])
		rest = rest[size:]
	}
	return b[0], parts, int64(len(parts)) == n
}

// appendAggregate appends an array, a set or, of an even number of parts, a map.
func appendAggregate(dst []byte, kind byte, parts [][]byte) []byte {
	n := len(parts)
	if kind == '%' {
		n /= 2
	}
	dst = strconv.AppendInt(append(dst, kind), int64(n), 10)
	dst = append(dst, "\r\n"...)
	for _, p := range parts {
		dst = append(dst, p...)
	}
	return dst
}

// text is what a string says: a status, or a bulk string.
func text(b []byte) string {
	b = bytes.TrimSuffix(b, []byte("\r\n"))
	if len(b) > 0 && b[0] == '$' {
		_, b, _ = bytes.Cut(b, []byte("\r\n"))
		return string(b)
	}
	return string(b[min(1, len(b)):])
}
