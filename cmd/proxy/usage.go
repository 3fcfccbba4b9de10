package main

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/proxy"
	"github.com/respgate/respgate/tenant"
)

const (
	usageInterval = time.Minute
	usageBatch    = 1000            // records stored together
	usagePending  = 100_000         // records that could not be stored yet, about 200 bytes each; and keys
	usagePatience = 5 * time.Second // with the store, for a batch
)

// usageStore is where usage is kept.
type usageStore interface {
	// AddUsage adds records to what is there, all or none.
	AddUsage(ctx context.Context, usage []tenant.Usage) error
	// Touch notes when keys and tokens were last used.
	Touch(ctx context.Context, keys, tokens map[string]time.Time) error
}

// usageMinute says which record is meant.
type usageMinute struct {
	key, instance string
	at            int64 // the minute's beginning, in seconds
}

// ledger takes what the loops count of each key to the store, once a minute. What could not
// be stored is kept, and added later. Where the store has stored and could not say so, a batch
// counts twice.
type ledger struct {
	store   usageStore
	metrics *metrics.Metrics
	log     *slog.Logger
	most    int // records, and keys, that are kept

	mu    sync.Mutex
	taken []tenant.Usage // from loops
	used  []string

	// On run's goroutine.
	last    time.Time // when it was collected
	pending map[usageMinute]tenant.Usage
	touched map[string]time.Time
	failing spell
	lost    int // since it was logged
}

func newLedger(st usageStore, m *metrics.Metrics, log *slog.Logger) *ledger {
	return &ledger{store: st, metrics: m, log: log, most: usagePending, last: time.Now(), pending: map[usageMinute]tenant.Usage{}, touched: map[string]time.Time{}}
}

// run collects from the loops until ctx ends. Then the loops must have ended: what they have
// left is collected too.
func (l *ledger) run(ctx context.Context, data *dataPlane) {
	every(ctx, usageInterval, func() {
		done := make(chan struct{})
		data.everywhere(func(home *lane) { l.collect(home.core) }, func() { close(done) })
		select {
		case <-done:
			l.settle(ctx, time.Now())
		case <-ctx.Done():
		}
	})
	for _, home := range data.lanes {
		l.collect(home.core)
	}
	l.settle(ctx, time.Now())
	if n := len(l.pending); n > 0 {
		l.metrics.UsageLost(n)
		l.log.Error("the last usage is not stored", "records", n)
	}
}

// collect takes what one loop has counted. It is called on the loop.
func (l *ledger) collect(c *proxy.Core) {
	counted, used := c.TakeUsage()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken, l.used = append(l.taken, counted...), append(l.used, used...)
}

// settle adds what was collected to the minute in the middle of the time since the last, and
// stores what there is.
func (l *ledger) settle(ctx context.Context, now time.Time) {
	at := l.last.Add(now.Sub(l.last) / 2).Truncate(time.Minute)
	l.last = now
	l.mu.Lock()
	taken, used := l.taken, l.used
	l.taken, l.used = nil, nil
	l.mu.Unlock()
	for _, u := range taken {
		u.At = at
		l.add(u)
	}
	for _, key := range used {
		if _, is := l.touched[key]; is || len(l.touched) < l.most {
			l.touched[key] = now
		}
	}
	l.save(ctx)
}

func (l *ledger) add(u tenant.Usage) {
	k := usageMinute{u.KeyID, u.InstanceID, u.At.Unix()}
	sum, is := l.pending[k]
	if !is {
		if len(l.pending) >= l.most {
			l.metrics.UsageLost(1)
			l.lost++
			return
		}
		sum = tenant.Usage{KeyID: u.KeyID, InstanceID: u.InstanceID, At: u.At}
	}
	sum.Commands += u.Commands
	sum.Errors += u.Errors
	sum.Limited += u.Limited
	sum.BytesIn += u.BytesIn
	sum.BytesOut += u.BytesOut
	l.pending[k] = sum
}

// save stores what there is, as far as it can be, also when ctx ends meanwhile: else nobody
// knew whether what was being stored is.
func (l *ledger) save(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	err := l.saveUsage(ctx)
	if err == nil && len(l.touched) > 0 {
		if err = within(ctx, usagePatience, func(ctx context.Context) error { return l.store.Touch(ctx, l.touched, nil) }); err == nil {
			clear(l.touched)
		}
	}
	switch {
	case err != nil && l.failing.begins(time.Now()):
		l.log.Error("usage cannot be stored: it is kept for later", "error", err, "records", len(l.pending))
	case err == nil && l.failing.ends():
		l.log.Info("usage is stored again", "lost", l.lost)
		l.lost = 0
	}
}

func (l *ledger) saveUsage(ctx context.Context) error {
	for batch := range slices.Chunk(slices.Collect(maps.Keys(l.pending)), usageBatch) {
		records := make([]tenant.Usage, 0, len(batch))
		for _, k := range batch {
			records = append(records, l.pending[k])
		}
		if err := within(ctx, usagePatience, func(ctx context.Context) error { return l.store.AddUsage(ctx, records) }); err != nil {
			return err
		}
		for _, k := range batch {
			delete(l.pending, k)
		}
	}
	return nil
}

// within calls fn, which may take so long.
func within(ctx context.Context, most time.Duration, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	return fn(ctx)
}
