package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/respgate/respgate/auth"
	"github.com/respgate/respgate/internal/sample"
	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/proxy"
	"github.com/respgate/respgate/tenant"
)

// keyBad is the action of a client that came with a bad key.
const keyBad = "key.bad"

const (
	trailQueue    = 8192            // events on their way from the data path
	trailPending  = 10_000          // events that could not be stored yet, about 1 KB each
	trailBatch    = 500             // events stored together
	trailInterval = time.Second     // between batches, and the period of what is sampled
	trailPatience = 5 * time.Second // with the store
)

// eventStore is where the audit log is kept.
type eventStore interface {
	AppendEvents(ctx context.Context, events []tenant.Event) error
}

// trail takes events to the audit log: the store and, where there is one, a file. The data
// path never waits for it. What the store may have taken without saying so is in it twice. It
// implements proxy.Auditor.
type trail struct {
	store   eventStore
	file    *auditFile // nil: none
	metrics *metrics.Metrics
	log     *slog.Logger
	queue   chan *occurrence

	ending sync.RWMutex
	ended  bool // run takes nothing more

	// On run's goroutine.
	sampler sample.Sampler[likeness, tenant.Event]
	fresh   []tenant.Event // neither in the file nor in the store
	pending []tenant.Event // not in the store
	lost    int            // since it was logged
	failing spell
	sayLost rate.Sometimes
	sayFile rate.Sometimes
}

// occurrence is an event that stands for so many.
type occurrence struct {
	event tenant.Event
	times int
}

// likeness is what sampled events have in common.
type likeness struct{ action, whose, what string }

// books has what clients do noted and counted, and returns the tasks that take it to the store.
// They must end after the loops.
func (s *server) books(events *trail, st usageStore, service *auth.Service, data *dataPlane) []func(context.Context) {
	usage := newLedger(st, s.metrics, s.log)
	service.OnBadKey(events.badKey)
	for _, l := range data.lanes {
		l.core.Auditor = events
	}
	return []func(context.Context){events.run, func(ctx context.Context) { usage.run(ctx, data) }}
}

// newTrail returns a trail; run runs it.
func newTrail(st eventStore, file *auditFile, m *metrics.Metrics, log *slog.Logger) *trail {
	m.ExpectEvents(proxy.CommandAudited, proxy.CommandDenied, keyBad, proxy.ProxyPaused, proxy.ProxyResumed, proxy.ProxyReconnected, proxy.ProxyKilled)
	return &trail{
		store: st, file: file, metrics: m, log: log, queue: make(chan *occurrence, trailQueue),
		sayLost: rate.Sometimes{Interval: time.Minute}, sayFile: rate.Sometimes{Interval: time.Minute},
	}
}

// Note implements proxy.Auditor.
func (t *trail) Note(e tenant.Event, times int) {
	if !t.enqueue(e, times) {
		t.metrics.AuditEventsLost(times)
		t.sayLost.Do(func() { t.log.Error("the audit log cannot keep up: events are lost", "action", e.Action) })
	}
}

// enqueue reports whether there was room.
func (t *trail) enqueue(e tenant.Event, times int) bool {
	select {
	case t.queue <- &occurrence{e, times}:
		return true
	default:
		return false
	}
}

// Lost implements proxy.Auditor.
func (t *trail) Lost(_ string, n int) { t.metrics.AuditEventsLost(n) }

// badKey notes a client that came with a bad key.
func (t *trail) badKey(b auth.BadKey) {
	t.Note(tenant.Event{
		At: time.Now(), Actor: tenant.ByNobody, Address: b.Addr.String(), Action: keyBad, OrgID: b.OrgID, Org: b.Org,
		Target: "key", TargetID: b.KeyID, Name: b.KeyName, Outcome: tenant.Denied, Detail: b.Reason,
	}, 1)
}

// AppendEvents puts events into the audit log at once, the file after the store. While the
// store cannot be written they wait for it, and the log has them. Where they cannot wait the
// error is the store's, and they are in neither.
func (t *trail) AppendEvents(ctx context.Context, events []tenant.Event) error {
	if err := t.store.AppendEvents(ctx, events); err != nil {
		return t.wait(events, err)
	}
	for _, e := range events {
		t.metrics.AuditEvent(e.Action)
	}
	t.writeFile(events)
	return nil
}

