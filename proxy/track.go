package proxy

import (
	"bytes"
	"strconv"

	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/resp"
)

// asksBackend are CLIENT's subcommands that are about the backend's connection: the
// session's own one when it tracks keys, else any, which does not.
var asksBackend = map[string]bool{"client|caching": true, "client|trackinginfo": true, "client|getredir": true}

// redirect is the client that is sent a session's invalidations: its id here, and that of
// its connection to the backend.
type redirect struct {
	ours, backend int64
	looked        bool // just now: the command is looked at again
}

// track relays CLIENT TRACKING and CLIENT NO-TOUCH, which are about a link of the
// session's own; false says that it must wait. A REDIRECT names a client by its id here:
// it is looked for first.
func (s *Session) track(it *item) bool {
	if s.pin.link == nil && it.id.ArityOK(it.frame.Args) && equalFold(it.frame.AppendArgs(nil)[2], "off") {
		return s.relay(it, onShared) // there is nothing to end
	}
	if s.clustered() {
		return s.relay(it, onShared) // which refuses it
	}
	target, at := redirectOf(it)
	if at == 0 || s.redirect.looked {
		s.redirect.looked = false
		return s.relayPinned(it, tracks)
	}
	if s.owed() > 0 {
		s.pause(idleness)
		return false
	}
	survey(s, func(o *Session) (int64, bool) {
		if o.id != target || o.pin.link == nil {
			return 0, false
		}
		return o.pin.link.Hello().ID, true
	}, func(found []int64) {
		s.redirect = redirect{ours: target, looked: true}
		if len(found) > 0 {
			s.redirect.backend = found[0]
		}
	})
	if s.wait != nothing {
		return false
	}
	s.redirect.looked = false
	return s.relayPinned(it, tracks)
}

// redirectOf returns whom CLIENT TRACKING ON REDIRECT names, and which argument does; 0
// when none does.
func redirectOf(it *item) (target int64, at int) {
	if it.id.Info().Name != "client|tracking" {
		return 0, 0
	}
	args := it.frame.AppendArgs(nil)
	for i := 3; i+1 < len(args); i++ {
		if equalFold(args[i], "prefix") {
			i++
		} else if equalFold(args[i], "redirect") {
			id, ok := resp.ParseInt(args[i+1])
			if !ok {
				return 0, 0
			}
			return id, i + 1
		}
	}
	return 0, 0
}

// tracked returns what is sent for CLIENT TRACKING or NO-TOUCH, and who follows its reply.
// A REDIRECT gets the backend's id; one that it cannot have stands for a client that there
// is not.
func (s *Session) tracked(it *item) (pool.Owner, []byte) {
	p := &s.pin
	args := it.frame.AppendArgs(nil)
	o := &tracking{Session: s, changes: &p.untouched, on: !equalFold(args[2], "off")}
	if it.id.Info().Name == "client|tracking" {
		o.changes = &p.tracking
	}
	p.changing++
	_, at := redirectOf(it)
	if at == 0 {
		return o, it.frame.Raw
	}
	id := s.redirect.backend
	if id == 0 {
		id = 1<<63 - 1
	}
	words := make([]string, 0, it.frame.Args)
	for _, arg := range args {
		words = append(words, string(arg))
	}
	words[at] = strconv.FormatInt(id, 10)
	return o, resp.AppendCommand(nil, words...)
}

// tracking follows whether the backend accepts CLIENT TRACKING or NO-TOUCH. The session
// keeps its link until it has said so.
type tracking struct {
	*Session
	changes *bool
	on      bool
}

// Replies implements pool.Owner.
func (o *tracking) Replies(b []byte, done int, partial bool) {
	if o.pin.link != nil {
		o.pin.changing -= int32(done) //nolint:gosec // 0 or 1
		if b[0] == '+' {
			*o.changes = o.on
		}
	}
	o.Session.Replies(b, done, partial)
}

// redirected puts the client's id here back into what the backend says of a redirection.
type redirected struct {
	*Session
	reply []byte
}

// Replies implements pool.Owner.
func (o *redirected) Replies(b []byte, done int, _ bool) {
	o.reply = append(o.reply, b...)
	if done == 0 {
		return
	}
	theirs := ":" + strconv.FormatInt(o.redirect.backend, 10) + "\r\n"
	ours := ":" + strconv.FormatInt(o.redirect.ours, 10) + "\r\n"
	o.Session.Replies(bytes.Replace(o.reply, []byte(theirs), []byte(ours), 1), done, false)
}
