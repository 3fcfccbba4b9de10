package backup

import (
	"context"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Synced says what it took to make one Redis as another one is.
type Synced struct {
	Keys    int64 // compared
	Copied  int64
	Deleted int64
}

// Changed is how many keys were not the same.
func (s Synced) Changed() int64 { return s.Copied + s.Deleted }

// Sync makes to as from is: it compares all keys, copies those that differ, and deletes what
// from has not. Where nothing is written to either meanwhile, both have the same at the end:
// each key was found so, or to has confirmed it. It may be used again and again while from
// is written to; it copies the less each time.
//
// Its error is a *[TooLargeError] when all other keys are the same.
func Sync(ctx context.Context, from, to *Redis, o Options) (s Synced, err error) {
	source, err := from.Info(ctx)
	if err != nil {
		return s, fmt.Errorf("source: %w", err)
	}
	target, err := to.Info(ctx)
	if err != nil {
		return s, fmt.Errorf("target: %w", err)
	}
	m := &mender{
		rd: newReader(from, source.Version), w: &writer{redis: to, version: target.Version, existing: Replace},
		copies: map[int][]string{}, extras: map[int][]string{},
	}
	found, err := Compare(ctx, from, to, o, func(d Difference) error { return m.differs(ctx, d) })
	if err == nil {
		err = m.flush(ctx)
	}
	s = Synced{Keys: found.Keys, Copied: m.w.written, Deleted: m.deleted}
	if err == nil {
		err = m.rd.shortage()
	}
	return s, err
}

// mender copies and deletes what differs, some keys at a time.
type mender struct {
	rd             *reader
	w              *writer
	copies, extras map[int][]string // by database
	deleted        int64
}

func (m *mender) differs(ctx context.Context, d Difference) error {
	into := m.copies
	if d.Kind == Extra {
		into = m.extras
	}
	into[d.DB] = append(into[d.DB], d.Key)
	if len(into[d.DB]) < batchKeys {
		return nil
	}
	return m.flush(ctx)
}

func (m *mender) flush(ctx context.Context) error {
	for db, keys := range m.copies {
		delete(m.copies, db)
		there := map[string]bool{}
		err := m.rd.read(ctx, db, keys, func(entries []Entry) error {
			for _, e := range entries {
				there[e.Key] = true
			}
			return m.w.restore(ctx, entries)
		})
		if err != nil {
			return err
		}
		for _, key := range keys { // gone since it was compared
			if !there[key] {
				m.extras[db] = append(m.extras[db], key)
			}
		}
	}
	for db, keys := range m.extras {
		delete(m.extras, db)
		pipe := m.w.redis.of(db).Pipeline()
		for _, key := range keys {
			pipe.Unlink(ctx, key)
		}
		answers, err := pipe.Exec(ctx)
		if err != nil {
			return fmt.Errorf("target: UNLINK: %w", err)
		}
		for _, answer := range answers {
			m.deleted += answer.(*redis.IntCmd).Val()
		}
	}
	return nil
}

// Clear deletes all keys of the databases that match; nil is all databases that have keys.
func Clear(ctx context.Context, r *Redis, o Options) (deleted int64, err error) {
	info, err := r.Info(ctx)
	if err != nil {
		return 0, err
	}
	total := info.total(o.Match, o.Databases)
	m := &mender{w: &writer{redis: r}, extras: map[int][]string{}}
	err = r.scan(ctx, o.Match, o.Databases, &Position{}, func(db int, keys []string, _ Position) error {
		m.extras[db] = keys
		err := m.flush(ctx)
		o.tell(Progress{Keys: m.deleted, Total: total})
		return err
	})
	return m.deleted, err
}

// CopyFunctions has to have the libraries of functions that from has, in place of those of the same
// name; where it is alone there, in place of all. Redis before 7.0 has none. A user who may not ask for them gets the error.
func CopyFunctions(ctx context.Context, from, to *Redis, alone bool) error {
	nodes, info, err := from.survey(ctx)
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	if major(info.Version) < 7 || len(nodes) == 0 {
		return nil
	}
	db := from.server.DB
	libraries, err := nodes[0].client(db).FunctionDump(ctx).Result()
	if err != nil {
		return fmt.Errorf("source: FUNCTION DUMP: %w", err)
	}
	targets, _, err := to.survey(ctx)
	if err != nil {
		return fmt.Errorf("target: %w", err)
	}
	others := "REPLACE"
	if alone {
		others = "FLUSH"
	}
	for _, n := range targets {
		err := n.client(to.server.DB).Do(ctx, "FUNCTION", "RESTORE", libraries, others).Err()
		if err != nil && !strings.Contains(err.Error(), "unknown") {
			return fmt.Errorf("target: FUNCTION RESTORE: %w", err)
		}
	}
	return nil
}
