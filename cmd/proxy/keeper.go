package main

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/respgate/respgate/proxy"
	"github.com/respgate/respgate/tenant"
)

// How often a proxy says in the store that it lives, in peace and while an instance is moved;
// and how often it then looks whether what it waits for has happened.
const (
	beatInterval = 10 * time.Second
	moveInterval = 200 * time.Millisecond
	lookInterval = 10 * time.Millisecond
)

// transactionPatience is how long transactions that have begun may take to end while an
// instance is about to be moved: then those clients are disconnected.
const transactionPatience = time.Second

// proxyStore is where proxies and movers meet.
type proxyStore interface {
	ReportProxy(ctx context.Context, p tenant.Proxy, says map[string]bool) (tenant.Moves, error)
	ForgetProxy(ctx context.Context, id string) error
	EndMove(ctx context.Context, token string, beat int64) (ended bool, err error)
}

// keeper keeps this proxy known in the store, and its part of moves: it holds the instance's
// commands up when the mover says so, or when the store has not answered for too long, and lets
// them go when they are routed to where the instance is.
type keeper struct {
	self    tenant.Proxy
	store   proxyStore
	data    *dataPlane
	applied func() int64 // see auth.Service.Applied
	poll    func()       // has changes taken over at once
	log     *slog.Logger

	wake   chan struct{}
	active atomic.Bool       // there are stands
	stands map[string]*stand // by instance
}

// stand is one move, as this proxy takes part in it.
type stand struct {
	move     tenant.Move
	phase    proxy.MovePhase
	lease    *proxy.Lease
	heard    time.Time // when the mover was last known to live
	draining time.Time // since when
	lapsed   time.Time // when the lease was found to be over; zero: it is not
	cut      bool      // what was under way then has been cut off
	over     int64     // the change after which the move was over; 0: it is not
}

func newKeeper(self tenant.Proxy, st proxyStore, data *dataPlane, applied func() int64, poll func(), log *slog.Logger) *keeper {
	return &keeper{self: self, store: st, data: data, applied: applied, poll: poll, log: log, wake: make(chan struct{}, 1), stands: map[string]*stand{}}
}

// told is told how many moves there are: the keeper asks which, and what becomes of them.
func (k *keeper) told(n int) {
	if n == 0 && !k.active.Load() {
		return
	}
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// register makes the proxy known, before it serves anybody: no move may miss it. False is that
// ctx has ended before.
func (k *keeper) register(ctx context.Context) bool {
	for {
		answer := k.ask(ctx, k.question())
		if answer.err == nil {
			k.follow(answer)
			return true
		}
		k.log.Error("the store cannot be told of this proxy: waiting for it", "error", answer.err)
		select {
		case <-ctx.Done():
			return false
		case <-time.After(time.Second):
		}
	}
}

// run keeps the proxy known until ctx ends; it serves nobody any more then.
func (k *keeper) run(ctx context.Context) {
	defer k.leave()
	answers := make(chan answer, 1)
	asking, next := false, time.Now()
	for {
		now := time.Now()
		if !asking && !now.Before(next) {
			asking = true
			q := k.question()
			go func() { answers <- k.ask(ctx, q) }()
		}
		select {
		case <-ctx.Done():
			if asking {
				<-answers
			}
			return
		case <-k.wake:
			next = now
		case a := <-answers:
			asking, next = false, now.Add(beatInterval)
			if len(k.stands) > 0 {
				next = now.Add(moveInterval)
			}
			if a.err == nil && k.follow(a) {
				next = now
			}
		case <-time.After(k.wait(next, asking)):
			if k.look(time.Now()) {
				next = now
			}
		}
	}
}

// wait is for how long nothing has to be done.
func (k *keeper) wait(next time.Time, asking bool) time.Duration {
	switch {
	case len(k.stands) > 0:
		return lookInterval
	case asking:
		return beatInterval
	}
	return max(0, time.Until(next))
}

// leave says that the proxy has ended.
func (k *keeper) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := k.store.ForgetProxy(ctx, k.self.ID); err != nil {
		k.log.Warn("the store could not be told that this proxy has ended: who moves an instance has to say so (--without)", "proxy", k.self.ID, "error", err)
	}
}

// question is what the store is told and asked.
type question struct {
	self   tenant.Proxy
	says   map[string]bool
	giveUp []tenant.Move // their movers are not heard of any more
}

// answer is what it has said, to what was asked when.
type answer struct {
	asked time.Time
	moves tenant.Moves
	err   error
}

func (k *keeper) question() question {
	now := time.Now()
	q := question{self: k.self, says: map[string]bool{}}
	q.self.SeenAt, q.self.Applied = now, k.applied()
	for _, s := range k.stands {
		switch {
		case s.over > 0:
		case now.Sub(s.heard) > tenant.MoverSilence:
			q.giveUp = append(q.giveUp, s.move)
		default:
			q.says[s.move.Token] = s.phase == proxy.MoveStill
		}
	}
	return q
}

func (k *keeper) ask(ctx context.Context, q question) (a answer) {
	ctx, cancel := context.WithTimeout(ctx, tenant.MoveLease)
	defer cancel()
	for _, m := range q.giveUp {
		switch ended, err := k.store.EndMove(ctx, m.Token, m.Beat); {
		case err != nil:
			k.log.Warn("the move of an instance cannot be ended, though who moves it is not heard of any more", "tenant", m.Label, "error", err)
		case ended:
			k.log.Warn("the move of an instance is ended: who moves it is not heard of any more", "tenant", m.Label)
		}
	}
	a.asked = time.Now()
	a.moves, a.err = k.store.ReportProxy(ctx, q.self, q.says)
	return a
}

