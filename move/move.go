// Package move has an instance move to another backend while it is used: it copies, has all
// proxies hold writes up, copies what has changed, and switches, or leaves all as it was.
package move

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/respgate/respgate/backup"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// Options say what is moved where, and how.
type Options struct {
	Org, Name   string
	URL         tenant.Secret // of the new backend
	Target      string        // its address: no two instances are moved there at once
	HoldTimeout time.Duration // for how long writes may wait
	Answer      time.Duration // for how long proxies may take to say that they know of the move, or of the switch
	Rate        float64       // keys per second that are copied while clients are served; 0 is unlimited
	Databases   []int         // nil is all
	Replace     bool          // keys that the new backend has are deleted
	Keep        bool          // what has been copied stays there when the move comes to nothing
	DryRun      bool          // nothing is changed
	Without     []string      // proxies that are known to have ended

	Say      func(line string)               // is told of each step
	Progress func(step string, p Progress)   // while keys are copied and compared; step is what they have been, as "copied"
	Check    func(ctx context.Context) error // is asked before the switch whether the ends are still what they were; nil does not ask
}

// Progress is how far a step is.
type Progress = backup.Progress

// Result says how a move went.
type Result struct {
	Keys   int64         // that the instance has
	Passes int           // over all keys, after the first copy
	Held   time.Duration // for how long writes waited
	Behind []string      // proxies that have not said yet that they follow
}

// Ends are the two backends.
type Ends struct{ Old, New *backup.Redis }

// ErrSwitched is in the error of a move that has been done when something failed after it.
var ErrSwitched = errors.New("the instance has been switched")

// mover is one move under way.
type mover struct {
	Options
	store *store.Store
	ends  Ends
	empty bool // the new backend was
	watch *watch

	functions bool // libraries can be copied
}

// Run moves an instance between the ends. Whatever goes wrong before the switch, ctx's end
// too, leaves the instance where it was.
func Run(ctx context.Context, st *store.Store, ends Ends, o Options) (r Result, err error) {
	m := &mover{Options: o, store: st, ends: ends}
	if err := m.check(ctx); err != nil || o.DryRun {
		return r, err
	}
	if err := m.forget(ctx); err != nil {
		return r, err
	}
	mv, in, err := m.begin(ctx)
	if err != nil {
		return r, err
	}
	defer func() {
		if err != nil && !errors.Is(err, ErrSwitched) {
			err = m.rollBack(ctx, mv, in, err)
		}
	}()
	ctx, m.watch = startWatch(ctx, st, mv.Token)
	defer m.watch.stop()
	if err = m.known(ctx); err != nil {
		return r, err
	}
	if r.Passes, err = m.copy(ctx); err != nil {
		return r, err
	}
	return m.switchOver(ctx, mv, in, r)
}

