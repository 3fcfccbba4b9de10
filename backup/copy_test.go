package backup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/internal/testbed"
)

// one returns the Redis that a test's server is.
func one(t *testing.T, s *testbed.Server) *Redis {
	r := Server(&redis.Options{Addr: s.Addr})
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// several returns the Redis that a test's cluster is.
func several(t *testing.T, c *testbed.Cluster) *Redis {
	r := Cluster(&redis.ClusterOptions{Addrs: []string{c.Primaries[0].Addr}})
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// kinds write a key of each type in each form that Redis keeps it in.
var kinds = map[string]func(ctx context.Context, p redis.Pipeliner, key string){
	"string, empty":  func(ctx context.Context, p redis.Pipeliner, key string) { p.Set(ctx, key, "", 0) },
	"string, binary": func(ctx context.Context, p redis.Pipeliner, key string) { p.Set(ctx, key, "\x00\xff\r\n\x80 ü", 0) },
	"string, number": func(ctx context.Context, p redis.Pipeliner, key string) { p.Set(ctx, key, "-12345", 0) },
	"string, large": func(ctx context.Context, p redis.Pipeliner, key string) {
		p.Set(ctx, key, strings.Repeat("large ", 500_000), 0)
	},
	"bitmap":      func(ctx context.Context, p redis.Pipeliner, key string) { p.SetBit(ctx, key, 70_001, 1) },
	"hyperloglog": func(ctx context.Context, p redis.Pipeliner, key string) { p.PFAdd(ctx, key, elements("h", 5000)...) },
	"list":        func(ctx context.Context, p redis.Pipeliner, key string) { p.RPush(ctx, key, "a", "", "\x00", 7, "a") },
	"list, long":  func(ctx context.Context, p redis.Pipeliner, key string) { p.RPush(ctx, key, elements("list", 3000)...) },
	"set, numbers": func(ctx context.Context, p redis.Pipeliner, key string) {
		p.SAdd(ctx, key, 1, -2, 1<<40)
	},
	"set, few":  func(ctx context.Context, p redis.Pipeliner, key string) { p.SAdd(ctx, key, "a", "", "\x00", 7) },
	"set, many": func(ctx context.Context, p redis.Pipeliner, key string) { p.SAdd(ctx, key, elements("set", 3000)...) },
	"hash, few": func(ctx context.Context, p redis.Pipeliner, key string) {
		p.HSet(ctx, key, "a", 1, "", "\x00", "b", "")
	},
	"hash, many": func(ctx context.Context, p redis.Pipeliner, key string) { p.HSet(ctx, key, elements("hash", 3000)...) },
	"zset, few": func(ctx context.Context, p redis.Pipeliner, key string) {
		p.ZAdd(ctx, key, redis.Z{Score: 1.5, Member: "a"}, redis.Z{Score: -1e300, Member: ""}, redis.Z{Score: 1.5, Member: "\x00"})
	},
	"zset, many": func(ctx context.Context, p redis.Pipeliner, key string) {
		for i, m := range elements("zset", 1500) {
			p.ZAdd(ctx, key, redis.Z{Score: float64(i) / 3, Member: m})
		}
	},
	"geo": func(ctx context.Context, p redis.Pipeliner, key string) {
		p.GeoAdd(ctx, key, &redis.GeoLocation{Name: "Palermo", Longitude: 13.361389, Latitude: 38.115556})
	},
	"stream": func(ctx context.Context, p redis.Pipeliner, key string) {
		for i := range 300 {
			p.XAdd(ctx, &redis.XAddArgs{Stream: key, ID: fmt.Sprintf("%d-1", i+1), Values: []any{"n", i, "lag", "\x00"}})
		}
		p.XDel(ctx, key, "5-1")
	},
	"stream, groups": func(ctx context.Context, p redis.Pipeliner, key string) {
		for i := range 20 {
			p.XAdd(ctx, &redis.XAddArgs{Stream: key, ID: fmt.Sprintf("%d-0", i+1), Values: []any{"n", i}})
		}
		p.XGroupCreate(ctx, key, "readers", "0")
		p.XGroupCreate(ctx, key, "idle", "$")
		p.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "readers", Consumer: "one", Streams: []string{key, ">"}, Count: 7, Block: -1})
		p.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "readers", Consumer: "two", Streams: []string{key, ">"}, Count: 3, Block: -1})
		p.XAck(ctx, key, "readers", "2-0", "9-0")
	},
	"stream, empty": func(ctx context.Context, p redis.Pipeliner, key string) {
		p.XGroupCreateMkStream(ctx, key, "readers", "$")
	},
}

