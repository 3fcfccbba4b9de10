package proxy

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/resp"
)

// selectDB serves SELECT: the backend has to accept the database.
func (s *Session) selectDB(it *item) {
	db, ok := resp.ParseInt(it.frame.Sub)
	switch {
	case !ok:
		s.refuse(it.id, badRequest, "ERR value is not an integer or out of range")
	case db < math.MinInt32, db > math.MaxInt32:
		s.refuse(it.id, badRequest, "ERR value is out of range, value must between -2147483648 and 2147483647")
	case db < 0:
		s.refuse(it.id, badRequest, "ERR DB index is out of range")
	case s.clustered() && db != 0:
		s.refuse(it.id, badRequest, "ERR DB index is out of range")
	case int(db) == s.db:
		s.say([]byte("+OK\r\n"))
	case s.core.Links.Connected(s.key(int(db), pool.Plain)):
		s.selectedDB(int(db))
	default:
		s.tryDB(it.id, int(db))
	}
}

func (s *Session) selectedDB(db int) {
	s.setDB(db)
	s.say([]byte("+OK\r\n"))
}

// setDB has what follows run in another database, over other shared links.
func (s *Session) setDB(db int) {
	if db != s.db {
		s.releaseLinks()
		s.db = db
	}
}

// tryTime is how long SELECT waits for a link to ask on, before it dials one of its own:
// it must not notice that others have all that there are.
const tryTime = 20 * time.Millisecond

// tryDB asks the backend, on a link that is nobody's, whether there is such a
// database. A link of its own is only made for one that there is.
func (s *Session) tryDB(id command.ID, db int) {
	s.pause(someone)
	route := s.principal.Route
	var cancel func()
	dial := func() {
		switch {
		case s.closed:
		case s.principal.Route != route:
			s.refuse(id, backendUnavailable, movedAway)
			s.resume()
		default:
			s.onLink(id, db, s.proto, func() {}, func(*pool.Link) { s.selectedDB(db) })
		}
	}
	hurry := s.core.After(tryTime, func() { cancel(); dial() })
	cancel = s.core.Links.Borrow(s.key(s.backend.DB, pool.Plain), pool.Pinned, func(l *pool.Link, err *pool.Error) {
		hurry.Stop()
		if err != nil {
			dial()
			return
		}
		l.Ask(func(reply []byte) {
			if len(reply) > 0 && reply[0] == '+' {
				l.SelectedDB(db)
			}
			l.GiveBack(pool.Clean)
			switch {
			case s.closed:
				return
			case s.principal.Route != route:
				s.refuse(id, backendUnavailable, movedAway)
			case len(reply) == 0:
				s.refuse(id, backendUnavailable, "backend unavailable: connection closed")
			case reply[0] == '+':
				s.selectedDB(db)
			default:
				s.refuse(id, badRequest, strings.TrimRight(string(reply[1:]), "\r\n"))
			}
			s.resume()
		}, "SELECT", strconv.FormatInt(int64(db), 10))
	})
}

// movedAway is told to a client whose key was given another instance meanwhile.
const movedAway = "backend unavailable: the key has been changed, try again"

// errKeyChanged says that the client's key opens something else now.
var errKeyChanged = &pool.Error{Reason: "the key has been changed, try again"}
