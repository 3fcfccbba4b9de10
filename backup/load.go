package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"filippo.io/age"
)

// Mapping says which databases of a file are restored, and to which; nil is all to
// themselves.
type Mapping map[int]int

// check reports databases that come together: a key of one would be taken for the same key of
// the other.
func (m Mapping) check() error {
	from := map[int]int{}
	for db, to := range m {
		if other, taken := from[to]; taken {
			return fmt.Errorf("databases %d and %d of the file would both become database %d", min(db, other), max(db, other), to)
		}
		from[to] = db
	}
	return nil
}

// apply gives entries the databases that they go to, and leaves out those of others.
func (m Mapping) apply(entries []Entry) []Entry {
	if m == nil {
		return entries
	}
	kept := entries[:0]
	for _, e := range entries {
		if to, ok := m[e.DB]; ok {
			e.DB = to
			kept = append(kept, e)
		}
	}
	return kept
}

// runs are entries of one database each, at most batchKeys and about batchBytes.
func runs(entries []Entry) iter.Seq[[]Entry] {
	return func(yield func([]Entry) bool) {
		for len(entries) > 0 {
			n, total := 0, 0
			for ; n < len(entries) && n < batchKeys; n++ {
				if total += len(entries[n].Payload); n > 0 && (total > batchBytes || entries[n].DB != entries[0].DB) {
					break
				}
			}
			if !yield(entries[:n]) {
				return
			}
			entries = entries[n:]
		}
	}
}

// Source is a file that can be read from its beginning, several times where it is asked more
// than once.
type Source struct {
	Open       func() (io.ReadCloser, error)
	Once       bool // it can be read once only, as a pipe
	Identities []age.Identity
	Databases  Mapping
}

