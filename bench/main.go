// Command bench compares respgate with what people use instead: direct Redis,
// twemproxy and HAProxy in TCP mode. All run on this machine, on free loopback
// ports; redis-benchmark is the client. It writes bench/RESULTS.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	rounds := flag.Int("rounds", 5, "how often each target runs each row; medians are shown")
	scale := flag.Float64("scale", 1, "how many commands, compared with the default")
	binary := flag.String("respgate", "bin/respgate", "the `BINARY` to measure")
	out := flag.String("o", "bench/RESULTS.md", "the `FILE` for the table")
	only := flag.String("targets", strings.Join(targetNames, ","), "which to run, separated by commas")
	flag.Parse()
	names := strings.Split(*only, ",")
	for _, name := range names {
		if !slices.Contains(targetNames, name) {
			return fmt.Errorf("-targets: unknown target %q: want some of %s", name, strings.Join(targetNames, ", "))
		}
	}
	if *rounds < 1 || *scale <= 0 {
		return fmt.Errorf("-rounds and -scale: want more than 0")
	}
	lab, err := newLab(*binary)
	if err != nil {
		return err
	}
	defer lab.close()
	targets, err := lab.start(ctx, names)
	if err != nil {
		return err
	}
	results := newResults(names)
	total := len(rows) * *rounds * len(targets)
	p := progress{total: total, tty: isTerminal(os.Stderr)}
	for _, row := range rows {
		for round := range *rounds {
			for i := range targets {
				t := targets[(round+i)%len(targets)] // another one is first each round
				p.step(fmt.Sprintf("%s, round %d: %s", row.name, round+1, t.name))
				m, err := measure(ctx, t, row, *scale)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", row.name, t.name, err)
				}
				results.add(row.name, t.name, m)
			}
		}
	}
	p.done()
	text := results.table()
	fmt.Print(text)
	return os.WriteFile(*out, []byte(report(text, *rounds, *scale, lab.versions())), 0o644) //nolint:gosec // for everybody to read
}

// progress tells people how far it is: on one line on a terminal, else a line each.
type progress struct {
	total, n int
	tty      bool
}

func (p *progress) step(what string) {
	p.n++
	if p.tty {
		fmt.Fprintf(os.Stderr, "\r\x1b[K[%d/%d] %s", p.n, p.total, what)
		return
	}
	fmt.Fprintf(os.Stderr, "[%d/%d] %s\n", p.n, p.total, what)
}

func (p *progress) done() {
	if p.tty {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
	}
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