// elements are n different strings.
func elements(prefix string, n int) (all []any) {
	for i := range n {
		all = append(all, fmt.Sprintf("%s:%d", prefix, i*i))
	}
	return all
}

// names are what keys may be called.
var names = []string{"plain", "", "\x00\xff\r\n", "{tag}1", "ü *?[a]\\", strings.Repeat("long", 5000)}

// fill writes keys of all kinds to databases, with and without an expiry, and returns how
// many.
func fill(t *testing.T, r *Redis, databases ...int) (n int64) {
	t.Helper()
	ctx := t.Context()
	for _, db := range databases {
		pipe := r.of(db).Pipeline()
		for kind, write := range kinds {
			write(ctx, pipe, kind)
			write(ctx, pipe, kind+", expires")
			pipe.PExpireAt(ctx, kind+", expires", time.UnixMilli(4_000_000_000_123))
			n += 2
		}
		for _, name := range names {
			pipe.Set(ctx, name, "named", 0)
			n++
		}
		pipe.Set(ctx, "far", "in the year 3000", 0)
		pipe.Do(ctx, "PEXPIREAT", "far", int64(32_503_680_000_001))
		n++
		if _, err := pipe.Exec(ctx); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// checkSame reads both sides as clients do, key by key.
func checkSame(t *testing.T, a, b *Redis, want int64) {
	t.Helper()
	ctx := t.Context()
	seen := map[Difference]bool{}
	err := a.scan(ctx, "", nil, &Position{}, func(db int, keys []string, _ Position) error {
		for _, key := range keys {
			seen[Difference{DB: db, Key: key}] = true
			kind := a.of(db).Type(ctx, key).Val()
			was, err := contents[kind](ctx, a.of(db), key)
			if err != nil {
				return err
			}
			is, err := contents[kind](ctx, b.of(db), key)
			if err != nil || fmt.Sprint(is) != fmt.Sprint(was) {
				t.Errorf("database %d: %.50q is %.200v, %v, want %.200v", db, key, is, err, was)
			}
			ends := a.of(db).Do(ctx, "PEXPIRETIME", key).Val()
			if got := b.of(db).Do(ctx, "PEXPIRETIME", key).Val(); got != ends {
				t.Errorf("database %d: %.50q expires at %v, want %v", db, key, got, ends)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	info, err := b.Info(ctx)
	if got := info.keys(nil); err != nil || got != want || int64(len(seen)) != want {
		t.Errorf("%d keys of %d, %v, want all %d", got, len(seen), err, want)
	}
}

// TestCopy: all types come over as they are, from all databases, between servers and
// clusters, and are found to be the same.
func TestCopy(t *testing.T) {
	server := func(t *testing.T) *Redis { return one(t, testbed.Redis(t)) }
	old := func(t *testing.T) *Redis {
		r := server(t)
		r.oldTimes = true
		return r
	}
	cluster := func(t *testing.T) *Redis { return several(t, testbed.NewCluster(t, 3, 0)) }
	for _, tt := range []struct {
		name      string
		from, to  func(t *testing.T) *Redis
		databases []int
	}{
		{"server to server", server, server, []int{0, 3, 15}},
		{"server to cluster", server, cluster, []int{0}},
		{"cluster to server", cluster, server, []int{0}},
		{"cluster to cluster", cluster, cluster, []int{0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			from, to := tt.from(t), tt.to(t)
			n := fill(t, from, tt.databases...)
			var last Progress
			result, err := Copy(t.Context(), from, to, Options{Progress: func(p Progress) { last = p }})
			if err != nil || result.Keys != n || last.Keys != n || last.Total != n || last.Bytes != result.Bytes {
				t.Fatalf("%+v, %+v, %v, want %d keys", result, last, err, n)
			}
			checkSame(t, from, to, n)
			found, err := Compare(t.Context(), from, to, Options{}, nil)
			if err != nil || !found.Same() || found.Keys != n {
				t.Errorf("%v, %v, want %d keys the same", found, err, n)
			}
		})
	}
	t.Run("from before 7.0", func(t *testing.T) {
		t.Parallel()
		from, to := old(t), server(t)
		n := fill(t, from, 0)
		if _, err := Copy(t.Context(), from, to, Options{}); err != nil {
			t.Fatal(err)
		}
		found, err := Compare(t.Context(), to, from, Options{}, nil)
		if err != nil || !found.Same() || found.Keys != n {
			t.Errorf("%v, %v, want %d keys the same", found, err, n)
		}
	})
}

// TestCopySome: a pattern, a database, what is there already.
func TestCopySome(t *testing.T) {
	ctx := t.Context()
	from, to := one(t, testbed.Redis(t)), one(t, testbed.Redis(t))
	set := func(r *Redis, db int, key, value string) {
		if err := r.of(db).Set(ctx, key, value, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	get := func(db int, key string) string { return to.of(db).Get(ctx, key).Val() }
	set(from, 0, "user:1", "new")
	set(from, 0, "user:2", "new")
	set(from, 0, "cart:1", "new")
	set(from, 1, "user:1", "other")
	set(to, 0, "user:1", "old")
	var exists *ExistsError
	if r, err := Copy(ctx, from, to, Options{Match: "user:*", Databases: []int{0}}); !errors.As(err, &exists) || exists.N != 1 || err.Error() != `the target has 1 of the keys: "user:1"` || r.Keys != 1 {
		t.Errorf("%+v, %v, want one key refused", r, err)
	}
	if get(0, "user:1") != "old" || get(0, "user:2") != "new" || get(0, "cart:1") != "" || get(1, "user:1") != "" {
		t.Error("want the one key that matches and was not there")
	}
	if r, err := Copy(ctx, from, to, Options{Existing: Skip}); err != nil || r.Keys != 2 || r.Skipped != 2 || get(0, "user:1") != "old" || get(1, "user:1") != "other" {
		t.Errorf("%+v, %v, want two keys skipped", r, err)
	}
	if r, err := Copy(ctx, from, to, Options{Existing: Replace}); err != nil || r.Keys != 4 || get(0, "user:1") != "new" {
		t.Errorf("%+v, %v, want all replaced", r, err)
	}
}

// TestCompareFieldsThatExpire: hashes with the same fields differ when those of one expire, which
// reading them does not tell.
func TestCompareFieldsThatExpire(t *testing.T) {
	r := one(t, testbed.Redis(t))
	r.of(0).HSet(t.Context(), "h", "f", "v")
	c := &comparer{a: r, b: newReader(r, "7.4.0")}
	const end = "0123456789"
	expires, never := Entry{Key: "h", Payload: "\x18 expires" + end}, Entry{Key: "h", Payload: "\x04 never" + end}
	for _, pair := range [][2]Entry{{expires, never}, {never, expires}} {
		if err := c.pair(t.Context(), pair[0], pair[1]); err != nil {
			t.Error(err)
		}
	}
	if c.found.Differences != 2 {
		t.Errorf("%d differ, want both", c.found.Differences)
	}
}

// TestCompare tells what differs.
func TestCompare(t *testing.T) {
	ctx := t.Context()
	a, b := one(t, testbed.Redis(t)), one(t, testbed.Redis(t, "--hash-max-listpack-entries", "1", "--zset-max-listpack-entries", "1", "--set-max-intset-entries", "1"))
	fill(t, a, 0)
	fill(t, b, 0) // keeps the same values otherwise, but for the streams, whose times differ
	for _, key := range []string{"stream, groups", "stream, groups, expires"} {
		a.of(0).Del(ctx, key)
		b.of(0).Del(ctx, key)
	}
	if found, err := Compare(ctx, a, b, Options{}, nil); err != nil || !found.Same() {
		t.Errorf("other forms of the same values: %v, %v, want the same", found, err)
	}
	b.of(0).Del(ctx, "plain")
	b.of(0).SAdd(ctx, "set, many", "one more")
	b.of(0).Persist(ctx, "list, expires")
	b.of(0).XAdd(ctx, &redis.XAddArgs{Stream: "stream", Values: []any{"n", 1}})
	b.of(2).Set(ctx, "extra", "", 0)
	a.of(0).Del(ctx, "geo")
	b.of(0).Del(ctx, "geo")
	a.of(0).Set(ctx, "geo", "of another type", 0)
	b.of(0).SAdd(ctx, "geo", "of another type")
	got := map[string]Kind{}
	found, err := Compare(ctx, a, b, Options{}, func(d Difference) error {
		got[fmt.Sprint(d.DB, " ", d.Key)] = d.Kind
		return nil
	})
	want := map[string]Kind{"0 plain": Missing, "0 set, many": Value, "0 list, expires": Expiry, "0 stream": Value, "2 extra": Extra, "0 geo": Value}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) || found.Differences != int64(len(want)) || found.Same() {
		t.Errorf("%v, %v, %v, want %v", found, err, got, want)
	}
}
