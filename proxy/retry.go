package proxy

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/resp"
)

// How a command that has not been executed is sent again: so often at most, and at these
// intervals, twice as long each time and jittered.
const (
	maxTries   = 9
	maxAtOnce  = 3 // of them, for MOVED: then each waits
	firstRetry = 10 * time.Millisecond
	lastRetry  = 500 * time.Millisecond
)

// The retries that a tenant's commands on one loop may cause: a tenth of the commands, and
// some that have been saved up. More would be a storm.
const (
	retriesPerCall = 0.1
	maxRetries     = 1000
)

// earn is told of a command.
func (m *meter) earn() { m.retries = min(m.retries+retriesPerCall, maxRetries) }

// spend takes one from the tenant's retries.
func (m *meter) spend() bool {
	if m.retries < 1 {
		m.tenant.Retry(metrics.RetryDenied)
		return false
	}
	m.retries--
	return true
}

// mayWait reports whether the call may be sent again after a while: nothing that came later
// to the same keys may have run meanwhile.
func (c *call) mayWait(why metrics.Retry) bool {
	if c.tries >= maxTries {
		return false
	}
	for later := c.following(); later != nil && why != metrics.RetryUnsent; later = later.next {
		if later.concerns(c.slot) {
			return false
		}
	}
	if c.s.meter == nil {
		return false
	}
	if !c.s.meter.spend() {
		c.s.core.denied.Interval = time.Second
		c.s.core.denied.Do(func() {
			c.s.core.Log.Warn("too many commands would have to be sent again: they are refused", c.s.about()...)
		})
		return false
	}
	c.s.meter.tenant.Retry(why)
	c.s.group.topology.Refresh()
	return true
}

// following is the call after this one, or after the one that it is a part of.
func (c *call) following() *call {
	if c.join != nil {
		return c.join.whole.next
	}
	return c.next
}

// concerns reports whether a call may be about keys of a slot.
func (c *call) concerns(slot int) bool {
	if c.join == nil {
		return slot < 0 || c.slot < 0 || c.slot == slot
	}
	return slot < 0 || slices.ContainsFunc(c.join.parts, func(p *call) bool { return p.slot < 0 || p.slot == slot })
}

// sendAgain has a call sent again after a while: to whoever serves it then. Those that wait
// already go first.
func (s *Session) sendAgain(c *call) {
	s.group.moving = true
	s.group.again = append(s.group.again, c)
	if len(s.group.again) > 1 {
		return
	}
	wait := min(firstRetry<<min(c.tries, maxTries), lastRetry)   // behind another one it may be for long
	wait = time.Duration(float64(wait) * (0.5 + rand.Float64())) //nolint:gosec // no secret
	s.core.After(wait, func() {
		waiting := s.group.again
		s.group.again = nil
		for _, c := range waiting {
			switch {
			case c.s == nil, s.closed:
			case len(s.group.again) > 0: // one before it waits once more
				s.group.again = append(s.group.again, c)
			default:
				c.tries++
				c.resend()
			}
		}
	})
}

// resend sends the call to whoever the layout says.
func (c *call) resend() {
	s := c.s
	l := s.group.topology.Layout()
	slot := c.slot
	if slot < 0 {
		slot = c.home // who has that now has most of what the primary had
	}
	node := l.Owner(slot)
	if node < 0 || node >= len(l.Primaries) {
		c.Failed(c.id, &pool.Error{Reason: "no server has the key's slot"})
		return
	}
	c.sendTo(l.Primaries[node], false)
}

// sendTo sends the call to a member of the group, behind ASKING if it asks for a slot that
// is being moved there.
func (c *call) sendTo(member pool.Backend, asking bool) {
	s := c.s
	l := s.core.Links.Shared(s.keyTo(member, s.db, laneOf(c.id)))
	if l == nil {
		c.fail(pool.ErrBusy)
		return
	}
	if c.behind(l) {
		s.sendAgain(c)
		return
	}
	c.asked = asking
	c.send(l)
}

// behind reports whether an earlier command that may be for the same keys is on its way to
// another server than l: this one must not overtake it.
func (c *call) behind(l *pool.Link) bool {
	whole := c
	if c.join != nil {
		whole = c.join.whole
	}
	if c.tries == 0 || c.slot < 0 {
		return false
	}
	elsewhere := func(e *call) bool { return !e.done && e.slot == c.slot && e.link != l }
	for e := c.s.group.calls.head; e != whole; e = e.next {
		if elsewhere(e) || e.join != nil && slices.ContainsFunc(e.join.parts, elsewhere) {
			return true
		}
	}
	return false
}

