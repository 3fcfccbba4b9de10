package proxy

import (
	"bytes"
	"slices"

	"github.com/tidwall/redcon"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/resp"
)

// acks are a WAIT that asks all of a cluster's primaries, each over a link of its own, since it
// may block there. The least of their answers is true of all that the session has written,
// wherever that has moved since.
type acks struct {
	s     *Session
	whole *call
	asked []*ack
	left  int   // that have not answered
	least int64 // of the answers; -1 before the first
	over  bool
}

// ack owns the WAIT of one primary.
type ack struct {
	of     *acks
	cancel func() // ends the wish for a link
	link   *pool.Link
	reply  []byte
}

// waitAtAll has WAIT ask all primaries; false says that it must wait.
func (s *Session) waitAtAll(it *item, _ role) bool {
	if s.owed() > 0 {
		s.pause(idleness)
		return false
	}
	if !s.mayCall(nil, toPrimary) {
		return false
	}
	servers := slices.Clone(s.group.layout.Primaries)
	for _, stray := range s.group.strays {
		if !slices.Contains(servers, stray) {
			servers = append(servers, stray)
		}
	}
	w := &acks{s: s, whole: s.newCall(it.id, s, nil, -1), left: len(servers), least: -1}
	s.group.acks = w
	s.group.moving = true // what follows waits
	raw := bytes.Clone(it.frame.Raw)
	for range servers {
		w.asked = append(w.asked, &ack{of: w})
	}
	for i, a := range w.asked {
		if !w.over {
			a.ask(servers[i], raw)
		}
	}
	return true
}

// ask sends the WAIT to a primary. It is about what the link's last command came behind:
// a PING's place is behind all that the session has written over others.
func (a *ack) ask(server pool.Backend, raw []byte) {
	s := a.of.s
	id := a.of.whole.id
	cancel := s.core.Links.Borrow(s.keyTo(server, s.db, pool.Plain), pool.Pinned, func(l *pool.Link, err *pool.Error) {
		if a.cancel = nil; err == nil {
			a.link = l
			l.Ask(unasked, "PING")
			_, err = l.Send(a, raw, id, s.core.Clock.Nanos())
		}
		if err != nil {
			a.Failed(id, err)
		}
		s.endWait()
	})
	if a.link == nil && !a.of.over {
		a.cancel = cancel
	}
}

// Replies implements pool.Owner.
func (a *ack) Replies(b []byte, done int, _ bool) {
	w := a.of
	if a.reply = append(a.reply, b...); done == 0 || w.over {
		return
	}
	a.link.GiveBack(pool.Clean)
	a.link = nil
	n, ok := resp.ParseInt([]byte(text(a.reply)))
	if a.reply[0] != ':' || !ok {
		w.s.group.topology.Refresh()
		w.s.group.strays = nil
		w.end(a.reply)
		return
	}
	if w.least < 0 || n < w.least {
		w.least = n
	}
	if w.left--; w.left == 0 {
		w.end(redcon.AppendInt(nil, w.least))
	}
}

// Failed implements pool.Owner.
func (a *ack) Failed(id command.ID, err *pool.Error) {
	if w := a.of; !w.over {
		w.release()
		w.s.group.strays = nil // one of them may have gone for good, and the client knows now
		w.whole.fail(err)
	}
}

// end answers the client; those that have not answered are not waited for.
func (w *acks) end(reply []byte) {
	w.release()
	w.whole.reply = append(w.whole.reply, reply...)
	w.s.keep(len(reply))
	w.whole.end()
}

// release lets go of all links, and of the wishes for some.
func (w *acks) release() {
	w.over = true
	w.s.group.acks = nil
	for _, a := range w.asked {
		if a.cancel != nil {
			a.cancel()
		}
		if a.link != nil {
			a.link.GiveBack(pool.Spoilt)
		}
	}
}

// unblock ends the wait as CLIENT UNBLOCK does. How many replicas have answered by now is not
// asked for: none are certain to.
func (w *acks) unblock(reason []string) {
	if len(reason) > 0 && equalFold([]byte(reason[0]), "error") {
		w.end([]byte("-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"))
		return
	}
	w.end([]byte(":0\r\n"))
}
