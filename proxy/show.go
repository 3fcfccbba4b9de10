package proxy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/tenant"
)

// maxShown bounds the lines of a table: people read them, and programs have the API.
const maxShown = 1000

// shows are what PROXY SHOW can show. Each answers, and resumes the session where it has
// paused it.
var shows = map[string]func(*Session, command.ID){
	"clients":   (*Session).showClients,
	"config":    (*Session).showConfig,
	"instances": (*Session).showInstances,
	"pools":     (*Session).showPools,
	"version":   (*Session).showVersion,
}

// proxyShow serves PROXY SHOW.
func (s *Session) proxyShow(it *item, args [][]byte) {
	if serve := shows[strings.ToLower(string(args[2]))]; serve != nil {
		serve(s, it.id)
		return
	}
	s.proxySyntax(it.id, args[1])
}

// sayTable answers with a table of columns and rows; more is how many rows there are besides.
func (s *Session) sayTable(columns string, rows [][]string, more int) {
	if len(rows) > maxShown {
		rows, more = rows[:maxShown], more+len(rows)-maxShown
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{strings.Fields(columns)}, rows...) {
		for i := range row {
			row[i] = harmless(row[i])
		}
		_, _ = fmt.Fprintln(w, strings.Join(row, "\t")) // into memory
	}
	_ = w.Flush()
	if more > 0 {
		fmt.Fprintf(&b, "... and %d more\n", more)
	}
	s.sayText(b.String())
}

// harmless has '?' for what would move the cursor of an operator's terminal: tenants say where
// their servers are, and these word their errors. redis-cli shows a table as it is.
func harmless(cell string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, cell)
}

func (s *Session) showVersion(command.ID) { s.sayText("respgate " + s.core.Operations.Version + "\n") }

func (s *Session) showConfig(command.ID) {
	var rows [][]string
	for _, v := range s.core.Operations.Config() {
		rows = append(rows, []string{v.Key, shownAs(v.Value), shownAs(v.Default), map[bool]string{true: "yes", false: "no"}[v.Live]})
	}
	s.sayTable("key value default changeable", rows, 0)
}

// shownAs is text as a table has it, where a cell is not nothing.
func shownAs(text string) string { return cmp.Or(text, "-") }

// seconds is a time as a table has it.
func seconds(nanos int64) string { return strconv.FormatInt(nanos/int64(time.Second), 10) }

// clientLine is a client in a table.
type clientLine struct {
	id    int64
	cells []string
}

func (s *Session) showClients(command.ID) {
	var mu sync.Mutex
	var all []clientLine
	total := 0
	s.pause(someone)
	s.core.everywhere(func(c *Core) {
		lines, n := c.clientLines()
		mu.Lock()
		defer mu.Unlock()
		all, total = append(all, lines...), total+n
	}, func() {
		if s.closed {
			return
		}
		slices.SortFunc(all, func(a, b clientLine) int { return cmp.Compare(a.id, b.id) })
		all = all[:min(len(all), maxShown)]
		rows := make([][]string, 0, len(all))
		for _, line := range all {
			rows = append(rows, line.cells)
		}
		s.sayTable("id addr key instance name age idle commands cmd db state", rows, total-len(rows))
		s.resume()
	})
}

// clientLines are those of the loop's clients that have authenticated, the oldest maxShown
// of them, and how many there are.
func (c *Core) clientLines() (lines []clientLine, total int) {
	var found []*Session
	for s := range c.sessions {
		if s.principal != nil && !s.closed {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b *Session) int { return cmp.Compare(a.id, b.id) })
	now := c.Clock.Nanos()
	for _, s := range found[:min(len(found), maxShown)] {
		lines = append(lines, clientLine{s.id, []string{
			s.sessionID(), s.addr.String(), s.principal.KeyID, s.principal.Route.Label, shownAs(s.name), seconds(now - s.since), seconds(now - s.active),
			strconv.FormatUint(s.sent, 10), s.current.Info().Name, strconv.Itoa(s.db), shownAs(strings.Join(s.state(), ",")),
		}})
	}
	return lines, len(found)
}

// sessionID is what the session is called outside of this proxy.
func (s *Session) sessionID() string { return s.core.Proxy + "-" + strconv.FormatInt(s.id, 10) }

func (s *Session) showPools(command.ID) {
	var mu sync.Mutex
	all := map[pool.StatusKey]*pool.Status{}
	s.pause(someone)
	s.core.everywhere(func(c *Core) {
		found := c.Upkeep.Survey("")
		mu.Lock()
		defer mu.Unlock()
		for k, status := range found {
			if all[k] != nil {
				all[k].Add(*status)
			} else {
				all[k] = status
			}
		}
	}, func() {
		if s.closed {
			return
		}
		list := slices.SortedFunc(maps.Values(all), func(a, b *pool.Status) int { return cmp.Or(cmp.Compare(a.Label, b.Label), cmp.Compare(a.Kind, b.Kind)) })
		troubles := s.core.Operations.Troubles()
		var rows [][]string
		for _, p := range list {
			trouble := troubles[p.Label]
			row := []string{p.Label, p.Kind}
			for _, n := range []int{p.Connected, p.Dialing, p.Broken, p.InUse, p.Idle(), p.Limit, p.Waiting, int(p.Longest / time.Millisecond), p.Owed} {
				row = append(row, strconv.Itoa(n))
			}
			rows = append(rows, append(row, shownAs(p.Regions), cmp.Or(trouble.State, "closed"), shownAs(cmp.Or(trouble.Cause, p.LastReason))))
		}
		s.sayTable("instance kind connected dialing broken in_use idle limit waiting maxwait_ms owed regions breaker last_error", rows, 0)
		s.resume()
	})
}

func (s *Session) showInstances(id command.ID) {
	var mu sync.Mutex
	clients := map[string]int{} // by instance
	s.pause(someone)
	s.core.everywhere(func(c *Core) {
		mu.Lock()
		defer mu.Unlock()
		for o := range c.sessions {
			if o.principal != nil && !o.closed {
				clients[o.principal.Route.InstanceID]++
			}
		}
	}, func() {
		ops := s.core.Operations
		s.core.Background(func() func() {
			all, err := ops.Directory.Instances(s.core.Ctx)
			return func() {
				switch {
				case s.closed:
					return
				case err != nil:
					s.refuse(id, badRequest, "ERR the store cannot be asked which instances there are")
				default:
					s.sayTable("instance server paused clients health", instanceRows(ops, all, clients, s.core.Clock.Now()), 0)
				}
				s.resume()
			}
		})
	})
}

func instanceRows(ops *Operations, all []tenant.Instance, clients map[string]int, now time.Time) (rows [][]string) {
	slices.SortFunc(all, func(a, b tenant.Instance) int { return cmp.Compare(a.Label(), b.Label()) })
	pauses := ops.Pauses.list()
	for _, in := range all {
		server, paused, health := "-", "no", "unknown"
		if b, err := pool.ParseURL(in.URL); err == nil {
			server = b.Addr
		}
		if p, ok := pauses[in.ID]; ok {
			paused = seconds(int64(p.until.Sub(now))) + "s"
		}
		if reachable, known := ops.Answered(in.ID); known {
			health = map[bool]string{true: "ok", false: "unreachable"}[reachable]
		}
		rows = append(rows, []string{in.Label(), server, paused, strconv.Itoa(clients[in.ID]), health})
	}
	return rows
}
