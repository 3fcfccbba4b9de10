package proxy

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/redcon"

	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/resp"
)

// Everywhere runs visit on each loop's goroutine with its core, on several at once, and
// then, on the goroutine of the core that it belongs to, then.
type Everywhere func(visit func(*Core), then func())

// everywhere is Core.Everywhere, or the core alone where there are no others.
func (c *Core) everywhere(visit func(*Core), then func()) {
	if c.Everywhere != nil {
		c.Everywhere(visit, then)
		return
	}
	visit(c)
	then()
}

// survey gathers what look says of the sessions of the caller's own instance, on all
// loops, and calls then with it unless the caller has gone. Nothing else of the caller's
// is looked at meanwhile.
func survey[T any](s *Session, look func(*Session) (T, bool), then func([]T)) {
	var mu sync.Mutex
	var all []T
	instance := s.principal.Route.InstanceID
	s.pause(someone)
	s.core.everywhere(func(c *Core) {
		for other := range c.sessionsOf(instance) {
			if v, ok := look(other); ok {
				mu.Lock()
				all = append(all, v)
				mu.Unlock()
			}
		}
	}, func() {
		if s.closed {
			return
		}
		then(all)
		s.resume()
	})
}

// sessionsOf are the loop's sessions of one instance.
func (c *Core) sessionsOf(instance string) iter.Seq[*Session] {
	return func(yield func(*Session) bool) {
		for s := range c.sessions {
			if s.principal != nil && s.principal.Route.InstanceID == instance && !s.closed && !yield(s) {
				return
			}
		}
	}
}

// clientType is what CLIENT LIST TYPE and CLIENT KILL TYPE ask for.
type clientType uint8

const (
	anyType clientType = iota
	normalType
	pubsubType
	noType // masters and replicas: none of them come through here
)

func parseType(b []byte) (clientType, bool) {
	t, ok := map[string]clientType{"normal": normalType, "pubsub": pubsubType, "master": noType, "replica": noType, "slave": noType}[strings.ToLower(string(b))]
	return t, ok
}

func (s *Session) hasType(t clientType) bool {
	return t == anyType || t == normalType && !s.listens() || t == pubsubType && s.listens()
}

// describe appends the session's line of CLIENT LIST, in Redis's form. What is not known
// of a session, such as buffers that it has none of, is 0.
func (s *Session) describe(b []byte) []byte {
	now := s.core.Clock.Nanos()
	subs, patterns, shards := 0, 0, 0
	if s.pin.link != nil {
		subs, patterns, shards = s.pin.link.Subscriptions()
	}
	shards += len(s.group.channels)
	queued := -1
	if s.pin.tx == opened || s.pin.tx == doomed {
		queued = int(s.pin.queued)
	}
	redirect := int64(-1)
	if s.redirect.ours != 0 {
		redirect = s.redirect.ours
	}
	return fmt.Appendf(b, "id=%d addr=%s laddr=%s fd=0 name=%s age=%d idle=%d flags=%s db=%d sub=%d psub=%d ssub=%d multi=%d"+
		" qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=%d tot-mem=0 events=r cmd=%s user=%s redir=%d resp=%d lib-name=%s lib-ver=%s\n",
		s.id, s.addr, s.local, s.name, (now-s.since)/int64(time.Second), (now-s.active)/int64(time.Second), s.flags(), s.db,
		subs, patterns, shards, queued, s.out.Unsent(), s.current.Info().Name, s.principal.KeyID, redirect, s.proto, s.libName, s.libVer)
}

// mark is a state that a session may be in: its flag in CLIENT LIST, and a word for it.
type mark struct {
	set        bool
	flag, word string
}

func (s *Session) marks() []mark {
	p := &s.pin
	return []mark{
		{p.monitors, "O", "monitor"}, {s.listens(), "P", "subscribed"}, {p.tx == opened || p.tx == doomed, "x", "multi"},
		{s.blocked(), "b", "blocked"}, {p.tracking, "t", "tracking"}, {s.delayed(), "", "delayed"}, // which Redis has no letter for
	}
}

