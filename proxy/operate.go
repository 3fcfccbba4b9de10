package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tidwall/redcon"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/resp"
	"github.com/respgate/respgate/tenant"
)

// Operations are what PROXY, the command for operators, needs besides the loops. Its
// functions may be called on any loop and must not block, but for Directory's.
type Operations struct {
	Version   string
	Directory Directory
	Pauses    *Pauses
	Config    func() []Setting
	Troubles  func() map[string]pool.Trouble                  // of backends, by label
	Answered  func(instanceID string) (reachable, known bool) // when a backend was last asked
	Patience  func() time.Duration                            // how long PAUSE waits for what is under way
}

// Directory knows the instances that there are. It is asked away from the loops.
type Directory interface {
	// Instance returns the organization's with that name; tenant.ErrNotFound is that there is none.
	Instance(ctx context.Context, org, name string) (tenant.Instance, error)
	// Instances returns all.
	Instances(ctx context.Context) ([]tenant.Instance, error)
}

// Upkeep is what can be done to the loop's links besides using them; *pool.Pool is one.
type Upkeep interface {
	Survey(instance string) map[pool.StatusKey]*pool.Status
	Reconnect(instance string)
	Kill(instance string)
}

// Setting is a value of the configuration.
type Setting struct {
	Key     string
	Value   string // of a secret not what it is
	Default string
	Live    bool // it can change while the proxy runs
}

// The actions of the events that operators' commands leave.
const (
	ProxyPaused      = "proxy.pause"
	ProxyResumed     = "proxy.resume"
	ProxyReconnected = "proxy.reconnect"
	ProxyKilled      = "proxy.kill"
)

// How long PROXY PAUSE and KILL hold commands up.
const (
	defaultPause = 30 * time.Second
	maxPause     = 10 * time.Minute
)

// quietInterval is how often a pause looks whether all that was under way has ended.
const quietInterval = 20 * time.Millisecond

// target is the instance that an operator means.
type target struct{ id, label string }

// operations are PROXY's subcommands that concern one instance.
var operations = map[string]func(*Session, *operation){
	"proxy|pause":     (*Session).proxyPause,
	"proxy|resume":    (*Session).proxyResume,
	"proxy|reconnect": (*Session).proxyReconnect,
	"proxy|kill":      (*Session).proxyKill,
}

// operation is one of them, under way.
type operation struct {
	id     command.ID
	action string
	in     target
	pause  time.Duration
	by     *tenant.Principal
	said   []any // who has asked, for the log
}

// operate serves PROXY.
func (s *Session) operate(it *item) {
	name, args := it.id.Info().Name, it.frame.AppendArgs(nil)
	switch {
	case s.core.Operations == nil:
		s.refuse(it.id, unsupported, "the '", name, "' command is not supported by this proxy")
	case name == "proxy|help":
		s.proxyHelp()
	case name == "proxy|show":
		s.proxyShow(it, args)
	case operations[name] != nil:
		s.onInstance(it, args, operations[name])
	default:
		s.refuse(it.id, badRequest, "ERR unknown subcommand '", printable(it.frame.Sub), "'. Try PROXY HELP.")
	}
}

func (s *Session) proxyHelp() {
	lines := []string{
		"PROXY <subcommand> [<arg> [value] [opt] ...]. It is about this proxy only, and all organizations. Subcommands are:",
		"KILL <instance>",
		"    Disconnect the instance's clients and servers at once, and hold up new commands for 30 seconds, or until RESUME.",
		"PAUSE <instance> [<milliseconds>]",
		"    Hold up the instance's commands, for 30 seconds or so long, and answer when none is under way.",
		"RECONNECT <instance>",
		"    Replace each connection to the instance's servers, when it has answered what it was asked.",
		"RESUME <instance>",
		"    Let the instance's commands go on.",
		"SHOW (CLIENTS|CONFIG|INSTANCES|POOLS|VERSION)",
		"    A table of what there is.",
		"HELP",
		"    Print this help.",
	}
	b := redcon.AppendArray(nil, len(lines))
	for _, line := range lines {
		b = redcon.AppendString(b, line)
	}
	s.say(b)
}

