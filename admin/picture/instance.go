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
	hot    []control.HotCommand // all, the hottest first; replaced, never changed
	points []control.Point      // a ring, once there are maxPoints
	oldest int
}

// add adds the point of what has come since the last, now that t is counted.
func (i *instance) add(now time.Time, t *metrics.Totals) {
	took := now.Sub(i.at)
	was, is := brief(&i.before), brief(t)
	hot := []control.HotCommand{}
	for id, n := range t.Commands {
		if n := since(n, i.before.Commands[id]); n > 0 {
			hot = append(hot, control.HotCommand{Command: command.ID(id).Info().Name, PerSecond: float64(n) / took.Seconds()})
		}
	}
	slices.SortFunc(hot, func(a, b control.HotCommand) int {
		return cmp.Or(cmp.Compare(b.PerSecond, a.PerSecond), cmp.Compare(a.Command, b.Command))
	})
	i.keep(point(now, took, &was, &is))
	i.hot = hot
	i.at, i.before = now, *t
}

// brief is the short of t.
func brief(t *metrics.Totals) metrics.Brief {
	b := metrics.Brief{Errors: t.Errors, Limited: t.Limited, In: t.In, Out: t.Out, Backend: t.Phases[metrics.PhaseBackend], Clients: t.Clients, Links: t.Links}
	for _, n := range t.Commands {
		b.Commands += n
	}
	return b
}

// point is what has come in the time that it took to get from was to is.
func point(now time.Time, took time.Duration, was, is *metrics.Brief) control.Point {
	rate := func(n, before uint64) float64 { return float64(since(n, before)) / took.Seconds() }
	answered := is.Backend.Since(&was.Backend)
	return control.Point{
		At:       now.UTC(),
		Commands: rate(is.Commands, was.Commands),
		Errors:   rate(is.Errors, was.Errors),
		Limited:  rate(is.Limited, was.Limited),
		BytesIn:  rate(is.In, was.In),
		BytesOut: rate(is.Out, was.Out),
		P50:      quantile(&answered, 0.5),
		P99:      quantile(&answered, 0.99),
		Clients:  is.Clients,
		Links:    control.Links(is.Links),
	}
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
