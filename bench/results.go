package main

import (
	"math"
	"slices"
)

// figure is a kind of number that a run of a row gives.
type figure string

const (
	rps     figure = "commands per second"
	p50     figure = "median latency" // in what the section's columns say
	p99     figure = "99th percentile of latency"
	cpu     figure = "CPU-seconds of the target per million commands"
	clients figure = "clients"
	memory  figure = "bytes per client"
	seconds figure = "seconds"
)

// sample is what one run gave.
type sample map[figure]float64

// cellKey says where samples belong.
type cellKey struct{ section, row, target string }

// results holds the samples of each cell, in the order of the rounds.
type results struct{ samples map[cellKey][]sample }

func newResults() *results { return &results{map[cellKey][]sample{}} }

func (r *results) add(section, row, target string, s sample) {
	key := cellKey{section, row, target}
	r.samples[key] = append(r.samples[key], s)
}

func (r *results) at(section, row, target string) view {
	return view{r, cellKey{section, row, target}}
}

// view looks at the results from one cell.
type view struct {
	*results
	key cellKey
}

// target is the same row at another target.
func (v view) target(name string) view { return v.at(v.key.section, v.key.row, name) }

// row is another row at the same target.
func (v view) row(name string) view { return v.at(v.key.section, name, v.key.target) }

func (v view) measured() bool { return len(v.samples[v.key]) > 0 }

// all are a figure's values, in the order of the rounds.
func (v view) all(f figure) (values []float64) {
	for _, s := range v.samples[v.key] {
		values = append(values, s[f])
	}
	return values
}

func (v view) median(f figure) float64 { return median(v.all(f)) }

// over is the median ratio to another cell's.
func (v view) over(base view, f figure) float64 { return ratio(v.all(f), base.all(f)) }

// median of no values is not a number.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	v := slices.Sorted(slices.Values(values))
	if len(v)%2 == 1 {
		return v[len(v)/2]
	}
	return (v[len(v)/2-1] + v[len(v)/2]) / 2
}

// paired joins the values of each round.
func paired(a, b []float64, join func(a, b float64) float64) (all []float64) {
	for i := range min(len(a), len(b)) {
		all = append(all, join(a[i], b[i]))
	}
	return all
}

// ratio is the median of the ratios within each round, in which the machine was in
// the same mood.
func ratio(a, b []float64) float64 {
	quotients := paired(a, b, func(a, b float64) float64 {
		if b <= 0 {
			return math.NaN()
		}
		return a / b
	})
	return median(slices.DeleteFunc(quotients, math.IsNaN))
}