// follow takes over what the store has said. It reports whether there is something to tell
// the store at once.
func (k *keeper) follow(a answer) (news bool) {
	there := map[string]tenant.Move{} // by token
	for _, m := range a.moves.All {
		there[m.Token] = m
	}
	for _, s := range k.stands {
		switch m, ok := there[s.move.Token]; {
		case s.over > 0:
			s.over = min(s.over, max(1, a.moves.Seq)) // a store that has failed over may have lost changes
		case ok:
			news = k.advance(s, m, a.asked) || news
		default:
			s.over = max(1, a.moves.Seq)
			k.poll()
		}
	}
	for _, m := range a.moves.All {
		if k.stands[m.InstanceID] == nil {
			k.begin(m, a.asked)
			news = true
		}
	}
	k.active.Store(len(k.stands) > 0)
	return news
}

// look sees whether what was waited for has happened. It reports whether there is something
// to tell the store at once.
func (k *keeper) look(now time.Time) (news bool) {
	for id, s := range k.stands {
		switch {
		case s.over > 0 && k.applied() >= s.over:
			k.end(id, s)
		case s.lease.Over(now):
			k.lapse(s, now)
		case s.phase == proxy.MoveDraining && s.over == 0:
			news = k.drain(s, now) || news
		}
	}
	return news
}

// begin takes part in a move.
func (k *keeper) begin(m tenant.Move, asked time.Time) {
	s := &stand{move: m, lease: proxy.NewLease(asked), heard: asked}
	s.lease.Renew(asked.Add(tenant.MoveLease))
	k.stands[m.InstanceID] = s
	k.log.Info("an instance is to be moved: it is served while the store answers", "tenant", m.Label)
	k.enter(s, proxy.MoveAnnounced)
	k.advance(s, m, asked)
}

// advance follows a move that goes on. It reports whether the store is to be told at once.
func (k *keeper) advance(s *stand, m tenant.Move, asked time.Time) (news bool) {
	now := time.Now()
	begins := m.Holding && s.phase == proxy.MoveAnnounced
	if begins {
		k.log.Info("an instance is about to be switched: its commands wait", "tenant", m.Label)
		s.draining = now
		k.enter(s, proxy.MoveDraining)
	}
	// The mover may have counted this proxy out, and not wait for it: what had begun before the
	// lease was over must not go on, and nothing begin before the hold.
	if m.Holding && s.phase == proxy.MoveDraining && s.lease.Over(now) && !s.cut {
		k.cutOff(s, now)
	}
	s.lease.Renew(asked.Add(tenant.MoveLease))
	if !s.lapsed.IsZero() && !s.lease.Over(time.Now()) {
		k.log.Info("the store answers again: an instance that is being moved is served", "tenant", m.Label)
		s.lapsed, s.cut = time.Time{}, false
		k.enter(s, s.phase) // who waits looks again
	}
	if m.Beat != s.move.Beat {
		s.heard = time.Now()
	}
	s.move = m
	return begins && k.drain(s, s.draining)
}

// drain looks whether all that was under way has ended: then reads go on.
func (k *keeper) drain(s *stand, now time.Time) (still bool) {
	id := s.move.InstanceID
	if k.underWay(id) == 0 {
		k.enter(s, proxy.MoveStill)
		return true
	}
	if now.Sub(s.draining) > transactionPatience {
		k.everywhere(func(c *proxy.Core) { c.EndTransactions(id) })
	}
	return false
}

func (k *keeper) underWay(instance string) int {
	var n atomic.Int64
	k.everywhere(func(c *proxy.Core) { n.Add(int64(c.UnderWay(instance))) })
	return int(n.Load())
}

// lapse is for when the lease is over: nothing is served, and what is still under way is cut
// off soon. The mover counts on that.
func (k *keeper) lapse(s *stand, now time.Time) {
	switch {
	case s.lapsed.IsZero():
		s.lapsed = now
		k.log.Warn("an instance that is being moved is not served until the store answers: it may be elsewhere by now", "tenant", s.move.Label)
	case !s.cut && now.Sub(s.lapsed) > tenant.MoveGrace/4:
		k.cutOff(s, now)
	}
}

// cutOff ends what was under way when the lease was over, and transactions that have begun.
func (k *keeper) cutOff(s *stand, now time.Time) {
	s.cut = true
	if s.lapsed.IsZero() {
		s.lapsed = now
	}
	id := s.move.InstanceID
	k.everywhere(func(c *proxy.Core) {
		c.EndTransactions(id)
		c.CutOff(id)
	})
}

// end lets commands go to where the instance is now.
func (k *keeper) end(id string, s *stand) {
	delete(k.stands, id)
	k.active.Store(len(k.stands) > 0)
	k.everywhere(func(c *proxy.Core) { c.Moved(id) })
	k.log.Info("the move of an instance is over", "tenant", s.move.Label)
}

// enter has all loops know the phase.
func (k *keeper) enter(s *stand, phase proxy.MovePhase) {
	s.phase = phase
	k.everywhere(func(c *proxy.Core) { c.Standstill(s.move.InstanceID, phase, s.lease) })
}

// everywhere visits all loops and waits for them.
func (k *keeper) everywhere(visit func(*proxy.Core)) {
	done := make(chan struct{})
	k.data.everywhere(func(l *lane) { visit(l.core) }, func() { close(done) })
	<-done
}
