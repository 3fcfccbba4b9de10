package proxy

import (
	"maps"
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
		s.refuse(it.id, badRequest, noSuchDB)
	case s.clustered() && db != 0:
		s.refuse(it.id, badRequest, noSuchDB)
	case int(db) == s.db:
		s.say([]byte("+OK\r\n"))
	case s.core.Links.Connected(s.key(int(db), pool.Plain)):
		s.selectedDB(int(db))
	case s.core.lacks(s.server(), int(db)):
		s.refuse(it.id, badRequest, noSuchDB)
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
	route, server := s.principal.Route, s.server()
	refused := func(why string) {
		if why == noSuchDB {
			s.core.lacking(server, db)
		}
	}
	var cancel func()
	dial := func() {
		switch {
		case s.closed:
		case !s.principal.Route.SameWay(route):
			s.refuse(id, backendUnavailable, "backend unavailable: "+movedAway)
			s.resume()
		default:
			s.onLink(id, db, s.proto, func(err *pool.Error) { refused(err.Error()) }, func(*pool.Link) { s.selectedDB(db) })
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
			why := ""
			if len(reply) > 0 {
				why = strings.TrimRight(string(reply[1:]), "\r\n")
				refused(why)
			}
			switch {
			case s.closed:
				return
			case !s.principal.Route.SameWay(route):
				s.refuse(id, backendUnavailable, "backend unavailable: "+movedAway)
			case len(reply) == 0:
				s.refuse(id, backendUnavailable, "backend unavailable: connection closed")
			case reply[0] == '+':
				s.selectedDB(db)
			default:
				s.refuse(id, badRequest, why)
			}
			s.resume()
		}, "SELECT", strconv.FormatInt(int64(db), 10))
	})
}

// movedAway is told to a client whose key was given another instance meanwhile.
const movedAway = "the key has been changed, try again"

// noSuchDB is what Redis says to SELECT of a database that it has not got.
const noSuchDB = "ERR DB index is out of range"

// lackTime is how long it is remembered that a server has not got a database: a client may
// SELECT as fast as it can, and where all links are taken each question costs a connection.
// For no longer: a server that has more of them may take its place.
const lackTime = time.Second

// lack says that a server has no database as high as db.
type lack struct {
	db    int
	until int64 // nanoseconds of the loop's clock
}

// lacks reports whether server has just said that it has no database as high as db.
func (c *Core) lacks(server pool.Backend, db int) bool {
	l, known := c.lack[server]
	return known && db >= l.db && c.Clock.Nanos() < l.until
}

// lacking notes that server has said so.
func (c *Core) lacking(server pool.Backend, db int) {
	now := c.Clock.Nanos()
	maps.DeleteFunc(c.lack, func(_ pool.Backend, l lack) bool { return now >= l.until })
	if c.lack == nil {
		c.lack = map[pool.Backend]lack{}
	}
	if l, known := c.lack[server]; !known || db < l.db {
		c.lack[server] = lack{db, now + int64(lackTime)}
	}
}

// errKeyChanged says that the client's key opens something else now.
var errKeyChanged = &pool.Error{Reason: movedAway}