// refused acts on an error that says that the command has not been executed; false leaves
// it for the client. A script may return any word: its are not believed.
func (c *call) refused() bool {
	word := resp.ErrorCode(c.reply)
	switch string(word) {
	case "MOVED", "ASK":
		c.s.group.topology.Refresh()
		return c.redirected()
	case "TRYAGAIN", "CLUSTERDOWN", "LOADING", "READONLY", "MASTERDOWN":
		if c.id.Info().Class == command.Script || !c.mayWait(metrics.RetryNotServed) {
			return false
		}
		c.dropReply()
		c.s.sendAgain(c)
		return true
	}
	return false
}

// tooManyMoves ends a chase.
var tooManyMoves = &pool.Error{Reason: "its servers send the command to and fro"}

// redirected follows MOVED and ASK.
func (c *call) redirected() bool {
	if c.id.Info().Class == command.Script {
		return c.probe()
	}
	return c.follow(c.reply)
}

// follow sends the call to whom a server's words, MOVED or ASK, name.
func (c *call) follow(words []byte) bool {
	s := c.s
	fields := bytes.Fields(words)
	if len(fields) != 3 || c.slot < 0 {
		return false
	}
	why := metrics.RetryMoved
	if string(fields[0]) == "-ASK" {
		why = metrics.RetryAsk
	}
	member := s.group.topology.Member(string(fields[2]), c.link.Key().Backend)
	if why == metrics.RetryMoved {
		s.group.topology.Moved(c.slot, member.Addr)
	}
	s.noteStray(member)
	c.dropReply()
	if c.tries++; c.tries > maxTries {
		c.fail(tooManyMoves)
		return true
	}
	s.group.moving = true
	s.meter.tenant.Retry(why)
	// One of those that wait may be for the same keys; and servers that do not agree whose a
	// slot is will, soon.
	if len(s.group.again) > 0 || why == metrics.RetryMoved && c.tries > maxAtOnce {
		s.sendAgain(c)
		return true
	}
	c.sendTo(member, why == metrics.RetryAsk)
	return true
}

// probe finds out whether a script's MOVED or ASK is the server's: then it says the same
// of the same slot to a command that only asks whether the first key exists.
func (c *call) probe() bool {
	var f resp.Frame
	framer := resp.NewFramer(c.s.core.limitsAfter())
	if _, err := framer.Next(c.raw, &f); err != nil || f.Raw == nil {
		return false
	}
	args := f.AppendArgs(nil)
	keys, _ := c.id.AppendKeys(nil, args)
	if len(keys) == 0 {
		return false
	}
	ask := resp.AppendCommand(nil, "EXISTS", string(args[keys[0]]))
	send := c.link.Send
	if c.asked {
		send = c.link.SendAsking
	}
	_, err := send(&probing{c: c}, ask, command.Lookup([]byte("exists")), c.s.core.Clock.Nanos())
	return err == nil
}

// probing owns the question whether a server does not serve a script's slot.
type probing struct {
	c     *call
	reply []byte
}

// Client implements pool.Rider.
func (p *probing) Client() pool.Owner { return p.c.s }

// Replies implements pool.Owner.
func (p *probing) Replies(b []byte, done int, _ bool) {
	p.reply = append(p.reply, b...)
	if done == 0 || p.c.s == nil || p.c.s.closed {
		return
	}
	if theirs, ours := slotMoved(p.reply), slotMoved(p.c.reply); theirs < 0 || theirs != ours || !p.c.follow(p.reply) {
		p.c.end() // it is the script's own word
	}
}

// slotMoved is the slot of MOVED or ASK; -1 of other replies.
func slotMoved(reply []byte) int {
	var slot int
	var to string
	for _, format := range []string{"-MOVED %d %s", "-ASK %d %s"} {
		if n, _ := fmt.Sscanf(string(reply), format, &slot, &to); n == 2 {
			return slot
		}
	}
	return -1
}

// Failed implements pool.Owner.
func (p *probing) Failed(command.ID, *pool.Error) {
	if p.c.s != nil && !p.c.s.closed {
		p.c.fail(&pool.Error{Sent: true})
	}
}
