package main

import (
	"errors"
	"flag"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// options are what the flags say.
type options struct {
	rounds   int
	scale    float64
	respgate string
	out      string // "": no file
	targets  []string
	only     *regexp.Regexp
	tenants  int
	idle     int
}

// smoke is what -smoke changes: everything once and small.
var smoke = map[string]string{"rounds": "1", "scale": "0.05", "tenants": "20", "idle": "500"}

const resultsFile = "bench/RESULTS.md"

func parseOptions(args []string) (o options, err error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.IntVar(&o.rounds, "rounds", 5, "how often each target runs each row; medians are shown")
	f.Float64Var(&o.scale, "scale", 1, "how many commands and how long, compared with the default")
	f.StringVar(&o.respgate, "respgate", "bin/respgate", "the `BINARY` to measure")
	f.StringVar(&o.out, "o", "", "the `FILE` for the report (default "+resultsFile+" when everything is measured, else none)")
	f.IntVar(&o.tenants, "tenants", 1000, "how many tenants, each with a Redis of its own")
	f.IntVar(&o.idle, "idle", 10_000, "how many idle clients")
	targets := f.String("targets", strings.Join(targetNames, ","), "which to run, separated by commas")
	only := f.String("only", "", "measure only the rows whose 'section/row' matches `REGEXP`; sections: "+strings.Join(names(sections), ", "))
	small := f.Bool("smoke", false, "everything once, scaled down to about a minute")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	given := map[string]bool{}
	f.Visit(func(f *flag.Flag) { given[f.Name] = true })
	for name, value := range smoke {
		if *small && !given[name] {
			if err := f.Set(name, value); err != nil {
				return o, err
			}
		}
	}
	if !*small && !given["o"] && !given["only"] && !given["targets"] {
		o.out = resultsFile
	}
	o.targets = strings.Split(*targets, ",")
	if o.only, err = regexp.Compile(*only); err != nil {
		return o, fmt.Errorf("-only: %w", err)
	}
	return o, o.check(f.Args())
}

func (o options) check(rest []string) error {
	for _, name := range o.targets {
		if !slices.Contains(targetNames, name) {
			return fmt.Errorf("-targets: unknown target %q: want some of %s", name, strings.Join(targetNames, ", "))
		}
	}
	switch {
	case len(rest) > 0:
		return fmt.Errorf("want flags only, got %q", rest[0])
	case o.rounds < 1 || o.scale <= 0:
		return errors.New("-rounds and -scale: want more than 0")
	case o.tenants < 1 || o.idle < 1:
		return errors.New("-tenants and -idle: want 1 or more")
	}
	return nil
}

// count is how many commands to send where n are the default, and at least least.
func (o options) count(n, least int) int { return max(least, int(float64(n)*o.scale)) }

// span is how long to measure where d is the default; much less than the least of them
// says nothing.
func (o options) span(d time.Duration) time.Duration {
	return max(300*time.Millisecond, time.Duration(float64(d)*o.scale))
}
