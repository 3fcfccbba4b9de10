package proxy

import (
	"errors"
	"strconv"
	"strings"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/pool"
)

// unasked is for a reply that does not matter.
func unasked([]byte) {}

// unheard owns a command of the proxy's own whose reply does not matter.
type unheard struct{}

// Replies implements pool.Owner.
func (unheard) Replies([]byte, int, bool) {}

// Failed implements pool.Owner.
func (unheard) Failed(command.ID, *pool.Error) {}

// Client implements pool.Rider for all that follow a reply on its way to the session: what
// becomes of one of its commands concerns the others.
func (s *Session) Client() pool.Owner { return s }

// instead gives the session a reply of the proxy's own when the backend's has come.
type instead struct {
	*Session
	reply []byte
}

// Replies implements pool.Owner.
func (i *instead) Replies(_ []byte, done int, _ bool) {
	if done > 0 {
		i.Session.Replies(i.reply, done, false)
	}
}

// beginning follows whether the backend accepts a MULTI.
type beginning struct {
	*Session
	begun int32
}

// Replies implements pool.Owner.
func (o *beginning) Replies(b []byte, done int, partial bool) {
	if b[0] == '-' && o.pin.begun == o.begun {
		o.pin.tx = none
	}
	o.Session.Replies(b, done, partial)
}

// selecting follows whether the backend accepts a database.
type selecting struct {
	*Session
	db int
}

// Replies implements pool.Owner.
func (o *selecting) Replies(b []byte, done int, partial bool) {
	if b[0] == '+' && o.pin.link != nil {
		o.setDB(o.db)
		o.pin.link.SelectedDB(o.db)
	}
	o.Session.Replies(b, done, partial)
}

// monitoring follows whether the backend accepts MONITOR.
type monitoring struct{ *Session }

// Replies implements pool.Owner.
func (o *monitoring) Replies(b []byte, done int, partial bool) {
	if o.pin.link != nil {
		o.pin.changing -= int32(done) //nolint:gosec // 0 or 1
		if o.pin.monitors = b[0] == '+'; o.pin.monitors {
			o.pin.link.Monitor()
		}
	}
	o.Session.Replies(b, done, partial)
}

// probe asks the backend for the database, which a transaction may have changed.
func (s *Session) probe() {
	s.pin.probing = true
	l := s.pin.link
	l.Ask(func(reply []byte) {
		if s.closed || s.pin.link != l {
			return
		}
		s.pin.probing = false
		_, after, found := strings.Cut(string(reply), " db=")
		digits, _, _ := strings.Cut(after, " ")
		db, err := strconv.Atoi(digits)
		if !found || err != nil {
			s.drop(errDatabase)
			return
		}
		s.setDB(db)
		l.SelectedDB(db)
		s.answered()
	}, "CLIENT", "INFO")
}

var errDatabase = errors.New("the backend does not say which database is selected")