// proxySyntax is Redis's complaint about a subcommand's arguments.
func (s *Session) proxySyntax(id command.ID, sub []byte) {
	s.refuse(id, badRequest, "ERR unknown subcommand or wrong number of arguments for '", printable(sub), "'. Try PROXY HELP.")
}

// onInstance serves a subcommand that concerns one instance: org/instance, or the name of
// one of the key's own organization.
func (s *Session) onInstance(it *item, args [][]byte, serve func(*Session, *operation)) {
	op := &operation{id: it.id, action: strings.Replace(it.id.Info().Name, "|", ".", 1), pause: defaultPause, by: s.principal, said: s.about()}
	if len(args) > 4 {
		s.proxySyntax(it.id, args[1])
		return
	}
	if len(args) == 4 {
		ms, ok := resp.ParseInt(args[3])
		if !ok || ms < 1 || ms > int64(maxPause/time.Millisecond) {
			s.refuse(it.id, badRequest, "ERR the time is not an integer from 1 to ", strconv.FormatInt(int64(maxPause/time.Millisecond), 10), " milliseconds")
			return
		}
		op.pause = time.Duration(ms) * time.Millisecond
	}
	given := string(args[2])
	s.pause(someone)
	s.find(given, func(in target, err error) {
		op.in = in
		switch {
		case s.closed:
		case errors.Is(err, tenant.ErrNotFound):
			op.in.label = printable([]byte(given))
			s.operated(op, "ERR no such instance '"+op.in.label+"'")
		case err != nil:
			op.in.label = printable([]byte(given))
			s.operated(op, "ERR the store cannot be asked, and no client uses '"+op.in.label+"'")
		default:
			serve(s, op)
		}
	})
}

// find calls then with the instance that an operator means: one that is paused, or that has
// clients, or that the store has. The store may be away when an operator is needed most.
func (s *Session) find(name string, then func(target, error)) {
	org, instance, ok := strings.Cut(name, "/")
	if !ok {
		org, instance = s.principal.Org, name
	}
	label := org + "/" + instance
	ops := s.core.Operations
	if id, ok := ops.Pauses.labelled(label); ok {
		then(target{id, label}, nil)
		return
	}
	var used atomic.Pointer[string]
	s.core.everywhere(func(c *Core) {
		for o := range c.sessions {
			if o.principal != nil && o.principal.Route.Label == label && !o.closed {
				used.Store(&o.principal.Route.InstanceID)
				return
			}
		}
	}, func() {
		if id := used.Load(); id != nil {
			then(target{*id, label}, nil)
			return
		}
		s.core.Background(func() func() {
			in, err := ops.Directory.Instance(s.core.Ctx, org, instance)
			return func() { then(target{in.ID, label}, err) }
		})
	})
}

// operated answers a subcommand: OK, or with what is wrong. It is noted either way.
func (s *Session) operated(op *operation, complaint string) {
	s.noteOperation(op, complaint)
	if s.closed {
		return
	}
	if complaint != "" {
		s.refuse(op.id, badRequest, complaint)
	} else {
		s.say([]byte("+OK\r\n"))
	}
	s.resume()
}

// noteOperation has the log and the audit log tell of what an operator has done, or tried.
func (s *Session) noteOperation(op *operation, complaint string) {
	p, outcome := op.by, tenant.Done
	if complaint != "" {
		outcome = tenant.Failed
	}
	complaint = strings.TrimPrefix(complaint, "ERR ")
	s.core.Log.Info("an operator's command", append(op.said, "action", op.action, "target", op.in.label, "outcome", outcome, "reason", complaint)...)
	if s.core.Auditor == nil {
		return
	}
	e := tenant.Event{
		At: s.core.Clock.Now(), Actor: tenant.ByKey, ActorID: p.KeyID, ActorName: p.KeyName, Address: s.addr.String(),
		Action: op.action, OrgID: p.Seats.OrgID, Org: p.Org, Target: "instance", TargetID: op.in.id, Name: op.in.label, Outcome: outcome, Detail: complaint,
	}
	if op.action == ProxyPaused || op.action == ProxyKilled {
		e.After, _ = json.Marshal(map[string]int64{"milliseconds": op.pause.Milliseconds()}) // a number: it cannot fail
	}
	s.core.Auditor.Note(e, 1)
}

