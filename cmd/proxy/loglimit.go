package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/respgate/respgate/proxy"
)

const (
	// logInterval is in how long a time so many lines that are alike are written.
	logInterval = 10 * time.Second
	// linesAlike is how many with the same message about the same instance, and
	linesAlike = 10
	// linesOfOneKind how many with the same message at all.
	linesOfOneKind = 100
	// maxLineKinds bounds how many kinds of lines are told apart: the others share one.
	maxLineKinds = 4096
)

// lineLimiter writes the first lines of those that are alike, and then one in each interval
// that says how many it stands for. What it leaves out it counts, and tells of in the end.
type lineLimiter struct {
	level *slog.LevelVar
	now   func() time.Time
	left  atomic.Int64 // lines that others stand for, since the start

	mu    sync.Mutex
	kinds map[lineKind]*lineCount
}

// lineKind is what lines have in common that are alike.
type lineKind struct {
	level   slog.Level
	message string
	tenant  string // everyTenant: the instance does not matter
}

// everyTenant is no instance's label.
const everyTenant = "*"

// lineCount counts one kind's lines.
type lineCount struct {
	since   time.Time // when its interval began
	written int       // in it
	left    int       // out, since the last that was written
	first   slog.Record
	by      slog.Handler // that was to write it
}

// limitLines returns a logger that writes what log does, from a level on, and less of what
// is alike.
func limitLines(log *slog.Logger, level *slog.LevelVar, now func() time.Time) (*slog.Logger, *lineLimiter) {
	l := &lineLimiter{level: level, now: now, kinds: map[lineKind]*lineCount{}}
	return slog.New(&limitedHandler{l, log.Handler(), ""}), l
}

// limitedHandler implements slog.Handler.
type limitedHandler struct {
	*lineLimiter
	next   slog.Handler
	tenant string // of lines that do not say
}

// Enabled implements slog.Handler.
func (h *limitedHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= h.level.Level() && h.next.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (h *limitedHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.next = h.next.WithAttrs(attrs)
	for _, a := range attrs {
		if a.Key == "tenant" {
			with.tenant = a.Value.String()
		}
	}
	return &with
}

// WithGroup implements slog.Handler.
func (h *limitedHandler) WithGroup(name string) slog.Handler {
	with := *h
	with.next = h.next.WithGroup(name)
	return &with
}

// Handle implements slog.Handler.
func (h *limitedHandler) Handle(ctx context.Context, r slog.Record) error {
	kind := lineKind{r.Level, r.Message, h.tenant}
	whole := r.Message == proxy.SampledLine // as many as were asked for
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "tenant":
			kind.tenant = a.Value.String()
		case "actor": // an event of the audit log, which may be nowhere else
			whole = true
		}
		return !whole
	})
	if whole {
		return h.next.Handle(ctx, r)
	}
	repeated, ok := h.take(kind, r, h.next)
	if !ok {
		return nil
	}
	return h.next.Handle(ctx, standingFor(r, repeated))
}

// standingFor is a line that says how many like it were left out before it.
func standingFor(r slog.Record, repeated int) slog.Record {
	if repeated > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("repeated", repeated))
	}
	return r
}

// take reports whether a line is to be written, and how many that were left out it stands
// for besides.
func (l *lineLimiter) take(kind lineKind, r slog.Record, by slog.Handler) (repeated int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	alike := l.count(kind, now)
	all := l.count(lineKind{kind.level, kind.message, everyTenant}, now)
	if alike.written >= linesAlike || all.written >= linesOfOneKind {
		if alike.left++; alike.left == 1 {
			alike.first, alike.by = r.Clone(), by
		}
		return 0, false
	}
	repeated, alike.left = alike.left, 0
	l.left.Add(int64(repeated))
	alike.written++
	all.written++
	return repeated, true
}

// count returns the count of a kind, in an interval that has not ended.
func (l *lineLimiter) count(kind lineKind, now time.Time) *lineCount {
	c := l.kinds[kind]
	if c == nil && len(l.kinds) >= maxLineKinds {
		kind = lineKind{level: kind.level}
		c = l.kinds[kind]
	}
	if c == nil {
		c = &lineCount{since: now}
		l.kinds[kind] = c
	}
	if now.Sub(c.since) >= logInterval {
		c.since, c.written = now, 0
	}
	return c
}

// settle has a line written for each kind of which some were left out, when its interval has
// ended or in any case, and forgets kinds that do not come any more.
func (l *lineLimiter) settle(always bool) error {
	var lines []lineCount
	l.mu.Lock()
	now := l.now()
	for kind, c := range l.kinds {
		switch {
		case !always && now.Sub(c.since) < logInterval:
		case c.left == 0:
			delete(l.kinds, kind)
		default:
			lines = append(lines, *c)
			c.since, c.written, c.left = now, 1, 0
		}
	}
	l.mu.Unlock()
	var errs []error
	for _, c := range lines {
		l.left.Add(int64(c.left - 1))
		errs = append(errs, c.by.Handle(context.Background(), standingFor(c.first, c.left-1)))
	}
	return errors.Join(errs...)
}

// run settles until ctx ends.
func (l *lineLimiter) run(ctx context.Context) {
	every(ctx, logInterval/4, func() { _ = l.settle(false) })
}