// forget has the store forget the proxies that are known to have ended. One that it does not
// know may be a slip: the one that was meant is waited for.
func (m *mover) forget(ctx context.Context) error {
	if len(m.Without) == 0 {
		return nil
	}
	proxies, err := m.store.Proxies(ctx)
	if err != nil {
		return err
	}
	for _, id := range m.Without {
		if !slices.ContainsFunc(proxies, func(p tenant.Proxy) bool { return p.ID == id }) {
			m.Say("warning: --without " + id + ": the store knows no such proxy")
		}
		if err := m.store.ForgetProxy(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// begin notes the move in the store. A move whose mover has died is in the way until proxies,
// or this, have ended it.
func (m *mover) begin(ctx context.Context) (mv tenant.Move, in tenant.Instance, err error) {
	mv, in, err = m.store.BeginMove(ctx, m.Org, m.Name, m.Target)
	if !errors.Is(err, store.ErrConflict) {
		return mv, in, err
	}
	before, e := m.store.Moves(ctx)
	if e != nil {
		return mv, in, e
	}
	m.Say("the instance is being moved already: waiting to see whether who does it lives")
	select {
	case <-ctx.Done():
		return mv, in, ctx.Err()
	case <-time.After(tenant.MoverSilence + tenant.MoveGrace):
	}
	for _, one := range before {
		if one.Label == m.Org+"/"+m.Name {
			if _, err := m.store.EndMove(ctx, one.Token, one.Beat); err != nil {
				return mv, in, err
			}
		}
	}
	return m.store.BeginMove(ctx, m.Org, m.Name, m.Target)
}

// check looks at the new backend, and changes nothing that stays.
func (m *mover) check(ctx context.Context) error {
	report, err := backup.Preflight(ctx, m.ends.Old, m.ends.New, m.Databases)
	if err != nil {
		return err
	}
	m.empty = report.TargetKeys == 0
	m.Say(fmt.Sprintf("from Redis %s with %d keys to Redis %s with %d keys", report.SourceVersion, report.SourceKeys, report.TargetVersion, report.TargetKeys))
	if !m.empty && !m.Replace {
		return fmt.Errorf("the new backend has %d keys: want an empty one, or --replace, which deletes them", report.TargetKeys)
	}
	return nil
}

// known waits until all proxies that there are know of the move: from then on they serve the
// instance only while they hear from the store.
func (m *mover) known(ctx context.Context) error {
	deadline := time.Now().Add(m.Answer)
	for {
		r, _, err := m.watch.next(ctx)
		if err != nil {
			return err
		}
		var missing []tenant.Proxy
		for _, p := range r.Proxies {
			if _, ok := r.Holding[p.ID]; !ok {
				missing = append(missing, p)
			}
		}
		if len(missing) == 0 {
			m.Say(fmt.Sprintf("%d proxies know of the move", len(r.Proxies)))
			return nil
		}
		if time.Now().After(deadline) {
			return notHeardOf(missing)
		}
	}
}

// notHeardOf says which proxies may serve the instance and know nothing of the move.
func notHeardOf(missing []tenant.Proxy) error {
	text := ""
	for _, p := range missing {
		text += fmt.Sprintf("; %s", p.ID)
		if p.Region != "" {
			text += " in " + p.Region
		}
		text += ", last heard of at " + p.SeenAt.Format(time.RFC3339)
	}
	return fmt.Errorf("%d proxies do not answer, and may serve clients with what they know%s: have them reach the store, or stop them and say so with --without ID", len(missing), text)
}

// copy copies while clients write, and then again what has changed meanwhile, as long as that
// gets less. It returns how many times, or an error where the last time would take too long.
func (m *mover) copy(ctx context.Context) (passes int, err error) {
	if m.Replace && !m.empty {
		m.Say("deleting what the new backend has")
		if _, err := backup.Clear(ctx, m.ends.New, m.options("deleted", 0)); err != nil {
			return 0, fmt.Errorf("target: %w", err)
		}
	}
	m.Say("copying, while clients are served")
	o := m.options("copied", m.Rate)
	o.Existing = backup.Replace
	copied, err := backup.Copy(ctx, m.ends.Old, m.ends.New, o)
	if err != nil {
		return 0, err
	}
	m.Say(fmt.Sprintf("copied %d keys, %d bytes", copied.Keys, copied.Bytes))
	if err := backup.CopyFunctions(ctx, m.ends.Old, m.ends.New, m.Databases == nil); err != nil {
		m.Say("warning: libraries of functions are not copied: " + err.Error())
	} else {
		m.functions = true
	}
	last := int64(-1)
	for {
		began := time.Now()
		s, err := backup.Sync(ctx, m.ends.Old, m.ends.New, m.options(fmt.Sprintf("compared in pass %d", passes+1), m.Rate))
		if err != nil {
			return passes, err
		}
		passes++
		took := time.Since(began)
		m.Say(fmt.Sprintf("pass %d: of %d keys %d had changed, in %v", passes, s.Keys, s.Changed(), took.Round(time.Millisecond)))
		if passes < maxPasses && s.Changed() > fewChanges && (last < 0 || s.Changed() < last*3/4) {
			last = s.Changed()
			continue
		}
		if m.Rate > 0 {
			return passes, nil // how long it takes at full speed is not known
		}
		if need := took + took/4; need > m.HoldTimeout {
			return passes, fmt.Errorf("writes would have to wait for about %v, and --hold-timeout is %v: allow more, or have the new backend be a replica of the old one (docs/REGIONS.md)", need.Round(100*time.Millisecond), m.HoldTimeout)
		}
		return passes, nil
	}
}

func (m *mover) options(step string, rate float64) backup.Options {
	return backup.Options{Databases: m.Databases, Rate: rate, Progress: func(p Progress) {
		if m.Progress != nil {
			m.Progress(step, p)
		}
	}}
}

const (
	// maxPasses bounds how often all keys are compared while clients write, and fewChanges is
	// how many changed keys are few: they take no longer than the comparison itself.
	maxPasses  = 10
	fewChanges = 1000
)
