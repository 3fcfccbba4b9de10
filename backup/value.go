package backup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// page is how many elements of a large value are read at a time.
const page = 1000

// absent returns those of the keys that are not there.
func absent(ctx context.Context, r *Redis, db int, keys []string) (missing []string, _ error) {
	if len(keys) == 0 {
		return nil, nil
	}
	pipe := r.of(db).Pipeline()
	there := make([]*redis.IntCmd, len(keys))
	for i, key := range keys {
		there[i] = pipe.Exists(ctx, key)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("EXISTS: %w", err)
	}
	for i, key := range keys {
		if there[i].Val() == 0 {
			missing = append(missing, key)
		}
	}
	return missing, nil
}

// without returns the keys that are not among others, which are in the same order.
func without(keys, others []string) (rest []string) {
	for _, key := range keys {
		if len(others) > 0 && others[0] == key {
			others = others[1:]
			continue
		}
		rest = append(rest, key)
	}
	return rest
}

// sameValue compares what clients read of a key on both sides: payloads also tell how a
// version of Redis keeps a value, and in which order, which for sets and hashes is chance.
func (c *comparer) sameValue(ctx context.Context, e Entry) (bool, error) {
	if c.a == nil {
		return false, nil
	}
	a, b := c.a.of(e.DB), c.b.redis.of(e.DB)
	kind, err := a.Type(ctx, e.Key).Result()
	if err != nil {
		return false, err
	}
	other, err := b.Type(ctx, e.Key).Result()
	if err != nil || kind != other {
		return false, err
	}
	read := contents[kind]
	if read == nil {
		return false, nil // of a module: its payload is all that is known of it
	}
	was, err := read(ctx, a, e.Key)
	if err != nil {
		return false, unlessGone(err)
	}
	is, err := read(ctx, b, e.Key)
	return err == nil && reflect.DeepEqual(was, is), unlessGone(err)
}

// unlessGone leaves out errors that say that a key is not there any more, or is of another type.
func unlessGone(err error) error {
	if errors.Is(err, redis.Nil) || isReply(err) && (strings.HasPrefix(err.Error(), "WRONGTYPE ") || err.Error() == "ERR no such key") {
		return nil
	}
	return err
}

// contents read what a key of a type holds, in an order that is always the same.
var contents = map[string]func(ctx context.Context, c redis.UniversalClient, key string) (any, error){
	"string": func(ctx context.Context, c redis.UniversalClient, key string) (any, error) {
		return c.Get(ctx, key).Result()
	},
	"set":  members,
	"hash": fields,
	"list": func(ctx context.Context, c redis.UniversalClient, key string) (any, error) {
		return pages(func(from int64) ([]string, error) { return c.LRange(ctx, key, from, from+page-1).Result() })
	},
	"zset": func(ctx context.Context, c redis.UniversalClient, key string) (any, error) {
		return pages(func(from int64) ([]redis.Z, error) { return c.ZRangeWithScores(ctx, key, from, from+page-1).Result() })
	},
	"stream": stream,
}

// pages reads a value page by page.
func pages[T any](read func(from int64) ([]T, error)) (all []T, _ error) {
	for {
		some, err := read(int64(len(all)))
		if all = append(all, some...); err != nil || len(some) < page {
			return all, err
		}
	}
}

// members reads a set; SSCAN may give a member twice.
func members(ctx context.Context, c redis.UniversalClient, key string) (any, error) {
	all := map[string]struct{}{}
	for cursor := uint64(0); ; {
		some, next, err := c.SScan(ctx, key, cursor, "", page).Result()
		for _, m := range some {
			all[m] = struct{}{}
		}
		if cursor = next; err != nil || cursor == 0 {
			return all, err
		}
	}
}

// fields reads a hash; HSCAN may give a field twice.
func fields(ctx context.Context, c redis.UniversalClient, key string) (any, error) {
	all := map[string]string{}
	for cursor := uint64(0); ; {
		some, next, err := c.HScan(ctx, key, cursor, "", page).Result()
		for pair := range slices.Chunk(some, 2) {
			all[pair[0]] = pair[len(pair)-1]
		}
		if cursor = next; err != nil || cursor == 0 {
			return all, err
		}
	}
}

// stream reads a stream with its groups, their consumers and what these have not
// acknowledged.
func stream(ctx context.Context, c redis.UniversalClient, key string) (any, error) {
	var entries []redis.XMessage
	for from := "-"; ; {
		some, err := c.XRangeN(ctx, key, from, "+", page).Result()
		if entries = append(entries, some...); err != nil {
			return nil, err
		}
		if len(some) < page {
			break
		}
		from = "(" + some[len(some)-1].ID
	}
	about, err := c.Do(ctx, "XINFO", "STREAM", key, "FULL", "COUNT", 0).Result()
	return []any{entries, plain(about)}, err
}

// leftOut are fields of XINFO that say how a server keeps the stream or when a consumer was
// last seen, or that not all versions have; the entries are read by themselves.
var leftOut = []string{"entries", "radix-tree-keys", "radix-tree-nodes", "seen-time", "active-time", "max-deleted-entry-id", "entries-added", "entries-read", "lag", "recorded-first-entry-id"}

// plain makes an answer of RESP2 or RESP3 the same, without the fields that are left out.
func plain(v any) any {
	switch v := v.(type) {
	case map[any]any:
		var list []any
		for _, k := range slices.SortedFunc(maps.Keys(v), compareText) {
			list = append(list, k, v[k])
		}
		return plain(list)
	case []any:
		var list []any
		for i := 0; i < len(v); i++ {
			if name, ok := v[i].(string); ok && i+1 < len(v) && slices.Contains(leftOut, name) {
				i++
				continue
			}
			list = append(list, plain(v[i]))
		}
		return list
	}
	return v
}

func compareText(a, b any) int {
	x, y := fmt.Sprint(a), fmt.Sprint(b)
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}