// each reads all of the file and calls do for its entries, some at a time.
func (s Source) each(ctx context.Context, do func([]Entry) error) (h Header, t Trailer, err error) {
	r, err := s.Open()
	if err != nil {
		return h, t, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	f, err := NewReader(r, s.Identities)
	if err != nil {
		return h, t, err
	}
	defer f.Close()
	for {
		entries, err := f.Next()
		if errors.Is(err, io.EOF) {
			return f.Header, f.Trailer(), nil
		}
		if err != nil {
			return f.Header, t, err
		}
		for some := range runs(s.Databases.apply(entries)) {
			if err := ctx.Err(); err != nil {
				return f.Header, t, err
			}
			if err := do(some); err != nil {
				return f.Header, t, err
			}
		}
	}
}

var errOnce = errors.New("what can be read only once is not checked before: say what becomes of keys that are there (--replace or --skip-existing)")

// Load writes what is in a file to a Redis. Before it begins, all of the file is read and
// checked, and with [Refuse] each of its keys looked for: when there is one, nothing is
// written. Keys that come into being while it runs are not replaced then either.
func Load(ctx context.Context, from Source, to *Redis, o Options) (Result, error) {
	if err := from.Databases.check(); err != nil {
		return Result{}, err
	}
	info, err := to.Info(ctx)
	if err != nil {
		return Result{}, err
	}
	total := int64(0)
	if from.Once && o.Existing == Refuse {
		return Result{}, errOnce
	}
	if !from.Once {
		if total, err = from.preview(ctx, to, o.Existing == Refuse); err != nil {
			return Result{}, err
		}
	}
	busy := map[Difference]int64{} // keys that were there, and how often
	w := &writer{redis: to, version: info.Version, existing: o.Existing}
	if o.Existing == Refuse {
		w.was = func(e Entry) { busy[Difference{DB: e.DB, Key: e.Key}]++ }
	}
	progress, limit := Progress{Total: total}, newLimiter(o.Rate)
	_, _, err = from.each(ctx, func(entries []Entry) error {
		if err := limit.take(ctx, len(entries)); err != nil {
			return err
		}
		if err := w.restore(ctx, entries); err != nil {
			return err
		}
		o.done(&progress, entries)
		return nil
	})
	if err == nil && len(busy) > 0 {
		err = from.twice(ctx, busy, &w.busy)
	}
	return Result{Keys: w.written, Skipped: w.busy.N, Bytes: progress.Bytes}, err
}

// preview reads all of the file, looks for its keys where that is wanted, and returns how
// many there are.
func (s Source) preview(ctx context.Context, to *Redis, look bool) (total int64, err error) {
	found := &ExistsError{}
	_, _, err = s.each(ctx, func(entries []Entry) error {
		if err := to.fits(entries); err != nil {
			return err
		}
		total += int64(len(entries))
		if !look {
			return nil
		}
		keys := make([]string, len(entries))
		for i, e := range entries {
			keys[i] = e.Key
		}
		missing, err := absent(ctx, to, entries[0].DB, keys)
		if err != nil {
			return err
		}
		for _, key := range without(keys, missing) {
			found.add(key)
		}
		return nil
	})
	if err == nil && found.N > 0 {
		err = found
	}
	return total, err
}

// twice tells keys that the file has several times, as SCAN may bring them, from those that
// others have written while it was restored.
func (s Source) twice(ctx context.Context, busy map[Difference]int64, found *ExistsError) error {
	for key := range busy {
		busy[key]++ // one of them may be there because the first was written
	}
	_, _, err := s.each(ctx, func(entries []Entry) error {
		for _, e := range entries {
			key := Difference{DB: e.DB, Key: e.Key}
			if _, ok := busy[key]; ok {
				busy[key]--
			}
		}
		return nil
	})
	*found = ExistsError{}
	for key, n := range busy {
		if n > 0 {
			found.add(key.Key)
		}
	}
	if slices.Sort(found.Keys); err == nil && found.N > 0 {
		err = found
	}
	return err
}

// fits reports entries of databases that a cluster has not.
func (r *Redis) fits(entries []Entry) error {
	if r.cluster != nil && entries[0].DB != 0 {
		return fmt.Errorf("the target is a cluster, which has database 0 only, and there are keys in database %d: a restore chooses which become its own (--database %d:0)", entries[0].DB, entries[0].DB)
	}
	return nil
}

// Verified says what was found of a file.
type Verified struct {
	Header  Header
	Trailer Trailer
	Opened  bool       // its entries were looked at, which takes an identity where they are encrypted
	Against Comparison // with a Redis, where there is one
}

// Verify reads all of a file. With to, which may be nil, its entries are compared key by key
// with what that has; keys that only that has are not looked for. Without an identity the
// checksums of a file that is encrypted are checked.
func Verify(ctx context.Context, from Source, to *Redis, o Options) (v Verified, err error) {
	if err := from.Databases.check(); err != nil {
		return v, err
	}
	if to == nil && len(from.Identities) == 0 && !from.Once {
		if v, err = from.checksums(ctx); err != nil || v.Header.Seal != nil {
			return v, err
		}
	}
	c := &comparer{}
	if to != nil {
		info, err := to.Info(ctx)
		if err != nil {
			return v, err
		}
		c.b = newReader(to, info.Version)
	}
	progress, limit := Progress{}, newLimiter(o.Rate)
	v.Opened = true
	v.Header, v.Trailer, err = from.each(ctx, func(entries []Entry) error {
		if to != nil {
			if err := limit.take(ctx, len(entries)); err != nil {
				return err
			}
			if err := c.compare(ctx, entries); err != nil {
				return err
			}
		}
		o.done(&progress, entries)
		return nil
	})
	v.Against = c.found
	return v, err
}

// checksums checks a file without looking at its entries.
func (s Source) checksums(ctx context.Context) (v Verified, err error) {
	r, err := s.Open()
	if err != nil {
		return v, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	f, err := readHeader(r)
	if err != nil {
		return v, err
	}
	f.sealed = true
	for v.Header = f.Header; ; {
		kind, _, err := f.next()
		if err != nil || kind == trailerChunk {
			if err == nil {
				v.Trailer = f.Trailer()
			}
			return v, errors.Join(err, ctx.Err())
		}
	}
}
