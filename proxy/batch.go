package proxy

import (
	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/internal/bare"
	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/resp"
	"github.com/respgate/respgate/tenant"
)

// verdict is what policy says of a command.
type verdict uint8

const (
	relayed verdict = iota // costs one of the limit
	free                   // relayed, and costs nothing: it ends what has begun
	local
	surveys // not relayed as it is, for one of the limit: it asks other sessions, or the backend
	denied
	impossible // of a class that is not served
)

// costs reports whether a command costs one of the limit.
func (v verdict) costs() bool { return v == relayed || v == surveys }

// runBatch frames and serves up to a batch of commands. It returns how many
// bytes are consumed and whether there may be more to do.
func (s *Session) runBatch(b []byte) (consumed int, more bool) {
	limit := s.batchLimit()
	items, framed, bad := s.frame(b, limit)
	s.core.looked += len(items)
	cost := 0
	for i := range items {
		s.judge(&items[i])
		if items[i].verdict.costs() {
			cost++
		}
	}
	tokens, short := cost, shortage{}
	switch {
	case cost == 0 || bare.On:
	case s.buckets.more == nil:
		tokens, short = s.buckets.take(s.core.Clock.Now(), cost)
	case s.overdrawn():
		return s.stopBefore(items, 0), false
	default:
		tokens, short = s.buckets.more.ask(s.core.Clock.Now(), cost, s.owed() > 0)
	}
	served, stop := s.serve(items, tokens, short)
	if stop {
		return s.stopBefore(items, served), s.wait == nothing
	}
	if bad != nil {
		s.fail(bad)
		return framed, false
	}
	if len(items) < limit {
		s.out.Want(s.framer.Need())
		return framed, false
	}
	return framed, true
}

// serve serves a batch's commands with the tokens that the limiter gave for them,
// and gives back what it does not use. It returns how many are served, and whether
// what follows must be looked at again: the session waits, ends, or is another's.
func (s *Session) serve(items []item, tokens int, short shortage) (served int, stop bool) {
	principal, buckets, meter := s.principal, s.buckets, s.meter // AUTH and RESET change them
	audited := s.core.audited(principal)
	limited, asked := 0, tokens
	if buckets.more != nil {
		s.waited = buckets.more.spent()
	}
	for ; served < len(items) && !stop; served++ {
		var n int
		if n, stop = s.relayMany(items[served:], tokens); n > 0 {
			if audited != nil {
				s.audit(principal, items[served:served+n], tenant.Done, "")
			}
			tokens -= n
			limited += n
			served += n - 1
			continue
		}
		it := &items[served]
		r := roleOf(it)
		var done bool
		skipped := s.beginCommand()
		over, refusals := it.verdict.costs() && tokens == 0, s.refusals
		switch {
		case over:
			done = s.beyond(items[served:], r, &buckets, &short)
		case it.verdict == free || it.verdict == relayed:
			done = s.relay(it, r)
		default:
			s.core.looked += answering
			done = s.serveHere(it, r)
		}
		if !done {
			stop = true
			s.skip = skipped
			break
		}
		s.current = it.id
		s.count(it)
		if s.near.on && !over && (it.verdict == free || it.verdict == relayed) {
			s.noteSent(items[served : served+1])
		}
		if audited != nil {
			s.auditOne(principal, it, over, s.refusals != refusals)
		}
		if it.verdict.costs() {
			tokens = max(0, tokens-1)
			limited++
		}
		stop = s.principal != principal || s.wait != nothing || s.closing
	}
	if s.pin.link != nil && !s.closed {
		s.settlePinned() // it may have been got for a command that was refused then
	}
	if limited > 0 {
		meter.tenant.Phase(metrics.PhaseLimit, s.waited, limited)
	}
	if buckets.more != nil {
		s.settleShaped(buckets.more, meter, items[:served], asked, asked-tokens)
	} else if tokens > 0 && !bare.On {
		buckets.give(tokens)
	}
	return served, stop
}

// relayMany serves the commands that items begin with, as far as several can be served at once,
// from the instance's cache or over a shared link. It returns how many, and whether what follows
// must be looked at again.
func (s *Session) relayMany(items []item, tokens int) (n int, stop bool) {
	if s.near.on {
		if n = s.relayNear(items, tokens); n > 0 {
			return n, s.wait != nothing || s.closing || s.isAhead()
		}
	}
	return s.relayRun(items, tokens), false
}

// stopBefore returns what is consumed when item i is not: it is framed again.
func (s *Session) stopBefore(items []item, i int) int {
	s.framer.Reset()
	if i == 0 {
		return 0
	}
	return items[i-1].end
}

// batchLimit is 1 before authentication, which changes what follows.
func (s *Session) batchLimit() int {
	switch {
	case s.principal == nil:
		return 1
	case s.core.looked >= busyTurn:
		return busyBatch
	}
	return batchSize
}

func (s *Session) frame(b []byte, limit int) (items []item, framed int, bad error) {
	batch := s.core.batch[:limit]
	for i := range batch {
		it := &batch[i]
		n, err := s.framer.Next(b[framed:], &it.frame)
		framed += n
		if err != nil || it.frame.Raw == nil {
			return batch[:i], framed, err
		}
		it.end, it.id = framed, command.Lookup(it.frame.Name)
		if it.frame.Args > 1 {
			it.id = it.id.Sub(it.frame.Sub)
		}
	}
	return batch, framed, nil
}

