package picture

import (
	"cmp"
	"slices"
	"time"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/metrics"
)

// maxPoints is how many points are kept.
const maxPoints = int(control.PictureSpan / interval)

// instance is what is known of one that is sampled.
type instance struct {
	label  string
	asked  time.Time // when somebody looked last
	at     time.Time // when before was counted
	before metrics.Totals
	hot    []control.HotCommand // replaced, never changed
	points []control.Point      // a ring, once there are maxPoints
	oldest int
}

// add adds the point of what has come since the last, now that t is counted.
func (i *instance) add(now time.Time, t *metrics.Totals) {
	took := now.Sub(i.at).Seconds()
	rate := func(n, before uint64) float64 { return float64(since(n, before)) / took }
	var commands uint64
	hot := []control.HotCommand{}
	for id, n := range t.Commands {
		if n := since(n, i.before.Commands[id]); n > 0 {
			commands += n
			hot = append(hot, control.HotCommand{Command: command.ID(id).Info().Name, PerSecond: float64(n) / took})
		}
	}
	slices.SortFunc(hot, func(a, b control.HotCommand) int {
		return cmp.Or(cmp.Compare(b.PerSecond, a.PerSecond), cmp.Compare(a.Command, b.Command))
	})
	answered := t.Phases[metrics.PhaseBackend].Since(&i.before.Phases[metrics.PhaseBackend])
	i.keep(control.Point{
		At:       now.UTC(),
		Commands: float64(commands) / took,
		Errors:   rate(t.Errors, i.before.Errors),
		Limited:  rate(t.Limited, i.before.Limited),
		BytesIn:  rate(t.In, i.before.In),
		BytesOut: rate(t.Out, i.before.Out),
		P50:      quantile(&answered, 0.5),
		P99:      quantile(&answered, 0.99),
		Clients:  t.Clients,
		Links:    control.Links(t.Links),
	})
	i.hot = slices.Clip(hot[:min(len(hot), control.MaxHotCommands)])
	i.at, i.before = now, *t
}

// since is what a counter has grown by, which may have begun anew.
func since(n, before uint64) uint64 {
	if n < before {
		return n
	}
	return n - before
}

func quantile(d *metrics.Durations, q float64) *float64 {
	if v, ok := d.Quantile(q); ok {
		return &v
	}
	return nil
}

// keep adds a point in place of the oldest, when there are enough.
func (i *instance) keep(p control.Point) {
	if len(i.points) < maxPoints {
		i.points = append(i.points, p)
		return
	}
	i.points[i.oldest] = p
	i.oldest = (i.oldest + 1) % maxPoints
}

// from returns the points after a time, the oldest first.
func (i *instance) from(after time.Time) []control.Point {
	var all []control.Point
	for n := range i.points {
		if p := i.points[(i.oldest+n)%len(i.points)]; p.At.After(after) {
			all = append(all, p)
		}
	}
	return all
}
