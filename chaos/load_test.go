//go:build linux

package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// load is a crowd of clients of one tenant.
type load struct {
	clients []*client
	stop    func() // ends them and waits
}

// everything is what a worker does.
var everything = []kind{push, push, script, pair, count, count, swap, echo, offer, publish}

// workers of a load; each has one more client that takes from its queue, and one more that
// listens to its channel.
const workers = 3

// startLoad starts clients of the tenant whose key it is, until the test ends or stop is
// called. Their numbers begin with first.
func startLoad(t *testing.T, ctl redis.UniversalClient, addr, key string, first int) *load {
	t.Helper()
	l := &load{}
	add := func(of int, kinds ...kind) {
		id := first + len(l.clients)
		l.clients = append(l.clients, &client{
			id: id, of: of, addr: addr, key: key, proto: 2 + id%2, kinds: kinds,
			random: rand.New(rand.NewPCG(uint64(id), uint64(first))),
		})
	}
	for i := range workers {
		id := first + i
		add(id, everything...)
		if err := ctl.Set(t.Context(), fmt.Sprintf("counter:%d", id), counterBase(id), 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range workers {
		add(first+i, take)
		add(first + i)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, c := range l.clients {
		running.Go(func() { c.run(ctx) })
	}
	l.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(l.stop)
	return l
}

// provenSince reports whether every client has had an answer to something that it sent at
// that time or later, and else who has not.
func (l *load) provenSince(at time.Time) (all bool, missing []string) {
	for _, c := range l.clients {
		if c.proven.Load() < at.UnixNano() {
			missing = append(missing, fmt.Sprintf("client %d, whose last question is %v, last told %q", c.id, c.asks.Load(), c.told.Load()))
		}
	}
	return len(missing) == 0, missing
}

// total is how many operations had that outcome.
func (l *load) total(o outcome) (n int64) {
	for _, c := range l.clients {
		n += c.done[o].Load()
	}
	return n
}

// unhappy is how many operations were not acknowledged.
func (l *load) unhappy() int64 { return l.total(refused) + l.total(unknown) }

// dropped is how many connections ended that the clients would have kept.
func (l *load) dropped() (n int64) {
	for _, c := range l.clients {
		n += c.lost.Load()
	}
	return n
}

// said are the last words to each client that was told anything but an answer.
func (l *load) said() (all []string) {
	for _, c := range l.clients {
		if said, ok := c.told.Load().(string); ok {
			all = append(all, said)
		}
	}
	return all
}

// expect complains about whatever was told to the clients that is worse.
func (l *load) expect(t *testing.T, who string, worst told) {
	t.Helper()
	if n := l.total(refused); worst < refusals && n > 0 {
		t.Errorf("%s: %d commands were refused, want none; the clients' last refusals are %q", who, n, l.said())
	}
	if n := l.total(unknown); worst < doubts && n > 0 {
		t.Errorf("%s: of %d commands it is unknown whether they were done, want none", who, n)
	}
	if n := l.dropped(); worst < doubts && n > 0 {
		t.Errorf("%s: %d connections ended, want none", who, n)
	}
}

// record is what has happened, to be called once the load has stopped: read says what Redis
// holds.
func (l *load) record(read func(ctx context.Context, worker int, s *state) error) (record, error) {
	r := record{heard: map[int][]string{}, final: state{
		lists: map[int][]string{}, queues: map[int][]string{}, counters: map[int]int64{}, slots: map[int]string{},
	}}
	for i, c := range l.clients {
		r.ops = append(r.ops, c.ops...)
		r.heard[c.of] = append(r.heard[c.of], c.heard...)
		if i < workers {
			if err := read(context.Background(), c.id, &r.final); err != nil {
				return r, err
			}
		}
	}
	return r, nil
}

// readState reads what a worker's keys hold, from Redis itself.
func readState(ctl redis.UniversalClient) func(ctx context.Context, worker int, s *state) error {
	return func(ctx context.Context, worker int, s *state) (err error) {
		key := func(prefix string) string { return fmt.Sprintf("%s:%d", prefix, worker) }
		if s.lists[worker], err = ctl.LRange(ctx, key("list"), 0, -1).Result(); err != nil {
			return err
		}
		if s.queues[worker], err = ctl.LRange(ctx, key("queue"), 0, -1).Result(); err != nil {
			return err
		}
		if s.counters[worker], err = ctl.Get(ctx, key("counter")).Int64(); err != nil {
			return err
		}
		if s.slots[worker], err = ctl.Get(ctx, key("slot")).Result(); errors.Is(err, redis.Nil) {
			return nil
		}
		return err
	}
}

// hung counts the clients' questions that had no answer.
func (l *load) hung() (found []finding) {
	for _, c := range l.clients {
		for range c.hung {
			found = append(found, finding{hung, fmt.Sprintf("client %d waited for %v", c.id, patience)})
		}
	}
	return found
}