// wait has events that could not be stored go the way of the data path's.
func (t *trail) wait(events []tenant.Event, why error) error {
	t.ending.RLock()
	defer t.ending.RUnlock()
	for i, e := range events {
		if t.ended || !t.enqueue(e, 1) {
			t.metrics.AuditEventsLost(len(events) - i)
			return why
		}
		t.log.Warn("an audit event waits for the store", "error", why, "action", e.Action, "actor", e.Actor, "actor_id", e.ActorID, "actor_name", e.ActorName,
			"address", e.Address, "org", e.Org, "target", e.Target, "target_id", e.TargetID, "name", e.Name, "outcome", e.Outcome)
	}
	return nil
}

// run takes the events on until ctx ends, and then those that are left.
func (t *trail) run(ctx context.Context) {
	tick := time.NewTicker(trailInterval)
	defer tick.Stop()
	for {
		select {
		case o := <-t.queue:
			t.take(o)
			if len(t.fresh) >= trailBatch {
				t.flush(ctx)
			}
		case <-tick.C:
			t.turn()
			t.flush(ctx)
		case <-ctx.Done():
			t.finish(ctx)
			return
		}
	}
}

func (t *trail) finish(ctx context.Context) {
	t.ending.Lock()
	t.ended = true
	t.ending.Unlock()
	for len(t.queue) > 0 {
		t.take(<-t.queue)
	}
	t.turn()
	t.flush(ctx)
	if n := len(t.pending); n > 0 {
		t.metrics.AuditEventsLost(n)
		t.log.Error("the last events are not in the audit log", "events", n)
	}
}

// take takes an event over, unless it is like others that stand for it.
func (t *trail) take(o *occurrence) {
	k, sampled := alike(o.event)
	switch {
	case !sampled:
		t.add(o.event, o.times)
	case t.sampler.Seen(k, o.times):
	case t.sampler.Add(k, o.event, 0):
		t.add(o.event, o.times)
	default:
		t.metrics.AuditEventsLost(o.times)
	}
}

// alike says of which events one a second is enough. Whoever guesses ids of keys is one.
func alike(e tenant.Event) (k likeness, sampled bool) {
	switch {
	case e.Action == proxy.CommandDenied:
		return likeness{e.Action, e.ActorID, e.Name}, true
	case e.Action == keyBad && e.Detail == auth.ReasonUnknown:
		return likeness{e.Action, e.Address, e.Detail}, true
	case e.Action == keyBad:
		return likeness{e.Action, e.TargetID, e.Detail}, true
	}
	return likeness{}, false
}

// turn ends a period of sampling.
func (t *trail) turn() {
	t.sampler.Turn(func(e tenant.Event, left int) {
		e.At = time.Now()
		t.add(e, left)
	})
}

// add has an event stand for so many.
func (t *trail) add(e tenant.Event, times int) {
	if times > 1 {
		e.Detail = fmt.Sprintf("%s, %d times", e.Detail, times)
	}
	t.metrics.AuditEvent(e.Action)
	t.fresh = append(t.fresh, e)
}

// flush writes what has come to the file, and what there is to the store.
func (t *trail) flush(ctx context.Context) {
	t.writeFile(t.fresh)
	room := max(0, trailPending-len(t.pending))
	if over := len(t.fresh) - room; over > 0 {
		t.metrics.AuditEventsLost(over)
		t.lost += over
		t.fresh = t.fresh[:room]
	}
	t.pending = append(t.pending, t.fresh...)
	clear(t.fresh[:cap(t.fresh)])
	t.fresh = t.fresh[:0]
	for len(t.pending) > 0 {
		n := min(len(t.pending), trailBatch)
		if !t.storeBatch(ctx, t.pending[:n]) {
			return
		}
		t.pending = t.pending[n:]
	}
	t.pending = nil
}

// storeBatch also ends when it has begun, though ctx ends: else nobody knows whether the events
// are stored.
func (t *trail) storeBatch(ctx context.Context, events []tenant.Event) (ok bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), trailPatience)
	defer cancel()
	if err := t.store.AppendEvents(ctx, events); err != nil {
		if t.failing.begins(time.Now()) {
			t.log.Error("the audit log cannot be written: events wait", "error", err, "most", trailPending)
		}
		return false
	}
	if t.failing.ends() {
		t.log.Info("the audit log is written again", "lost", t.lost)
		t.lost = 0
	}
	return true
}

func (t *trail) writeFile(events []tenant.Event) {
	if err := t.file.write(events); err != nil {
		t.metrics.AuditEventsLost(len(events))
		t.sayFile.Do(func() { t.log.Error("events are not in the audit log's file", "error", err) })
	}
}
