// Command bench compares respgate with what people use instead: direct Redis,
// twemproxy and HAProxy. All run on this machine, on free loopback ports; the clients
// are redis-benchmark and package load. It is run from the repository's root, and
// writes bench/RESULTS.md when it has measured everything.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, os.Args[1:])
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	chosen, err := choose(sections, o)
	if err != nil {
		return err
	}
	if err := raiseFileLimit(); err != nil {
		return err
	}
	r, p := newResults(), newProgress(chosen, o)
	var failed error
	for _, s := range chosen {
		if err := s.run(ctx, o, r, p); err != nil {
			// What else can be measured is.
			failed = errors.Join(failed, fmt.Errorf("%s: %w", s.name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	p.done()
	text := report(r, chosen, o)
	fmt.Print(text)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if o.out == "" {
		return failed
	}
	return errors.Join(failed, os.WriteFile(o.out, []byte(text), 0o644))
}
