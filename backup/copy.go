package backup

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
)

// Options say what is copied or compared, and how fast.
type Options struct {
	Match     string         // a pattern as of KEYS; "" is all
	Databases []int          // nil is all that have keys
	Rate      float64        // keys per second, at most; 0 is unlimited
	Existing  Existing       // what becomes of keys that the target has
	Progress  func(Progress) // unless nil is called after each batch, from one goroutine at a time
}

// Progress says how far it is.
type Progress struct {
	Keys  int64 // done
	Total int64 // about how many there are; 0 is not known, as with a pattern
	Bytes int64 // of payloads
}

// Result says what was done.
type Result struct {
	Keys    int64 // written; one that came twice, as SCAN may bring it, counts twice
	Skipped int64 // were there, and were left as they are
	Bytes   int64 // of payloads
}

// limiter bounds how many keys a second are read; nil is unlimited.
type limiter struct{ *rate.Limiter }

func newLimiter(perSecond float64) limiter {
	if perSecond <= 0 {
		return limiter{}
	}
	return limiter{rate.NewLimiter(rate.Limit(perSecond), batchKeys)}
}

// take waits until that many keys may be read.
func (l limiter) take(ctx context.Context, n int) error {
	for l.Limiter != nil && n > 0 {
		some := min(n, batchKeys)
		if err := l.WaitN(ctx, some); err != nil {
			return err
		}
		n -= some
	}
	return nil
}

// Copy copies keys with their values and expiries, which are those of some time while it
// runs. The order in which clients write to from is not kept: to is as from at the end only
// where nothing was written meanwhile. What to has and from has not stays.
//
// Its error is a *[TooLargeError] or an *[ExistsError] when all other keys are copied. With
// [Refuse] a key that SCAN brings twice is one that is there.
func Copy(ctx context.Context, from, to *Redis, o Options) (Result, error) {
	source, err := from.Info(ctx)
	if err != nil {
		return Result{}, fmt.Errorf("source: %w", err)
	}
	target, err := to.Info(ctx)
	if err != nil {
		return Result{}, fmt.Errorf("target: %w", err)
	}
	progress := Progress{Total: source.total(o.Match, o.Databases)}
	rd, w := newReader(from, source.Version), &writer{redis: to, version: target.Version, existing: o.Existing}
	limit := newLimiter(o.Rate)
	batches := make(chan []Entry, 1)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(batches)
		err := from.scan(ctx, o.Match, o.Databases, &Position{}, func(db int, keys []string, _ Position) error {
			if err := limit.take(ctx, len(keys)); err != nil {
				return err
			}
			return rd.read(ctx, db, keys, func(entries []Entry) error {
				select {
				case batches <- entries:
					return nil
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			})
		})
		if err != nil {
			return fmt.Errorf("source: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		for entries := range batches {
			if err := w.restore(ctx, entries); err != nil {
				return fmt.Errorf("target: %w", err)
			}
			o.done(&progress, entries)
		}
		return nil
	})
	err = g.Wait()
	result := Result{Keys: w.written, Skipped: w.busy.N, Bytes: progress.Bytes}
	for _, e := range []error{w.refusal(), rd.shortage()} {
		if err == nil {
			err = e
		}
	}
	return result, err
}

// done counts entries, and tells of them.
func (o Options) done(p *Progress, entries []Entry) {
	p.add(entries)
	o.tell(*p)
}

func (o Options) tell(p Progress) {
	if o.Progress != nil {
		o.Progress(p)
	}
}

func (p *Progress) add(entries []Entry) {
	p.Keys += int64(len(entries))
	for _, e := range entries {
		p.Bytes += int64(len(e.Payload))
	}
}

// total is about how many keys match; 0 is not known.
func (i Info) total(match string, databases []int) int64 {
	if match != "" {
		return 0
	}
	return i.keys(databases)
}

// keys is how many keys the databases have; nil is all.
func (i Info) keys(databases []int) (n int64) {
	if databases == nil {
		for _, keys := range i.Databases {
			n += keys
		}
	}
	for _, db := range databases {
		n += i.Databases[db]
	}
	return n
}
