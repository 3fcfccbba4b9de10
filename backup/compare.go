package backup

import (
	"context"
	"fmt"
	"time"
)

// Kind says in what a key differs.
type Kind uint8

// The kinds.
const (
	Missing Kind = iota // b has not what a has
	Extra               // b has what a has not
	Value               // the values differ
	Expiry              // the values are the same, and the expiries differ
)

// String returns the kind's name.
func (k Kind) String() string {
	return [...]string{"missing", "extra", "value", "expiry"}[k]
}

// Difference is a key that is not the same on both sides.
type Difference struct {
	Kind Kind
	DB   int
	Key  string
}

// Comparison says how two Redises differ.
type Comparison struct {
	Keys        int64 // of a that were compared
	Differences int64
	First       []Difference // the first of them
}

// Same reports whether they do not differ.
func (c Comparison) Same() bool { return c.Differences == 0 }

// String says what differs, for people.
func (c Comparison) String() string {
	if c.Same() {
		return fmt.Sprintf("%d keys are the same", c.Keys)
	}
	text := fmt.Sprintf("%d of %d keys differ:", c.Differences, c.Keys)
	for _, d := range c.First {
		text += fmt.Sprintf(" %.100q (database %d, %s)", d.Key, d.DB, d.Kind)
	}
	return text
}

// add counts a difference.
func (c *Comparison) add(d Difference) {
	if c.Differences++; len(c.First) < maxNamed {
		c.First = append(c.First, d)
	}
}

// comparer compares what a has with b.
type comparer struct {
	b       *reader
	a       *Redis // nil: its values are known by their payloads only
	found   Comparison
	differs func(Difference) error
}

// Compare compares all keys of a and b, one by one: their values, by their payloads and where
// these differ by what clients read, and when they expire. differs, unless nil, is called for
// each that differs. Without it a key that has expired, or is about to, may be missing.
func Compare(ctx context.Context, a, b *Redis, o Options, differs func(Difference) error) (Comparison, error) {
	infoA, err := a.Info(ctx)
	if err != nil {
		return Comparison{}, fmt.Errorf("source: %w", err)
	}
	infoB, err := b.Info(ctx)
	if err != nil {
		return Comparison{}, fmt.Errorf("target: %w", err)
	}
	c := &comparer{b: newReader(b, infoB.Version), a: a, differs: differs}
	rd, limit := newReader(a, infoA.Version), newLimiter(o.Rate)
	progress := Progress{Total: infoA.total(o.Match, o.Databases)}
	err = a.scan(ctx, o.Match, o.Databases, &Position{}, func(db int, keys []string, _ Position) error {
		if err := limit.take(ctx, len(keys)); err != nil {
			return err
		}
		return rd.read(ctx, db, keys, func(entries []Entry) error {
			if err := c.compare(ctx, entries); err != nil {
				return err
			}
			o.done(&progress, entries)
			return nil
		})
	})
	if err != nil {
		return c.found, err
	}
	if err := c.extras(ctx, b, o, limit); err != nil {
		return c.found, err
	}
	return c.found, rd.shortage()
}

func (c *comparer) differ(kind Kind, db int, key string) error {
	d := Difference{kind, db, key}
	c.found.add(d)
	if c.differs == nil {
		return nil
	}
	return c.differs(d)
}

// compare compares entries of one database with what b has.
func (c *comparer) compare(ctx context.Context, entries []Entry) error {
	if err := c.b.redis.fits(entries); err != nil {
		return err
	}
	keys := make([]string, len(entries))
	for i, e := range entries {
		keys[i] = e.Key
	}
	has := make(map[string]Entry, len(entries))
	err := c.b.read(ctx, entries[0].DB, keys, func(some []Entry) error {
		for _, e := range some {
			has[e.Key] = e
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, e := range entries {
		c.found.Keys++
		other, there := has[e.Key]
		switch {
		case !there:
			// Who mends differences finds out whether it is there still, which a clock does not say.
			if c.differs != nil || !expired(e) {
				err = c.differ(Missing, e.DB, e.Key)
			}
		default:
			err = c.pair(ctx, e, other)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pair compares a key that both have.
func (c *comparer) pair(ctx context.Context, e, other Entry) error {
	if !samePayload(e.Payload, other.Payload) {
		same, err := false, error(nil)
		if isPlain(e.Payload) && isPlain(other.Payload) {
			same, err = c.sameValue(ctx, e)
		}
		if err != nil {
			return fmt.Errorf("key %.100q: %w", e.Key, err)
		}
		if !same {
			return c.differ(Value, e.DB, e.Key)
		}
	}
	if e.Expires != other.Expires && !c.b.sameTime(e.Expires, other.Expires) {
		return c.differ(Expiry, e.DB, e.Key)
	}
	return nil
}

// expired reports whether an entry's key is to be gone by now. Servers' clocks are not ours.
func expired(e Entry) bool {
	const slack = int64(10 * time.Second / time.Millisecond)
	return e.Expires != 0 && e.Expires <= time.Now().UnixMilli()+slack
}

// extras looks for keys of b that a has not.
func (c *comparer) extras(ctx context.Context, b *Redis, o Options, limit limiter) error {
	return b.scan(ctx, o.Match, o.Databases, &Position{}, func(db int, keys []string, _ Position) error {
		if err := limit.take(ctx, len(keys)); err != nil {
			return err
		}
		missing, err := absent(ctx, c.a, db, keys)
		if err != nil || len(missing) == 0 {
			return err
		}
		// Those that have expired meanwhile are gone on both sides.
		gone, err := absent(ctx, b, db, missing)
		if err != nil {
			return err
		}
		for _, key := range without(missing, gone) {
			if err := c.differ(Extra, db, key); err != nil {
				return err
			}
		}
		return nil
	})
}
