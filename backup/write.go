package backup

import (
	"context"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Existing says what becomes of a key that the target has.
type Existing uint8

// The choices.
const (
	Refuse  Existing = iota // nothing is written over, and that is an error
	Replace                 // it is replaced
	Skip                    // it stays as it is
)

// ExistsError says which keys the target has.
type ExistsError struct {
	Keys []string // the first of them
	N    int64
}

// Error implements error.
func (e *ExistsError) Error() string {
	return fmt.Sprintf("the target has %d of the keys: %s", e.N, quoted(e.Keys, e.N))
}

// add counts a key.
func (e *ExistsError) add(key string) {
	if e.N++; len(e.Keys) < maxNamed {
		e.Keys = append(e.Keys, key)
	}
}

// UnreadableError says that the target does not read what the source has written.
type UnreadableError struct {
	Key     string
	Version string // of the target
}

// Error implements error.
func (e *UnreadableError) Error() string {
	return fmt.Sprintf("Redis %s does not read the value of key %.100q: a newer Redis has written it, or one with a module that is missing there; the target has to be at least as new as the source", e.Version, e.Key)
}

// writer writes entries.
type writer struct {
	redis    *Redis
	version  string
	existing Existing
	written  int64
	busy     ExistsError // keys that were there, and were not replaced
	was      func(Entry) // unless nil is called for each of those
}

// restore writes entries of one database, at most about batchBytes.
func (w *writer) restore(ctx context.Context, entries []Entry) error {
	if err := w.redis.fits(entries); err != nil {
		return err
	}
	pipe := w.redis.of(entries[0].DB).Pipeline()
	answers := make([]*redis.Cmd, len(entries))
	for i, e := range entries {
		args := []any{"RESTORE", e.Key, e.Expires, e.Payload, "ABSTTL"}
		if w.existing == Replace {
			args = append(args, "REPLACE")
		}
		answers[i] = pipe.Do(ctx, args...)
	}
	_, execErr := pipe.Exec(ctx)
	for i, e := range entries {
		err := answers[i].Err()
		switch {
		case err == nil:
			w.written++
		case !isReply(err):
			return fmt.Errorf("RESTORE: %w", err)
		case strings.HasPrefix(err.Error(), "BUSYKEY"):
			w.busy.add(e.Key)
			if w.was != nil {
				w.was(e)
			}
		case strings.Contains(err.Error(), "DUMP payload version or checksum"), strings.Contains(err.Error(), "Bad data format"):
			return &UnreadableError{Key: e.Key, Version: w.version}
		default:
			return fmt.Errorf("RESTORE of key %.100q: %w", e.Key, err)
		}
	}
	if execErr != nil && !isReply(execErr) {
		return fmt.Errorf("RESTORE: %w", execErr)
	}
	return nil
}

// refusal is the error for keys that were there and had to be let be.
func (w *writer) refusal() error {
	if w.existing == Refuse && w.busy.N > 0 {
		return &w.busy
	}
	return nil
}

// shortage is the error for keys that are too large.
func (rd *reader) shortage() error {
	if rd.large.N > 0 {
		return &rd.large
	}
	return nil
}
