//go:build conformance

// Command go has a Go client library do what its users do: go run ./conformance/go LIBRARY.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

// features are what a library is asked for, by name, in this order.
type features []struct {
	name string
	fn   func(context.Context) error
}

func main() {
	library := map[string]func(url string) (features, error){"go-redis": goRedis, "rueidis": rueidisClient, "redigo": redigo}[os.Args[1]]
	list, err := library(os.Getenv("REDIS_URL"))
	if err != nil {
		fmt.Println("FAIL connect", err)
		return
	}
	for _, f := range list {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		if err := f.fn(ctx); err != nil {
			fmt.Println("FAIL", f.name, strings.Join(strings.Fields(err.Error()), " "))
		} else {
			fmt.Println("ok", f.name)
		}
		cancel()
	}
}

// equal compares what came with what should have; err, which may be nil, came with it.
func equal(got any, err error, want any) error {
	if err != nil {
		return err
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		return fmt.Errorf("got %v, want %v", got, want)
	}
	return nil
}

// again repeats fn while it fails, for at most 5 s.
func again(fn func() error) error {
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if err := fn(); err == nil || time.Now().After(end) {
			return err
		}
	}
}

// all runs steps until one fails.
func all(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

const script = "return redis.call('get', KEYS[1]) .. ARGV[1]"

// upTo is what 1,000 INCRs answer.
func upTo(n int) (all []int64) {
	for i := range n {
		all = append(all, int64(i+1))
	}
	return all
}
