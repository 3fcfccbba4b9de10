//go:build conformance

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gomodule/redigo/redis"
)

func redigo(url string) (features, error) {
	dial := func() (redis.Conn, error) { return redis.DialURL(url, redis.DialReadTimeout(20*time.Second)) }
	pool := &redis.Pool{MaxIdle: 4, Dial: dial, TestOnBorrow: func(c redis.Conn, _ time.Time) error { _, err := c.Do("PING"); return err }}
	do := func(name string, args ...any) (any, error) {
		c := pool.Get()
		defer func() { _ = c.Close() }()
		return c.Do(name, args...)
	}
	const p = "redigo:"
	return features{
		{"connect", func(context.Context) error {
			return all(
				func() error { got, err := do("PING"); return equal(got, err, "PONG") },
				func() error { _, err := do("SET", p+"a", "1"); return err },
				func() error { got, err := redis.String(do("GET", p+"a")); return equal(got, err, "1") },
			)
		}},
		{"reconnect", func(context.Context) error {
			c := pool.Get()
			id, err := redis.Int64(c.Do("CLIENT", "ID"))
			if err != nil {
				return err
			}
			killer, err := dial()
			if err != nil {
				return err
			}
			defer func() { _ = killer.Close() }()
			if killed, err := redis.Int(killer.Do("CLIENT", "KILL", "ID", id)); equal(killed, err, 1) != nil {
				return equal(killed, err, 1)
			}
			if _, err := c.Do("GET", p+"a"); err == nil {
				return errors.New("a killed connection answers")
			}
			_ = c.Close()
			got, err := redis.String(do("GET", p+"a"))
			return equal(got, err, "1")
		}},
		{"pipeline", func(context.Context) error {
			c := pool.Get()
			defer func() { _ = c.Close() }()
			_, _ = c.Do("DEL", p+"n")
			for range 1000 {
				if err := c.Send("INCR", p+"n"); err != nil {
					return err
				}
			}
			if err := c.Flush(); err != nil {
				return err
			}
			var got []int64
			for range 1000 {
				n, err := redis.Int64(c.Receive())
				if err != nil {
					return err
				}
				got = append(got, n)
			}
			return equal(got, nil, upTo(1000))
		}},
		{"transaction", func(context.Context) error {
			c := pool.Get()
			defer func() { _ = c.Close() }()
			_, _ = c.Do("SET", p+"t", "1")
			_ = c.Send("MULTI")
			_ = c.Send("INCR", p+"t")
			if got, err := redis.Int64s(c.Do("EXEC")); equal(got, err, "[2]") != nil {
				return equal(got, err, "[2]")
			}
			_, _ = c.Do("WATCH", p+"t")
			_, _ = do("INCR", p+"t")
			_ = c.Send("MULTI")
			_ = c.Send("INCR", p+"t")
			got, err := c.Do("EXEC")
			return equal(got, err, nil)
		}},
		{"blocking", func(context.Context) error {
			go func() { _, _ = do("RPUSH", p+"l", "x") }()
			got, err := redis.Strings(do("BLPOP", p+"l", 0))
			return equal(got, err, []string{p + "l", "x"})
		}},
		{"pub/sub", func(context.Context) error {
			c := pool.Get()
			defer func() { _ = c.Close() }()
			sub := redis.PubSubConn{Conn: c}
			if err := sub.Subscribe(p + "c"); err != nil {
				return err
			}
			sub.Receive()
			if _, err := do("PUBLISH", p+"c", "hello"); err != nil {
				return err
			}
			message, ok := sub.Receive().(redis.Message)
			if !ok {
				return errors.New("no message")
			}
			return equal(string(message.Data), sub.Unsubscribe(), "hello")
		}},
		{"scripts", func(context.Context) error {
			c := pool.Get()
			defer func() { _ = c.Close() }()
			s := redis.NewScript(1, script)
			for range 2 {
				if got, err := redis.String(s.Do(c, p+"a", "z")); equal(got, err, "1z") != nil {
					return equal(got, err, "1z")
				}
			}
			return nil
		}},
		{"scan", func(context.Context) error {
			for i := range 500 {
				_, _ = do("SET", fmt.Sprint(p, "scan:", i), i)
			}
			found := map[string]bool{}
			for cursor := "0"; ; {
				reply, err := redis.Values(do("SCAN", cursor, "MATCH", p+"scan:*", "COUNT", 50))
				if err != nil {
					return err
				}
				var keys []string
				if _, err := redis.Scan(reply, &cursor, &keys); err != nil {
					return err
				}
				for _, k := range keys {
					found[k] = true
				}
				if cursor == "0" {
					return equal(len(found), nil, 500)
				}
			}
		}},
	}, nil
}
