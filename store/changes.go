package store

import (
	"context"
	"database/sql"
	"strings"

	"github.com/respgate/respgate/tenant"
)

const (
	// keptChanges is how many changes are remembered: who is further behind looks at
	// everything again.
	keptChanges = 10_000
	// changesAtOnce bounds one answer.
	changesAtOnce = 1000
)

// changed returns a function that notes changes by notes, all with the same
// arguments, forgets the oldest, and tells other processes.
func (d *database) changed(ctx context.Context, tx statements, notes ...string) func(args ...any) error {
	return func(args ...any) error {
		if err := runAll(ctx, tx, notes, args...); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM changes WHERE seq <= (SELECT max(seq) FROM changes) - ?", keptChanges)
		if err == nil && d.dialect.changed != "" {
			_, err = tx.ExecContext(ctx, d.dialect.changed)
		}
		return err
	}
}

// maxSession bounds the id of a session, in bytes.
const maxSession = 64

// EndSession notes that the client's session with that id is to end, for the proxy that
// has it.
func (s *Store) EndSession(ctx context.Context, id string) error {
	if id == "" || len(id) > maxSession || strings.Trim(id, base62+"-") != "" {
		return invalid("session id %.80q: want 1 to %d of 0-9, A-Z, a-z and '-'", id, maxSession)
	}
	return s.write(ctx, "end_session", func(tx statements) error {
		return s.changed(ctx, tx, "INSERT INTO changes (session) VALUES (?)")(id)
	})
}

// Changes returns the changes after the one with number after, the oldest first, at
// most a thousand. Where there are none, Seq is the newest change's number: it is less
// than after when the store is another than it was; that is told by Complete too.
func (s *Store) Changes(ctx context.Context, after int64) (c tenant.Changes, err error) {
	err = s.read(ctx, "changes", func() error {
		// One statement sees one state of the table.
		rows, err := s.db.QueryContext(ctx, `SELECT c.seq, c.key_id, c.deleted, c.session, b.oldest, b.newest, b.moves
			FROM (SELECT coalesce(min(seq), 0) AS oldest, coalesce(max(seq), 0) AS newest, (SELECT count(*) FROM moves) AS moves FROM changes) b
			LEFT JOIN changes c ON c.seq > ? ORDER BY c.seq LIMIT ?`, after, changesAtOnce)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		if c, err = scanChanges(rows, after); err == nil && s.watcher.suspect() {
			c = tenant.Changes{Seq: c.Seq, Moves: c.Moves} // whatever has changed: all is suspect
		}
		return err
	})
	return c, err
}

func scanChanges(rows *sql.Rows, after int64) (c tenant.Changes, err error) {
	for rows.Next() {
		var seq sql.NullInt64
		var key, deleted, session sql.NullString
		var oldest, newest int64
		if err := rows.Scan(&seq, &key, &deleted, &session, &oldest, &newest, &c.Moves); err != nil {
			return c, err
		}
		switch {
		case oldest > after+1: // some have been forgotten
			return tenant.Changes{Seq: newest, Moves: c.Moves}, nil
		case !seq.Valid:
			return tenant.Changes{Seq: newest, Complete: true, Moves: c.Moves}, nil
		}
		c.Seq, c.Complete = seq.Int64, true
		if key.Valid {
			c.Keys = append(c.Keys, key.String)
		}
		if deleted.Valid {
			c.Deleted = append(c.Deleted, deleted.String)
		}
		if session.Valid {
			c.Sessions = append(c.Sessions, session.String)
		}
	}
	return c, rows.Err()
}
