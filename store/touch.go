package store

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"
)

// rowsAtOnce is how many rows one statement writes.
const rowsAtOnce = 200

// values returns row, its placeholders in brackets, n times.
func values(row string, n int) string {
	return strings.TrimSuffix(strings.Repeat(row+", ", n), ", ")
}

// Touch notes by id when keys and tokens were last used. A later time stays, who is not
// there is left out, and neither versions nor proxies' caches are concerned.
func (s *Store) Touch(ctx context.Context, keys, tokens map[string]time.Time) error {
	if len(keys)+len(tokens) == 0 {
		return nil
	}
	return s.write(ctx, "touch", func(tx statements) error {
		for table, used := range map[string]map[string]time.Time{"api_keys": keys, "tokens": tokens} {
			for ids := range slices.Chunk(slices.Sorted(maps.Keys(used)), rowsAtOnce) {
				args := make([]any, 0, 2*len(ids))
				for _, id := range ids {
					args = append(args, id, millis(used[id]))
				}
				_, err := tx.ExecContext(ctx, "UPDATE "+table+" SET last_used_at = v.column2 FROM (VALUES "+values("(CAST(? AS TEXT), CAST(? AS BIGINT))", len(ids))+`) AS v
					WHERE id = v.column1 AND (last_used_at IS NULL OR last_used_at < v.column2)`, args...)
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
}
