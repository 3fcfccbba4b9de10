//go:build conformance

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/rueidis"
)

// rueidisClient has its client-side caching on, as it is by default.
func rueidisClient(url string) (features, error) {
	opts, err := rueidis.ParseURL(url)
	if err != nil {
		return nil, err
	}
	r, err := rueidis.NewClient(opts)
	if err != nil {
		return nil, err
	}
	other, err := rueidis.NewClient(opts)
	if err != nil {
		return nil, err
	}
	const p = "rueidis:"
	do := func(ctx context.Context, args ...string) rueidis.RedisResult {
		return r.Do(ctx, r.B().Arbitrary(args...).Build())
	}
	return features{
		{"connect", func(ctx context.Context) error {
			return all(
				func() error { got, err := do(ctx, "PING").ToString(); return equal(got, err, "PONG") },
				func() error { return do(ctx, "SET", p+"a", "1").Error() },
				func() error { got, err := do(ctx, "GET", p+"a").ToString(); return equal(got, err, "1") },
			)
		}},
		{"reconnect", func(ctx context.Context) error {
			id, err := do(ctx, "CLIENT", "ID").AsInt64()
			if err != nil {
				return err
			}
			killed, err := other.Do(ctx, other.B().Arbitrary("CLIENT", "KILL", "ID", fmt.Sprint(id)).Build()).AsInt64()
			if err := equal(killed, err, 1); err != nil {
				return err
			}
			return again(func() error { got, err := do(ctx, "GET", p+"a").ToString(); return equal(got, err, "1") })
		}},
		{"pipeline", func(ctx context.Context) error {
			do(ctx, "DEL", p+"n")
			var cmds rueidis.Commands
			for range 1000 {
				cmds = append(cmds, r.B().Incr().Key(p+"n").Build())
			}
			var got []int64
			for _, res := range r.DoMulti(ctx, cmds...) {
				n, err := res.AsInt64()
				if err != nil {
					return err
				}
				got = append(got, n)
			}
			return equal(got, nil, upTo(1000))
		}},
		{"transaction", func(ctx context.Context) error {
			do(ctx, "SET", p+"t", "1")
			return r.Dedicated(func(c rueidis.DedicatedClient) error {
				c.Do(ctx, c.B().Watch().Key(p+"t").Build())
				replies := c.DoMulti(ctx, c.B().Multi().Build(), c.B().Incr().Key(p+"t").Build(), c.B().Exec().Build())
				got, err := replies[2].AsIntSlice()
				if err := equal(got, err, []int{2}); err != nil {
					return err
				}
				c.Do(ctx, c.B().Watch().Key(p+"t").Build())
				do(ctx, "INCR", p+"t")
				replies = c.DoMulti(ctx, c.B().Multi().Build(), c.B().Incr().Key(p+"t").Build(), c.B().Exec().Build())
				return equal(rueidis.IsRedisNil(replies[2].Error()), nil, true)
			})
		}},
		{"blocking", func(ctx context.Context) error {
			go func() { do(ctx, "RPUSH", p+"l", "x") }()
			got, err := r.Do(ctx, r.B().Blpop().Key(p+"l").Timeout(0).Build()).AsStrSlice()
			return equal(got, err, []string{p + "l", "x"})
		}},
		{"pub/sub", func(ctx context.Context) error {
			got := make(chan string, 1)
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			go func() {
				_ = r.Receive(ctx, r.B().Subscribe().Channel(p+"c").Build(), func(m rueidis.PubSubMessage) { got <- m.Message })
			}()
			for {
				n, err := other.Do(ctx, other.B().Publish().Channel(p+"c").Message("hello").Build()).AsInt64()
				if err != nil {
					return err
				}
				if n == 1 {
					break
				}
			}
			select {
			case message := <-got:
				return equal(message, nil, "hello")
			case <-ctx.Done():
				return ctx.Err()
			}
		}},
		{"scripts", func(ctx context.Context) error {
			s := rueidis.NewLuaScript(script)
			for range 2 {
				if got, err := s.Exec(ctx, r, []string{p + "a"}, []string{"z"}).ToString(); equal(got, err, "1z") != nil {
					return equal(got, err, "1z")
				}
			}
			return nil
		}},
		{"scan", func(ctx context.Context) error {
			for i := range 500 {
				do(ctx, "SET", fmt.Sprint(p, "scan:", i), fmt.Sprint(i))
			}
			found := map[string]bool{}
			scanner := rueidis.NewScanner(func(cursor uint64) (rueidis.ScanEntry, error) {
				return r.Do(ctx, r.B().Scan().Cursor(cursor).Match(p+"scan:*").Count(50).Build()).AsScanEntry()
			})
			for key := range scanner.Iter() {
				found[key] = true
			}
			return equal(len(found), scanner.Err(), 500)
		}},
		{"client-side caching", func(ctx context.Context) error {
			cached := func() rueidis.RedisResult { return r.DoCache(ctx, r.B().Get().Key(p+"cached").Cache(), time.Minute) }
			do(ctx, "SET", p+"cached", "1")
			if got, err := cached().ToString(); equal(got, err, "1") != nil {
				return equal(got, err, "1")
			}
			if !cached().IsCacheHit() {
				return errors.New("the second read is no hit")
			}
			other.Do(ctx, other.B().Set().Key(p+"cached").Value("2").Build())
			return again(func() error { got, err := cached().ToString(); return equal(got, err, "2") })
		}},
	}, nil
}
