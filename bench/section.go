package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// section is a part of the report: rows measured at targets, on processes of its own.
type section struct {
	name    string // for -only
	title   string
	about   string // Markdown, beneath the title
	rows    []string
	targets []string
	// together: the rows are compared with each other, so that each round has them all.
	together bool
	rounds   int // at most; 0: as many as -rounds
	columns  []column
	// open starts the processes that all rows share and returns how to measure one.
	open func(ctx context.Context, b *bed) (measure, error)
}

// measure measures one row at one target once.
type measure func(ctx context.Context, row, target string) (sample, error)

// bed is what a section is opened on.
type bed struct {
	*lab
	options
	targets []string // the chosen ones
	tell    func(format string, args ...any)
}

// sections are all, in the order of the report.
var sections = []section{benchmarkSection, latencySection, steadySection, tlsSection, idleSection, idleTLSSection, tenantsSection, neighboursSection, bareSection, watchingSection, cacheSection, bulkSection, growthSection}

func names(all []section) (names []string) {
	for _, s := range all {
		names = append(names, s.name)
	}
	return names
}

// choose returns the sections with only those rows and targets that the options ask for.
func choose(all []section, o options) (chosen []section, err error) {
	for _, s := range all {
		s.rows = keep(s.rows, func(row string) bool { return o.only.MatchString(s.name + "/" + row) })
		s.targets = keep(s.targets, func(target string) bool { return slices.Contains(o.targets, family(target)) })
		if len(s.rows) > 0 && len(s.targets) > 0 {
			chosen = append(chosen, s)
		}
	}
	if len(chosen) == 0 {
		return nil, errors.New("-only and -targets leave nothing to measure")
	}
	return chosen, nil
}

func keep(all []string, wanted func(string) bool) (kept []string) {
	for _, s := range all {
		if wanted(s) {
			kept = append(kept, s)
		}
	}
	return kept
}

// cell is what is measured at once: one row at one target.
type cell struct{ row, target string }

// groups are the cells that each round interleaves, the first group's rounds before the
// next's.
func (s section) groups() (all [][]cell) {
	for i, row := range s.rows {
		if i == 0 || !s.together {
			all = append(all, nil)
		}
		last := len(all) - 1
		for _, target := range s.targets {
			all[last] = append(all[last], cell{row, target})
		}
	}
	return all
}

func (s section) roundsOf(o options) int {
	if s.rounds > 0 {
		return min(s.rounds, o.rounds)
	}
	return o.rounds
}

func (s section) run(ctx context.Context, o options, r *results, p *progress) error {
	l, err := newLab()
	if err != nil {
		return err
	}
	defer l.close()
	tell := func(format string, args ...any) { p.tell(s.name + ": " + fmt.Sprintf(format, args...)) }
	tell("starting")
	measure, err := s.open(ctx, &bed{l, o, s.targets, tell})
	if err != nil {
		return err
	}
	for _, group := range s.groups() {
		for round := range s.roundsOf(o) {
			for i := range group {
				c := group[(round+i)%len(group)] // another one is first each round
				p.step(fmt.Sprintf("%s, %s, round %d: %s", s.name, c.row, round+1, c.target))
				m, err := measure(ctx, c.row, c.target)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", c.row, c.target, err)
				}
				r.add(s.name, c.row, c.target, m)
			}
		}
	}
	return nil
}
