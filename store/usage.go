package store

import (
	"context"
	"database/sql"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/respgate/respgate/tenant"
)

// MaxSums bounds how many sums Usage returns.
const MaxSums = 100_000

// AddUsage adds what was done to what was noted of the same minutes, all or nothing. That
// of keys and instances that are not there any more is left out.
func (s *Store) AddUsage(ctx context.Context, usage []tenant.Usage) error {
	if usage = perMinute(usage); len(usage) == 0 {
		return nil
	}
	return s.write(ctx, "add_usage", func(tx statements) error {
		for part := range slices.Chunk(usage, rowsAtOnce) {
			args := make([]any, 0, 8*len(part))
			for _, u := range part {
				args = append(args, u.KeyID, millis(u.At), u.InstanceID, u.Commands, u.Errors, u.Limited, u.BytesIn, u.BytesOut)
			}
			_, err := tx.ExecContext(ctx, `INSERT INTO usage (key_id, at, instance_id, commands, errors, limited, bytes_in, bytes_out)
				SELECT column1, column2, column3, column4, column5, column6, column7, column8
				FROM (VALUES `+values("(CAST(? AS TEXT), CAST(? AS BIGINT), CAST(? AS TEXT)"+strings.Repeat(", CAST(? AS BIGINT)", 5)+")", len(part))+`) AS v
				WHERE EXISTS (SELECT 1 FROM api_keys WHERE id = column1) AND EXISTS (SELECT 1 FROM instances WHERE id = column3)
				ON CONFLICT (key_id, at, instance_id) DO UPDATE SET commands = usage.commands + excluded.commands, errors = usage.errors + excluded.errors,
				limited = usage.limited + excluded.limited, bytes_in = usage.bytes_in + excluded.bytes_in, bytes_out = usage.bytes_out + excluded.bytes_out`, args...)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// perMinute returns the sums of each key, instance and minute, in an order.
func perMinute(usage []tenant.Usage) []tenant.Usage {
	all := slices.Clone(usage)
	for i := range all {
		all[i].At = all[i].At.UTC().Truncate(time.Minute)
	}
	slices.SortFunc(all, func(a, b tenant.Usage) int {
		if c := strings.Compare(a.KeyID, b.KeyID); c != 0 {
			return c
		}
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return strings.Compare(a.InstanceID, b.InstanceID)
	})
	sums := all[:0]
	for _, u := range all {
		if last := len(sums) - 1; last >= 0 && sums[last].KeyID == u.KeyID && sums[last].InstanceID == u.InstanceID && sums[last].At.Equal(u.At) {
			add(&sums[last], u)
			continue
		}
		sums = append(sums, u)
	}
	return sums
}

func add(to *tenant.Usage, u tenant.Usage) {
	to.Commands += u.Commands
	to.Errors += u.Errors
	to.Limited += u.Limited
	to.BytesIn += u.BytesIn
	to.BytesOut += u.BytesOut
}

// UsageFilter says which usage is wanted; what is "" or zero does not matter.
type UsageFilter struct {
	OrgID, KeyID, InstanceID string
	From, To                 time.Time     // from From on, before To
	Step                     time.Duration // that a sum is of, since 1970; 0 is all in one
}

// UsageSum is what was done with a key on an instance in a step of time, which begins at
// At, zero where all is one.
type UsageSum struct {
	tenant.Usage
	Key, Instance string // their names, also those of what is deleted
}

// Usage returns sums by time, key and instance. More than MaxSums are ErrInvalid.
func (s *Store) Usage(ctx context.Context, f UsageFilter) (all []UsageSum, err error) {
	step := f.Step.Milliseconds()
	switch {
	case f.Step == 0:
		step = math.MaxInt64
	case f.Step < time.Minute:
		return nil, invalid("step of %v: want 0s, or 1m or more", f.Step)
	}
	w := where{args: []any{step, step}}
	w.equal("k.org_id", f.OrgID)
	w.equal("u.key_id", f.KeyID)
	w.equal("u.instance_id", f.InstanceID)
	w.between("u.at", f.From, f.To)
	err = s.read(ctx, "usage", func() (err error) {
		all, err = list(ctx, s.db, scanUsage, `SELECT u.at / ? * ? AS step, u.key_id, u.instance_id, k.name, coalesce(i.deleted_name, i.name) AS instance,
			CAST(sum(u.commands) AS BIGINT), CAST(sum(u.errors) AS BIGINT), CAST(sum(u.limited) AS BIGINT), CAST(sum(u.bytes_in) AS BIGINT), CAST(sum(u.bytes_out) AS BIGINT)
			FROM usage u JOIN api_keys k ON k.id = u.key_id JOIN instances i ON i.id = u.instance_id`+w.String()+`
			GROUP BY step, u.key_id, u.instance_id, k.name, instance ORDER BY step, u.key_id, u.instance_id LIMIT ?`, append(w.args, MaxSums+1)...)
		if err == nil && len(all) > MaxSums {
			all, err = nil, invalid("there are more than %d sums: want a longer step or a shorter time", MaxSums)
		}
		return err
	})
	return all, err
}

func scanUsage(row scanner) (u UsageSum, err error) {
	var at sql.NullInt64
	err = row.Scan(&at, &u.KeyID, &u.InstanceID, &u.Key, &u.Instance, &u.Commands, &u.Errors, &u.Limited, &u.BytesIn, &u.BytesOut)
	if at.Int64 > 0 {
		u.At = fromMillis(at)
	}
	return u, err
}
