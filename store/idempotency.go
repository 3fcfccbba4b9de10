package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// ClaimTime is how long a request that is not answered keeps others with its key away: who
// had it answered has died.
const ClaimTime = 2 * time.Minute

// maxIdempotencyKey bounds an idempotency key, in bytes.
const maxIdempotencyKey = 255

// Claim asks whether owner's request with that idempotency key, whose hash is request, has
// to be done: it has where done is false, and Answer or Release has to follow; else answer
// is what the first was answered. ErrReused when the key was another request's, and
// ErrConflict when the first is being done, at at.
func (s *Store) Claim(ctx context.Context, owner, key string, request [32]byte, at time.Time) (answer []byte, done bool, err error) {
	if key == "" || len(key) > maxIdempotencyKey {
		return nil, false, invalid("idempotency key of %d bytes: want 1 to %d", len(key), maxIdempotencyKey)
	}
	err = s.write(ctx, "claim", func(tx statements) error {
		var first, sealed []byte
		var claimed sql.NullInt64
		err := tx.QueryRowContext(ctx, "SELECT request, answer, created_at FROM idempotency WHERE owner = ? AND key = ?", owner, key).Scan(&first, &sealed, &claimed)
		switch {
		case err != nil && !errors.Is(err, sql.ErrNoRows):
			return err
		case err == nil && !bytes.Equal(first, request[:]):
			return &problem{ErrReused, fmt.Sprintf("idempotency key %q was used for another request", key)}
		case sealed != nil:
			text, err := s.seal.open(sealed, answerPurpose(owner, key))
			answer, done = []byte(text), err == nil
			return err
		case err == nil && at.Sub(fromMillis(claimed)) < ClaimTime:
			return conflict("the request with idempotency key %q is being done", key)
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO idempotency (owner, key, request, created_at) VALUES (?, ?, ?, ?)
			ON CONFLICT (owner, key) DO UPDATE SET created_at = excluded.created_at`, owner, key, request[:], millis(at))
		return err
	})
	return answer, done, err
}

// answerPurpose is what an answer is sealed for.
func answerPurpose(owner, key string) string { return "answer " + owner + " " + key }

// Answer keeps what a request that was claimed is answered, readable for nobody else.
func (s *Store) Answer(ctx context.Context, owner, key string, answer []byte) error {
	return s.write(ctx, "answer", func(tx statements) error {
		n, err := affected(ctx, tx, "UPDATE idempotency SET answer = ? WHERE owner = ? AND key = ?",
			s.seal.seal(string(answer), answerPurpose(owner, key)), owner, key)
		if err == nil && n == 0 {
			err = notFound("request with idempotency key %q", key)
		}
		return err
	})
}

// Release forgets a request that was claimed and not answered: it may be done again.
func (s *Store) Release(ctx context.Context, owner, key string) error {
	return s.write(ctx, "release", func(tx statements) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM idempotency WHERE owner = ? AND key = ? AND answer IS NULL", owner, key)
		return err
	})
}
