// Package store keeps organizations, their instances and their API keys, who manages
// them, what was done, and how much the keys were used. All processes that use the same store see each other's changes; proxies follow them
// by their numbers.
//
// Backends' URLs hold passwords: they are sealed with a secret that is not in the
// store. Of an API key only its secret's hash is kept.
package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"strings"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/respgate/respgate/tenant"
)

// Config says where the store is.
type Config struct {
	Driver string // sqlite or postgres
	DSN    string // file:var/respgate.db, or postgres://user:password@host:5432/database
	Secret string // 32 bytes or more; "": a key file beside the SQLite file
}

// Observer counts queries. It is called from several goroutines.
type Observer interface {
	// Query says that a query, one of QueryNames, has ended, which ctx was for. That
	// something was not found is no error.
	Query(ctx context.Context, name string, took time.Duration, err error)
}

// Store is the open store. It is safe for concurrent use; every method returns
// when ctx ends.
type Store struct {
	*database
	obs   Observer
	crowd chan struct{} // has those queries that run now and that no client waits for
}

// database is an open database and what depends on its driver.
type database struct {
	raw     *sql.DB
	conns   int        // that there may be at once
	schema  int64      // the version of its tables
	db      statements // raw's
	dialect dialect
	seal    sealer
	watcher watcher
	stats   func() tenant.Connections
	closed  func() // follows raw's end; nil is nothing
}

// watcher looks after what a driver's connections do not notice.
type watcher interface {
	// check comes before each query.
	check(ctx context.Context) error
	// suspect reports, once, that changes may be missing from what Changes tells.
	suspect() bool
	// follow calls changed whenever another process may have changed something, until
	// ctx ends.
	follow(ctx context.Context, changed func())
}

// Open opens the store, makes it when it is missing, and migrates it; of several
// processes one does and the others wait. An error that is ErrInvalid will not go
// away by itself. obs may be nil.
func Open(ctx context.Context, cfg Config, obs Observer) (*Store, error) {
	open := map[string]func(context.Context, Config) (*database, error){"sqlite": openSQLite, "postgres": openPostgres}[cfg.Driver]
	if open == nil {
		return nil, invalid("store.driver: %q: want sqlite or postgres", cfg.Driver)
	}
	db, err := open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &Store{db, obs, make(chan struct{}, max(1, db.conns/2))}, nil
}

// Close closes the store.
func (s *Store) Close() error { return s.close() }

func (d *database) close() error {
	err := d.raw.Close()
	if d.closed != nil {
		d.closed()
	}
	return err
}

// Follow calls changed whenever another process may have changed something, where the
// driver can tell, until ctx ends. A change that it does not tell of, since its
// connection was lost, is among those that Changes returns all the same.
func (s *Store) Follow(ctx context.Context, changed func()) { s.watcher.follow(ctx, changed) }

//go:embed migrations
var migrations embed.FS

// prepare migrates the database and checks its secret.
func (d *database) prepare(ctx context.Context) error {
	if err := d.migrate(ctx); err != nil {
		return err
	}
	return d.checkSecret(ctx)
}

func (d *database) migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations/"+d.dialect.migrations)
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(d.dialect.goose, d.raw, files, d.dialect.options...)
	if err != nil {
		return err
	}
	current, target, err := p.GetVersions(ctx)
	switch {
	case err != nil:
		return err
	case current > target:
		return invalid("it was made by a newer respgate (version %d of its tables, this one knows %d)", current, target)
	}
	d.schema = target
	_, err = p.Up(ctx)
	return err
}

// sealCheck is the setting whose sealed value tells a wrong secret.
const sealCheck = "seal_check"

// checkSecret finds a wrong secret at once, not when the first URL is needed. Of several
// processes that are the first, one's counts.
func (d *database) checkSecret(ctx context.Context) error {
	_, err := d.db.ExecContext(ctx, "INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", sealCheck, d.seal.seal(sealCheck, sealCheck))
	if err != nil {
		return err
	}
	var sealed []byte
	if err := d.db.QueryRowContext(ctx, "SELECT value FROM settings WHERE name = ?", sealCheck).Scan(&sealed); err != nil {
		return err
	}
	if _, err := d.seal.open(sealed, sealCheck); err != nil {
		return invalid("%v", err)
	}
	return nil
}