func (s *Session) flags() string {
	f := ""
	for _, m := range s.marks() {
		if m.set {
			f += m.flag
		}
	}
	if f == "" {
		return "N"
	}
	return f
}

// blocked reports whether the session waits for a command that blocks.
func (s *Session) blocked() bool {
	return s.pin.link != nil && s.done < s.pin.blocking || s.group.acks != nil
}

// clientList serves CLIENT LIST [TYPE type] [ID id ...].
func (s *Session) clientList(it *item, args [][]byte) {
	wanted := anyType
	var ids map[int64]bool
	switch {
	case len(args) == 2:
	case len(args) == 4 && equalFold(args[2], "type"):
		var ok bool
		if wanted, ok = parseType(args[3]); !ok {
			s.refuse(it.id, badRequest, "ERR Unknown client type '", printable(args[3]), "'")
			return
		}
	case len(args) > 3 && equalFold(args[2], "id"):
		ids = map[int64]bool{}
		for _, arg := range args[3:] {
			id, ok := resp.ParseInt(arg)
			if !ok {
				s.refuse(it.id, badRequest, "ERR Invalid client ID")
				return
			}
			ids[id] = true
		}
	default:
		s.refuse(it.id, badRequest, "ERR syntax error")
		return
	}
	survey(s, func(o *Session) (string, bool) {
		if !o.hasType(wanted) || ids != nil && !ids[o.id] {
			return "", false
		}
		return string(o.describe(nil)), true
	}, func(lines []string) {
		sortByID(lines)
		s.sayText(strings.Join(lines, ""))
	})
}

// sayText answers with a text: a verbatim string in RESP3.
func (s *Session) sayText(text string) {
	if s.proto == 3 {
		s.say(fmt.Appendf(nil, "=%d\r\ntxt:%s\r\n", len(text)+4, text))
		return
	}
	s.say(redcon.AppendBulkString(nil, text))
}

// victims are whom CLIENT KILL means.
type victims struct {
	id         int64
	addr, from string // the client's address, and ours
	user       string
	kind       clientType
	older      time.Duration
	spareMe    bool
}

func (v victims) mean(o *Session, killer int64) bool {
	return (v.id == 0 || v.id == o.id) && (v.addr == "" || v.addr == o.addr.String()) && (v.from == "" || v.from == o.local.String()) &&
		(v.user == "" || v.user == o.principal.KeyID) && o.hasType(v.kind) && (!v.spareMe || o.id != killer) &&
		since(o.core.Clock, o.since) >= v.older
}

// parseVictims reads the options of CLIENT KILL; complaint is what is wrong with them.
func parseVictims(args [][]byte) (v victims, complaint string) {
	v.spareMe = true
	for ; len(args) > 0; args = args[2:] {
		if len(args) == 1 {
			return v, "ERR syntax error"
		}
		value := string(args[1])
		var ok bool
		switch strings.ToLower(string(args[0])) {
		case "id":
			if v.id, ok = resp.ParseInt(args[1]); !ok || v.id < 1 {
				return v, "ERR client-id should be greater than 0"
			}
		case "type":
			if v.kind, ok = parseType(args[1]); !ok {
				return v, "ERR Unknown client type '" + printable(args[1]) + "'"
			}
		case "addr":
			v.addr = value
		case "laddr":
			v.from = value
		case "user":
			v.user = value
		case "skipme":
			if v.spareMe = strings.EqualFold(value, "yes"); !v.spareMe && !strings.EqualFold(value, "no") {
				return v, "ERR syntax error"
			}
		case "maxage":
			age, ok := resp.ParseInt(args[1])
			if !ok || age < 1 {
				return v, "ERR maxage is not an integer or out of range"
			}
			v.older = time.Duration(age) * time.Second
		default:
			return v, "ERR syntax error"
		}
	}
	return v, ""
}

