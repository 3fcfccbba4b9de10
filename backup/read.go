package backup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// batchKeys and batchBytes bound what one pipeline asks for or brings, but that one value
	// may be larger. The server's other clients wait for about as long as it takes.
	batchKeys  = 256
	batchBytes = 1 << 20

	// MaxValue is the longest payload that is copied, in bytes: Redis takes no longer argument
	// (proto-max-bulk-len).
	MaxValue = 512 << 20

	// maxReads bounds how often a key is read again whose expiry changes all the time.
	maxReads = 100
)

var errChanging = errors.New("its expiry changed each time it was read")

// Entry is a key with its value.
type Entry struct {
	DB      int
	Key     string
	Expires int64  // when, in milliseconds since 1970; 0 is never
	Payload string // as DUMP gives it
}

// TooLargeError says which keys have not been copied, for their payloads are longer than
// [MaxValue].
type TooLargeError struct {
	Keys []string // the first of them
	N    int64
}

// Error implements error.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%d keys are left out: each is larger than the %d MiB that Redis takes as one argument: %s", e.N, MaxValue>>20, quoted(e.Keys, e.N))
}

// maxNamed is how many keys an error names.
const maxNamed = 5

// quoted lists keys of which there may be more.
func quoted(keys []string, n int64) string {
	var names []string
	for _, key := range keys {
		names = append(names, fmt.Sprintf("%.100q", key))
	}
	if n > int64(len(keys)) {
		names = append(names, "…")
	}
	return strings.Join(names, ", ")
}

// add counts a key.
func (e *TooLargeError) add(key string) {
	if e.N++; len(e.Keys) < maxNamed {
		e.Keys = append(e.Keys, key)
	}
}

// reader reads keys' values.
type reader struct {
	redis   *Redis
	modern  bool // it knows PEXPIRETIME
	blind   bool // its user may not run MEMORY
	large   TooLargeError
	maximum int // MaxValue
}

func newReader(r *Redis, version string) *reader {
	return &reader{redis: r, modern: major(version) >= 7 && !r.oldTimes, maximum: MaxValue}
}

// sized is a key that is about to be read.
type sized struct {
	key     string
	expires int64
	bytes   int64 // about
}

// read gives the keys that there are to emit, at most batchKeys and about batchBytes at a
// time. Value and expiry of an entry are of the same moment: the expiry was the same before
// and after.
func (rd *reader) read(ctx context.Context, db int, keys []string, emit func([]Entry) error) error {
	for try := 0; len(keys) > 0; try++ {
		if try == maxReads {
			return fmt.Errorf("key %.100q: %w", keys[0], errChanging)
		}
		var again []string
		for len(keys) > 0 {
			n := min(len(keys), batchKeys)
			some, err := rd.weigh(ctx, db, keys[:n])
			if err != nil {
				return err
			}
			keys = keys[n:]
			for len(some) > 0 {
				n := together(some)
				entries, changed, err := rd.dump(ctx, db, some[:n])
				if err != nil {
					return err
				}
				some, again = some[n:], append(again, changed...)
				if len(entries) == 0 {
					continue
				}
				if err := emit(entries); err != nil {
					return err
				}
			}
		}
		keys = again
	}
	return nil
}

// together is how many of them are about batchBytes.
func together(some []sized) (n int) {
	for total := int64(0); n < len(some); n++ {
		if total += some[n].bytes; total > batchBytes && n > 0 {
			break
		}
	}
	return n
}