// read runs fn, as the query called name.
func (s *Store) read(ctx context.Context, name string, fn func() error) error {
	began := time.Now()
	leave, err := s.enter(ctx, name)
	if err == nil {
		err = s.watcher.check(ctx)
	}
	if err == nil {
		err = fn()
	}
	leave()
	if s.obs != nil {
		failed := err
		if answered(err) {
			failed = nil
		}
		s.obs.Query(ctx, name, time.Since(began), failed)
	}
	return err
}

// enter waits until the query may have a connection, and returns what is to be called when it
// has ended. Half of the connections are for what clients wait for: lists that take long, and
// changes that wait for another process's, must not keep these out, whose keys end when the
// store has not answered for too long.
func (s *Store) enter(ctx context.Context, name string) (leave func(), err error) {
	switch name {
	case "grant", "changes", "key_by_certificate", "ping", "report_proxy":
		return func() {}, nil
	}
	select {
	case s.crowd <- struct{}{}:
		return func() { <-s.crowd }, nil
	case <-ctx.Done():
		return func() {}, ctx.Err()
	}
}

// write runs fn in a transaction, as the query called name.
func (s *Store) write(ctx context.Context, name string, fn func(tx statements) error) error {
	return s.read(ctx, name, func() error {
		raw, err := s.raw.BeginTx(ctx, &sql.TxOptions{Isolation: s.dialect.isolation})
		if err != nil {
			return err
		}
		tx := s.dialect.on(raw)
		if s.dialect.begin != "" {
			_, err = tx.ExecContext(ctx, s.dialect.begin)
		}
		if err == nil {
			err = fn(tx)
		}
		if err != nil {
			return errors.Join(err, raw.Rollback())
		}
		return raw.Commit()
	})
}

// Ping asks the store whether it is there.
func (s *Store) Ping(ctx context.Context) error {
	return s.read(ctx, "ping", func() error {
		var one int
		return s.db.QueryRowContext(ctx, "SELECT count(*) FROM settings").Scan(&one)
	})
}

// Counts returns the totals, without what is deleted and keys that are revoked.
func (s *Store) Counts(ctx context.Context) (c tenant.Counts, err error) {
	err = s.read(ctx, "counts", func() error {
		return s.db.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM organizations WHERE deleted_at IS NULL), (SELECT count(*) FROM users),
			(SELECT count(*) FROM instances i JOIN organizations o ON o.id = i.org_id WHERE i.deleted_at IS NULL AND o.deleted_at IS NULL),
			(SELECT count(*) FROM `+liveKeys+` WHERE k.revoked_at IS NULL)`).Scan(&c.Organizations, &c.Users, &c.Instances, &c.Keys)
	})
	return c, err
}

// Stats tells of the connections to the database. It asks nobody.
func (s *Store) Stats() tenant.Connections { return s.stats() }

// list returns what scan makes of each row.
func list[T any](ctx context.Context, q statements, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

// scanner is a row.
type scanner interface{ Scan(to ...any) error }

// runAll runs statements with the same arguments.
func runAll(ctx context.Context, tx statements, statements []string, args ...any) error {
	for _, statement := range statements {
		if _, err := tx.ExecContext(ctx, statement, args...); err != nil {
			return err
		}
	}
	return nil
}

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

const idLength = 12

// newID returns 12 random characters of base62.
func newID() (string, error) {
	var id strings.Builder
	for range idLength {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(base62))))
		if err != nil {
			return "", fmt.Errorf("random id: %w", err)
		}
		id.WriteByte(base62[n.Int64()])
	}
	return id.String(), nil
}

func validID(id string) bool { return len(id) == idLength && strings.Trim(id, base62) == "" }

// millis is how times are stored; nil stands for the zero time.
func millis(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	ms := t.UnixMilli()
	return &ms
}

func fromMillis(ms sql.NullInt64) time.Time {
	if !ms.Valid {
		return time.Time{}
	}
	return time.UnixMilli(ms.Int64).UTC()
}

// stored is a time as it will be read.
func stored(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

func now() time.Time { return stored(time.Now()) }