// proxyPause serves PROXY PAUSE: it answers when nothing of the instance's is under way any
// more, or says how much is, when that takes too long. The pause stays then.
func (s *Session) proxyPause(op *operation) {
	s.holdInstance(op, func(*Core) {})
	deadline := s.core.Clock.Nanos() + int64(s.core.Operations.Patience())
	s.whenQuiet(op.in.id, deadline, func(left int64) {
		complaint := ""
		if left > 0 {
			complaint = "ERR '" + op.in.label + "' is paused, and " + strconv.FormatInt(left, 10) + " of its commands and transactions have not ended yet"
		}
		s.operated(op, complaint)
	})
}

// holdInstance has all loops hold up an instance's commands, and do more.
func (s *Session) holdInstance(op *operation, more func(*Core)) {
	c, pauses := s.core, s.core.Operations.Pauses
	round := pauses.begin(op.in, c.Clock.Now().Add(op.pause))
	c.After(op.pause, func() {
		if pauses.end(op.in.id, round) {
			c.Log.Info("instance no longer paused: its time is over", "tenant", op.in.label)
		}
	})
	c.everywhere(func(c *Core) {
		c.holdUp(holdKey{op.in.id, byOperator}, op.pause, letsTransactionsEnd)
		more(c)
	}, func() {})
}

// whenQuiet calls then when nothing of an instance's is under way, with 0, or at the
// deadline, with how much at least.
func (s *Session) whenQuiet(instance string, deadline int64, then func(left int64)) {
	var left atomic.Int64
	s.core.everywhere(func(c *Core) { left.Add(int64(c.UnderWay(instance))) }, func() {
		switch {
		case left.Load() == 0, s.closed, s.core.Clock.Nanos() >= deadline:
			then(left.Load())
		default:
			s.core.After(quietInterval, func() { s.whenQuiet(instance, deadline, then) })
		}
	})
}

// UnderWay is how many of an instance's commands and transactions have begun and not ended
// on the loop, at least: clients may have left theirs behind.
func (c *Core) UnderWay(instance string) int {
	clients, links, transactions := 0, 0, 0
	for s := range c.sessionsOf(instance) {
		clients += int(s.owed()) //nolint:gosec // at most maxOwed
		if s.pin.tx != none && s.pin.tx != refused {
			transactions++
		}
	}
	for k, status := range c.Upkeep.Survey(instance) {
		if k.Kind == pool.Tracker.String() {
			continue // its clients' reads are counted; the rest is the proxy's own, and never ends
		}
		links += status.Owed
		if k.Kind == pool.SharedLinks || k.Kind == pool.ScriptLinks {
			links += status.Waiting
		}
	}
	return max(clients, links) + transactions
}

// proxyResume serves PROXY RESUME.
func (s *Session) proxyResume(op *operation) {
	s.core.Operations.Pauses.end(op.in.id, 0)
	s.core.everywhere(func(c *Core) { c.release(holdKey{op.in.id, byOperator}) }, func() { s.operated(op, "") })
}

// proxyReconnect serves PROXY RECONNECT.
func (s *Session) proxyReconnect(op *operation) {
	s.core.everywhere(func(c *Core) { c.Upkeep.Reconnect(op.in.id) }, func() { s.operated(op, "") })
}

// proxyKill serves PROXY KILL. It spares the session that asks for it.
func (s *Session) proxyKill(op *operation) {
	s.holdInstance(op, func(c *Core) {
		for o := range c.sessionsOf(op.in.id) {
			if o != s {
				o.drop(errKilled)
			}
		}
		if s.core == c && s.principal != nil && s.principal.Route.InstanceID == op.in.id {
			s.releaseLinks() // they end, and it has to have others
		}
		c.Upkeep.Kill(op.in.id)
	})
	s.core.everywhere(func(*Core) {}, func() { s.operated(op, "") })
}
