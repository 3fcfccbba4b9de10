// Command steady loads a server at a rate that does not depend on its answers, and says how
// long these took from when their commands were due: what clients feel that do not wait for
// each other. The key, or a Redis password, is in KEY.
//
//	KEY=rg_… go run ./bench/steady -addr 10.0.0.5:6380 -rate 20000 -for 30s GET greeting
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/respgate/respgate/bench/load"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Getenv("KEY"), os.Stdout)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "steady:", err)
		os.Exit(1)
	}
}

// run applies the load that args ask for and prints one line.
func run(ctx context.Context, args []string, key string, stdout io.Writer) error {
	f := flag.NewFlagSet("steady", flag.ContinueOnError)
	addr := f.String("addr", "127.0.0.1:6380", "where the server listens")
	rate := f.Int("rate", 1000, "commands per second, of all clients together")
	clients := f.Int("clients", 50, "how many connections")
	during := f.Duration("for", 10*time.Second, "how long")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *rate < 1 || *clients < 1 || *during <= 0 {
		return errors.New("-rate, -clients and -for want more than 0")
	}
	command := f.Args()
	if len(command) == 0 {
		command = []string{"PING"}
	}
	l := load.Steady{Rate: *rate, Clients: *clients, Request: load.Command(command...), During: *during}
	got, err := l.Run(ctx, load.Endpoint{Addr: *addr, Password: key}, func() {})
	if err != nil {
		return err
	}
	at := func(q float64) time.Duration {
		return load.Percentile(got.Latencies, q).Round(100 * time.Nanosecond)
	}
	_, err = fmt.Fprintf(stdout, "%d commands/s wanted, %.0f answered; p50 %v, p99 %v, p99.9 %v, at most %v\n",
		*rate, float64(got.Answered)/got.Took.Seconds(), at(0.5), at(0.99), at(0.999), at(1))
	return err
}