// judge decides how a command is served: policy first.
func (s *Session) judge(it *item) {
	info := it.id.Info()
	switch {
	case s.principal == nil, info.Class == command.Local && info.Flags&command.FlagNoAuth != 0:
		it.verdict = local
		return
	case !bare.On && !s.allows(it.id):
		it.verdict = denied
	case info.Class == command.Local && (asksOthers[info.Name] || asksBackend[info.Name] || roles[it.id] == tracks):
		it.verdict = surveys
	case info.Class == command.Local:
		it.verdict = local
	case info.Class == command.Refused, it.id == command.Other && crossProtocol(it):
		it.verdict = impossible
	case ends(roles[it.id]):
		it.verdict = free
	default:
		it.verdict = relayed
	}
}

// allows reports whether the session's key may run a command.
func (s *Session) allows(id command.ID) bool {
	if id == command.Other {
		return s.principal.Commands.Unknown()
	}
	return s.principal.Commands.Has(uint16(id))
}

// count counts a command that is served. What is said before authentication is
// no tenant's.
func (s *Session) count(it *item) {
	if s.meter == nil || it.id.Info().Flags&command.FlagNoAuth != 0 && it.verdict == local {
		return
	}
	s.usage.Commands++
	s.meter.tenant.Commands(it.id, 1)
}

// blocks reports whether XREAD or XREADGROUP is told to: BLOCK is among the options
// before STREAMS, of which GROUP has two arguments and COUNT one.
func blocks(it *item) bool {
	args := it.frame.AppendArgs(nil)
	for i := 1; i < len(args); i++ {
		switch {
		case equalFold(args[i], "block"):
			return true
		case equalFold(args[i], "group"):
			i += 2
		case equalFold(args[i], "count"):
			i++
		case equalFold(args[i], "streams"):
			return false
		}
	}
	return false
}

// relay sends a command to its backend; false says that it must wait, and is
// to be looked at again.
func (s *Session) relay(it *item, r role) bool {
	p := &s.pin
	switch {
	case p.tx == refused && r == multi:
		p.tx = none
	case p.tx == refused && r != exec && r != discard:
		s.say(notBegun)
		return true
	}
	if p.link == nil && p.tx != pending && ends(r) && (it.id != sunsubscribe || !s.clustered()) {
		s.answerUnpinned(it, r)
		return true
	}
	if len(s.core.holds) > 0 && s.held(it) {
		return false
	}
	if s.group.topology != nil {
		return s.relayGrouped(it, r)
	}
	if r > onScripts || p.link != nil && (p.bound() || s.owed() > 0 && s.link == p.link) {
		return s.relayPinned(it, r)
	}
	lane := pool.Plain
	if r == onScripts {
		lane = pool.Scripts
	}
	l := s.shared(lane)
	if l == nil {
		return s.relayPinned(it, waits)
	}
	if !s.mayUse(l) {
		return false
	}
	if l.Connected() {
		s.meter.tenant.Phase(metrics.PhasePool, 0, 1)
	}
	owner, raw := pool.Owner(s), it.frame.Raw
	if r == tells {
		owner, raw = s.tellTruth(it, raw)
	}
	s.send(l, owner, raw, it.id)
	return true
}

// mayUse reports whether a command may go over a link now; else the session waits until
// it may.
func (s *Session) mayUse(l *pool.Link) bool {
	switch {
	case s.owed() > 0 && l != s.link:
		s.pause(idleness)
	case s.owed() >= maxOwed:
		s.pause(fewer)
	case l.Full():
		s.pause(someone)
		l.WhenRoom(s.resume)
	default:
		return true
	}
	return false
}

// shared returns the session's shared link in a lane; nil when there are too many to
// its instance.
func (s *Session) shared(lane pool.Lane) *pool.Link {
	if s.links[lane] == nil {
		l := s.core.Links.Shared(s.key(s.db, lane))
		if l == nil {
			return nil
		}
		l.Acquire()
		s.links[lane] = l
	}
	return s.links[lane]
}

func (s *Session) rateLimited(id command.ID, b *buckets, short shortage) {
	whose, what := b.whose(short)
	s.usage.Limited++
	s.usage.Errors++
	s.meter.tenant.RateLimited(1)
	s.meter.tenant.Error(id, rateLimited.Code())
	s.showRefusal(id, rateLimited.Code())
	s.say(appendRateLimited(s.core.scratch[:0], short.of.Rate(), what, whose, short.retry))
}

// refuse answers a command with an outcome.
func (s *Session) refuse(id command.ID, why outcome, details ...string) {
	b := why.appendReply(s.core.scratch[:0], details...)
	s.refusals++
	s.countRefusal(id, why, b)
	s.say(b)
}

// countRefusal counts a command that was refused with reply.
func (s *Session) countRefusal(id command.ID, why outcome, reply []byte) {
	s.usage.Errors++
	s.meterRefusal(id, why, reply)
}

// meterRefusal is countRefusal for the metrics only.
func (s *Session) meterRefusal(id command.ID, why outcome, reply []byte) {
	switch {
	case s.meter == nil:
	case why == badRequest:
		code := resp.ErrorCode(reply)
		s.meter.tenant.ErrorReply(id, code)
		s.showRefusal(id, metrics.Code(code))
	default:
		s.meter.tenant.Error(id, why.Code())
		s.showRefusal(id, why.Code())
	}
}

// fail answers malformed input and ends the session, as Redis does.
func (s *Session) fail(err error) {
	s.refuse(command.Other, protocolError, err.Error())
	s.finish()
}
