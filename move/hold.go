package move

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/respgate/respgate/backup"
	"github.com/respgate/respgate/tenant"
)

// switchOver has all proxies hold writes up, makes the new backend as the old one is, and gives the
// instance its new URL.
func (m *mover) switchOver(ctx context.Context, mv tenant.Move, in tenant.Instance, r Result) (Result, error) {
	if err := m.settled(ctx); err != nil {
		return r, err
	}
	m.Say(fmt.Sprintf("holding writes, for %v at most", m.HoldTimeout))
	m.watch.every(holdInterval)
	began := time.Now()
	holding, cancel := context.WithTimeoutCause(ctx, m.HoldTimeout, errHoldTimeout)
	defer cancel()
	if err := m.store.HoldMove(holding, mv.Token); err != nil {
		return r, because(holding, err)
	}
	if err := m.still(holding); err != nil {
		return r, because(holding, err)
	}
	before, err := m.processes(holding)
	if err != nil {
		return r, because(holding, err)
	}
	s, err := backup.Sync(holding, m.ends.Old, m.ends.New, m.options("compared in the last pass", 0))
	if err != nil {
		return r, because(holding, err)
	}
	if m.functions { // clients load them as they write
		if err := backup.CopyFunctions(holding, m.ends.Old, m.ends.New, m.Databases == nil); err != nil {
			return r, because(holding, err)
		}
	}
	r.Keys = s.Keys
	m.Say(fmt.Sprintf("last pass: of %d keys %d had changed, and all are the same now", s.Keys, s.Changed()))
	if now, err := m.processes(holding); err != nil || now != before {
		return r, because(holding, cmp.Or(err, errRestarted))
	}
	if m.Check != nil {
		if err := m.Check(holding); err != nil {
			return r, because(holding, err)
		}
	}
	seq, err := m.finish(holding, mv, in)
	if err != nil {
		return r, because(holding, err)
	}
	r.Held = time.Since(began)
	m.Say(fmt.Sprintf("switched: writes were held for %v", r.Held.Round(time.Millisecond)))
	m.watch.stop()
	r.Behind = m.follow(context.WithoutCancel(ctx), seq)
	return r, nil
}

var errHoldTimeout = errors.New("writes would have been held for longer than --hold-timeout")

var errRestarted = errors.New("a server of one of the backends was started again, or another one has taken its place: begin again")

// processes says which processes both backends are.
func (m *mover) processes(ctx context.Context) (string, error) {
	old, err := m.ends.Old.Processes(ctx)
	if err != nil {
		return "", fmt.Errorf("source: %w", err)
	}
	fresh, err := m.ends.New.Processes(ctx)
	if err != nil {
		return "", fmt.Errorf("target: %w", err)
	}
	return old + fresh, nil
}

// because is why a step failed: the end of its context has a cause. That the instance may have
// been switched comes first.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, ErrSwitched) {
		return cause
	}
	return err
}

// settled waits until each proxy is either heard of or certainly serves the instance no more:
// clients need not wait for that.
func (m *mover) settled(ctx context.Context) error {
	deadline := time.Now().Add(m.Answer + tenant.MoveLease*5/4 + tenant.MoveGrace)
	for {
		r, silent, err := m.watch.next(ctx)
		if err != nil {
			return err
		}
		all := true
		var missing []tenant.Proxy // have come since
		for _, p := range r.Proxies {
			if _, known := r.Holding[p.ID]; !known {
				missing = append(missing, p)
			}
			all = all && (m.watch.fresh(p.ID) || silent[p.ID])
		}
		switch {
		case all && len(missing) == 0:
			return nil
		case time.Now().Before(deadline):
		case len(missing) > 0:
			return notHeardOf(missing)
		default:
			return errors.New("proxies are heard of now and then only: they do not reach the store well")
		}
	}
}

// still waits until writes wait at all proxies, and none is under way: each has said so, or has not
// been heard of for so long that it has stopped by itself.
func (m *mover) still(ctx context.Context) error {
	// What the store is being asked now it may have been asked before it knew of the hold: a
	// proxy that has come meanwhile would be missed.
	if _, _, err := m.watch.next(ctx); err != nil {
		return err
	}
	for {
		r, silent, err := m.watch.next(ctx)
		if err != nil {
			return err
		}
		var waiting []string
		for _, p := range r.Proxies {
			holds, known := r.Holding[p.ID]
			if !known || !holds && !silent[p.ID] {
				waiting = append(waiting, p.ID)
			}
		}
		if len(waiting) == 0 {
			m.Say(fmt.Sprintf("writes wait at all %d proxies", len(r.Proxies)))
			return nil
		}
	}
}

// finish switches. Where it is not known whether the store has done it, it is asked.
func (m *mover) finish(ctx context.Context, mv tenant.Move, in tenant.Instance) (seq int64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	seq, err = m.store.FinishMove(asking, mv.Token, in.Version, m.URL)
	if err == nil {
		return seq, nil
	}
	again, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	now, e := m.store.Instance(again, m.Org, m.Name)
	switch {
	case e == nil && now.Version == in.Version+1 && now.URL == m.URL:
		return 0, nil // it has
	case e != nil:
		return 0, fmt.Errorf("%w, or not: the store cannot be asked: look at the instance's URL: %w", ErrSwitched, err)
	}
	return 0, err
}

// finishTimeout is how long the store may take for the switch.
const finishTimeout = 5 * time.Second

// follow waits until all proxies have taken the switch over, and returns those that have not
// said so.
func (m *mover) follow(ctx context.Context, seq int64) (behind []string) {
	ctx, cancel := context.WithTimeout(ctx, m.Answer)
	defer cancel()
	for {
		all, err := m.store.Proxies(ctx)
		if err != nil {
			return behind
		}
		behind = nil
		for _, p := range all {
			if p.Applied < seq {
				behind = append(behind, p.ID)
			}
		}
		if len(behind) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return behind
		case <-time.After(watchInterval):
		}
	}
}

// rollBack leaves the instance where it was. It returns cause, or what that was caused by.
func (m *mover) rollBack(ctx context.Context, mv tenant.Move, in tenant.Instance, cause error) error {
	if m.watch != nil {
		cause = m.watch.why(cause)
		m.watch.stop()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollBackTimeout)
	defer cancel()
	_, err := m.store.EndMove(ctx, mv.Token, 0)
	var now tenant.Instance
	if err == nil {
		now, err = m.store.Instance(ctx, m.Org, m.Name) // after which nothing can switch it
	}
	switch {
	case err != nil:
		m.Say(fmt.Sprintf("the store cannot be told that the move is over: proxies end it in %v by themselves", tenant.MoverSilence))
		return cause
	case now.Version != in.Version:
		m.Say("the instance was changed meanwhile, and stays so; what has been copied to the new backend is left there")
		return cause
	}
	m.Say("rolled back: the instance is where it was, and clients are served")
	if m.Keep || !m.empty {
		return cause
	}
	if n, err := backup.Clear(ctx, m.ends.New, backup.Options{Databases: m.Databases}); err != nil {
		m.Say("what has been copied to the new backend could not be deleted: " + err.Error())
	} else {
		m.Say(fmt.Sprintf("deleted %d keys that had been copied to the new backend", n))
	}
	return cause
}

const rollBackTimeout = 30 * time.Second