// weigh asks when keys expire and how large they are, about.
func (rd *reader) weigh(ctx context.Context, db int, keys []string) ([]sized, error) {
	pipe := rd.redis.of(db).Pipeline()
	times := rd.times(ctx, pipe, len(keys))
	bytes := make([]*redis.IntCmd, len(keys))
	for i, key := range keys {
		times.ask(i, key)
		if !rd.blind {
			bytes[i] = pipe.MemoryUsage(ctx, key, 5)
		}
	}
	_, execErr := pipe.Exec(ctx)
	some := make([]sized, 0, len(keys))
	for i, key := range keys {
		expires, there, err := times.answer(i)
		if err != nil {
			return nil, fmt.Errorf("the expiry of a key: %w", err)
		}
		if !there {
			continue
		}
		// Without MEMORY nobody knows how large a value is: they are read a few at a time.
		size := int64(batchBytes / 16)
		if bytes[i] != nil {
			switch size, err = bytes[i].Result(); {
			case errors.Is(err, redis.Nil):
				continue
			case isReply(err):
				rd.blind = true
				size = batchBytes / 16
			case err != nil:
				return nil, fmt.Errorf("MEMORY USAGE: %w", err)
			}
		}
		some = append(some, sized{key, expires, size})
	}
	if execErr != nil && !isReply(execErr) && !errors.Is(execErr, redis.Nil) {
		return nil, execErr
	}
	return some, nil
}

// dump reads values. Those keys whose expiry has changed meanwhile are to be read again.
func (rd *reader) dump(ctx context.Context, db int, some []sized) (entries []Entry, again []string, _ error) {
	pipe := rd.redis.of(db).Pipeline()
	dumps := make([]*redis.StringCmd, len(some))
	times := rd.times(ctx, pipe, len(some))
	for i, s := range some {
		dumps[i] = pipe.Dump(ctx, s.key)
		times.ask(i, s.key)
	}
	_, execErr := pipe.Exec(ctx)
	for i, s := range some {
		payload, err := dumps[i].Result()
		if errors.Is(err, redis.Nil) {
			continue
		}
		expires, there, timeErr := times.answer(i)
		switch {
		case err != nil:
			return nil, nil, fmt.Errorf("DUMP: %w", err)
		case timeErr != nil:
			return nil, nil, fmt.Errorf("the expiry of a key: %w", timeErr)
		case !there || !rd.sameTime(s.expires, expires):
			again = append(again, s.key)
		case len(payload) > rd.maximum:
			rd.large.add(s.key)
		default:
			entries = append(entries, Entry{db, s.key, expires, payload})
		}
	}
	if execErr != nil && !errors.Is(execErr, redis.Nil) {
		return nil, nil, execErr
	}
	return entries, again, nil
}

// expiries are questions when keys expire.
type expiries struct {
	ctx    context.Context
	pipe   redis.Pipeliner
	modern bool
	now    *redis.TimeCmd  // the server's clock, which PTTL counts from
	asked  []*redis.IntCmd // go-redis's durations end in 2262
}

func (rd *reader) times(ctx context.Context, pipe redis.Pipeliner, n int) *expiries {
	e := &expiries{ctx: ctx, pipe: pipe, modern: rd.modern, asked: make([]*redis.IntCmd, n)}
	if !e.modern {
		e.now = pipe.Time(ctx)
	}
	return e
}

func (e *expiries) ask(i int, key string) {
	name := "PTTL"
	if e.modern {
		name = "PEXPIRETIME"
	}
	e.asked[i] = redis.NewIntCmd(e.ctx, name, key)
	_ = e.pipe.Process(e.ctx, e.asked[i]) // in a pipeline it only waits to be sent
}

// answer returns when a key expires, in milliseconds since 1970, 0 for never, and whether
// it is there.
func (e *expiries) answer(i int) (expires int64, there bool, err error) {
	ms, err := e.asked[i].Result()
	switch {
	case err != nil, ms == -2:
		return 0, false, err
	case ms == -1:
		return 0, true, nil
	case e.modern:
		return ms, true, nil
	}
	now, err := e.now.Result()
	return now.UnixMilli() + ms, true, err
}

// sameTime reports whether two expiries of a key are the same one: those that PTTL gives are
// not exact.
func (rd *reader) sameTime(a, b int64) bool {
	const slack = int64(time.Second / time.Millisecond)
	if rd.modern || a == 0 || b == 0 {
		return a == b
	}
	return max(a, b)-min(a, b) < slack
}

// isReply reports whether err is what a server has answered.
func isReply(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply) && !errors.Is(err, redis.Nil)
}
