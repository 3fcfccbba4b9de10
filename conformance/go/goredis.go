//go:build conformance

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

func goRedis(url string) (features, error) {
	opts, err := redis.ParseURL(url)
	if err != nil {
		return nil, err
	}
	opts.PoolSize = 4
	r := redis.NewClient(opts)
	const p = "go-redis:"
	return features{
		{"connect", func(ctx context.Context) error {
			return all(
				func() error { got, err := r.Ping(ctx).Result(); return equal(got, err, "PONG") },
				func() error { return r.Set(ctx, p+"a", "1", 0).Err() },
				func() error { got, err := r.Get(ctx, p+"a").Result(); return equal(got, err, "1") },
			)
		}},
		{"reconnect", func(ctx context.Context) error {
			conn := r.Conn()
			id, err := conn.ClientID(ctx).Result()
			if err != nil {
				return err
			}
			killed, err := r.ClientKillByFilter(ctx, "ID", fmt.Sprint(id)).Result()
			if err := equal(killed, err, 1); err != nil {
				return err
			}
			if err := conn.Get(ctx, p+"a").Err(); err == nil {
				return errors.New("a killed connection answers")
			}
			_ = conn.Close()
			return again(func() error { got, err := r.Get(ctx, p+"a").Result(); return equal(got, err, "1") })
		}},
		{"pipeline", func(ctx context.Context) error {
			r.Del(ctx, p+"n")
			var got []int64
			cmds, err := r.Pipelined(ctx, func(pipe redis.Pipeliner) error {
				for range 1000 {
					pipe.Incr(ctx, p+"n")
				}
				return nil
			})
			for _, cmd := range cmds {
				got = append(got, cmd.(*redis.IntCmd).Val())
			}
			return equal(got, err, upTo(1000))
		}},
		{"transaction", func(ctx context.Context) error {
			r.Set(ctx, p+"t", "1", 0)
			var n *redis.IntCmd
			if _, err := r.TxPipelined(ctx, func(pipe redis.Pipeliner) error { n = pipe.Incr(ctx, p+"t"); return nil }); err != nil {
				return err
			}
			if err := equal(n.Val(), nil, 2); err != nil {
				return err
			}
			err := r.Watch(ctx, func(tx *redis.Tx) error {
				r.Incr(ctx, p+"t")
				_, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error { pipe.Incr(ctx, p+"t"); return nil })
				return err
			}, p+"t")
			return equal(errors.Is(err, redis.TxFailedErr), nil, true)
		}},
		{"blocking", func(ctx context.Context) error {
			go func() { r.RPush(ctx, p+"l", "x") }()
			got, err := r.BLPop(ctx, 0, p+"l").Result()
			return equal(got, err, []string{p + "l", "x"})
		}},
		{"pub/sub", func(ctx context.Context) error {
			sub := r.Subscribe(ctx, p+"c")
			defer func() { _ = sub.Close() }()
			if _, err := sub.Receive(ctx); err != nil {
				return err
			}
			if err := r.Publish(ctx, p+"c", "hello").Err(); err != nil {
				return err
			}
			message, err := sub.ReceiveMessage(ctx)
			if err != nil {
				return err
			}
			return equal(message.Payload, sub.Unsubscribe(ctx), "hello")
		}},
		{"scripts", func(ctx context.Context) error {
			s := redis.NewScript(script)
			for range 2 {
				if got, err := s.Run(ctx, r, []string{p + "a"}, "z").Result(); equal(got, err, "1z") != nil {
					return equal(got, err, "1z")
				}
			}
			return nil
		}},
		{"scan", func(ctx context.Context) error {
			for i := range 500 {
				r.Set(ctx, fmt.Sprint(p, "scan:", i), i, 0)
			}
			found := map[string]bool{}
			it := r.Scan(ctx, 0, p+"scan:*", 50).Iterator()
			for it.Next(ctx) {
				found[it.Val()] = true
			}
			return equal(len(found), it.Err(), 500)
		}},
	}, nil
}