// clientKill serves CLIENT KILL in both its forms.
func (s *Session) clientKill(it *item, args [][]byte) {
	old := len(args) == 3
	v := victims{}
	if old {
		v.addr = string(args[2])
	} else {
		var complaint string
		if v, complaint = parseVictims(args[2:]); complaint != "" {
			s.refuse(it.id, badRequest, complaint)
			return
		}
	}
	killer := s.id
	survey(s, func(o *Session) (bool, bool) {
		if !v.mean(o, killer) {
			return false, false
		}
		if o != s {
			o.drop(errKilled)
		}
		return o == s, true
	}, func(killed []bool) {
		switch {
		case old && len(killed) == 0:
			s.refuse(it.id, badRequest, "ERR No such client")
		case old:
			s.say([]byte("+OK\r\n"))
		default:
			s.say(redcon.AppendInt(nil, int64(len(killed))))
		}
		for _, me := range killed {
			if me {
				s.finish()
			}
		}
	})
}

// clientUnblock serves CLIENT UNBLOCK id [TIMEOUT|ERROR]: the backend is asked to unblock
// the connection that the session waits on.
func (s *Session) clientUnblock(it *item, args [][]byte) {
	id, ok := resp.ParseInt(args[2])
	switch {
	case !ok:
		s.refuse(it.id, badRequest, "ERR value is not an integer or out of range")
		return
	case len(args) > 4:
		s.refuse(it.id, badRequest, "ERR unknown subcommand or wrong number of arguments for 'UNBLOCK'. Try CLIENT HELP.")
		return
	case len(args) == 4 && !equalFold(args[3], "timeout") && !equalFold(args[3], "error"):
		s.refuse(it.id, badRequest, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
		return
	}
	instance := s.principal.Route.InstanceID
	reason := []string{}
	for _, word := range args[3:] {
		reason = append(reason, string(word))
	}
	s.pause(someone)
	var found atomic.Bool
	answer := func(reply []byte) {
		reply = bytes.Clone(reply)
		s.core.Background(func() func() { // from the other session's loop to this one's
			return func() {
				if !s.closed {
					s.say(reply)
					s.resume()
				}
			}
		})
	}
	s.core.everywhere(func(c *Core) {
		for o := range c.sessionsOf(instance) {
			if o.id == id && o.blocked() && !o.pin.asking {
				found.Store(true)
				o.askToUnblock(reason, false, answer)
			}
		}
	}, func() {
		if !found.Load() {
			answer([]byte(":0\r\n"))
		}
	})
}

// askAgain is after what time the backend is asked again to end a wait that it does not
// know of yet: the command that waits goes over another connection.
const askAgain = 5 * time.Millisecond

// askToUnblock asks the backend to end the wait of the session's connection there, and
// calls then with the reply on the session's loop. The session keeps the connection until
// the reply has come: else another client's wait there could be ended. Where the backend
// cannot be asked, or refuses, a session that must end is dropped.
func (s *Session) askToUnblock(reason []string, must bool, then func(reply []byte)) {
	if w := s.group.acks; w != nil {
		w.unblock(reason)
		then([]byte(":1\r\n"))
		return
	}
	id := s.pin.link.Hello().ID
	link := s.core.Links.Shared(s.keyTo(s.pin.link.Key().Backend, s.db, pool.Plain)) // to the same server
	if link == nil || id == 0 {
		if must {
			s.drop(errLeft)
		}
		then([]byte(":0\r\n"))
		return
	}
	s.pin.asking = true
	held := s.pin.link
	link.Ask(func(reply []byte) {
		if s.pin.link == held && !s.closed {
			s.pin.asking = false
			switch {
			case must && (len(reply) == 0 || reply[0] != ':'):
				s.drop(errLeft)
			case must && s.blocked() && reply[1] == '0':
				s.core.After(askAgain, s.endWait)
			default:
				s.answered()
			}
		}
		if len(reply) == 0 {
			reply = []byte(":0\r\n")
		}
		then(reply)
	}, append([]string{"CLIENT", "UNBLOCK", strconv.FormatInt(id, 10)}, reason...)...)
}

// sortByID puts lines of CLIENT LIST in the order of their ids.
func sortByID(lines []string) {
	id := func(line string) int {
		digits, _, _ := strings.Cut(strings.TrimPrefix(line, "id="), " ")
		n, _ := strconv.Atoi(digits)
		return n
	}
	slices.SortFunc(lines, func(a, b string) int { return id(a) - id(b) })
}
