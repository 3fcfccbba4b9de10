package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/respgate/respgate/tenant"
)

// busyTimeout bounds how long a writer waits for another process's.
const busyTimeout = 5 * time.Second

// maxConns is how many queries run at once.
const maxConns = 8

// openSQLite opens the file that the DSN names, and makes it and its folder when they
// are missing. Its secret is in a file beside it unless it is given.
func openSQLite(ctx context.Context, cfg Config) (*database, error) {
	file, query, err := parseDSN(cfg.DSN)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, fmt.Errorf("store.dsn: folder %s: %w", filepath.Dir(file), pathless(err))
	}
	unlock, err := lockFile(ctx, file+".lock")
	if err != nil {
		return nil, fmt.Errorf("store.dsn: %s: %w", file, pathless(err))
	}
	defer unlock()
	key := []byte(cfg.Secret)
	if cfg.Secret == "" {
		info, err := os.Stat(file)
		if key, err = readKeyFile(file+".key", err != nil || info.Size() == 0 || info.IsDir()); err != nil {
			return nil, err
		}
	}
	seal, err := newSealer(key)
	if err != nil {
		return nil, fmt.Errorf("RESPGATE_SECRET_KEY: %w", err)
	}
	// Made by us, it is for us only; SQLite gives its other files the same mode.
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator's file
	if err != nil {
		return nil, fmt.Errorf("store.dsn: %s: %w", file, pathless(err))
	}
	_ = f.Close()
	raw, err := sql.Open("sqlite", "file:"+file+"?"+query)
	if err != nil {
		return nil, fmt.Errorf("store.dsn: %s: %w", file, err)
	}
	raw.SetMaxOpenConns(maxConns)
	raw.SetMaxIdleConns(maxConns)
	db := &database{raw: raw, conns: maxConns, db: raw, dialect: dialect{goose: goose.DialectSQLite3, migrations: "sqlite", snapshot: sql.TxOptions{ReadOnly: true}}, seal: seal, stats: func() tenant.Connections {
		now := raw.Stats()
		return tenant.Connections{InUse: now.InUse, Idle: now.Idle, Waits: now.WaitCount, Waited: now.WaitDuration}
	}}
	if err := db.prepare(ctx); err != nil {
		return nil, fmt.Errorf("store %s: %w", file, errors.Join(err, raw.Close()))
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("store.dsn: %s: %w", file, errors.Join(pathless(err), raw.Close()))
	}
	db.watcher = &sqliteFile{db: db, path: file, info: info}
	return db, nil
}

// parseDSN splits "file:var/respgate.db?option=…" into the path and the options,
// to which ours are added.
func parseDSN(dsn string) (file, query string, err error) {
	file, query, _ = strings.Cut(strings.TrimPrefix(dsn, "file:"), "?")
	file = strings.TrimPrefix(file, "//")
	if file == "" || strings.Contains(file, ":memory:") || strings.Contains(query, "mode=memory") {
		return "", "", invalid("store.dsn: want a file such as file:var/respgate.db")
	}
	options, err := url.ParseQuery(query)
	if err != nil {
		return "", "", invalid("store.dsn: the part after '?' is no list of options")
	}
	options.Set("mode", "rw")           // a file that is gone is not made anew
	options.Set("_txlock", "immediate") // a writer waits at its beginning, not in its middle
	for _, pragma := range []string{
		fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()), // first: the next may have to wait
		"journal_mode(WAL)", "foreign_keys(1)", "synchronous(FULL)",
	} {
		options.Add("_pragma", pragma)
	}
	return file, options.Encode(), nil
}

// lockFile waits until no other process has file locked, and locks it.
func lockFile(ctx context.Context, file string) (unlock func(), err error) {
	lock := flock.New(file, flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, 20*time.Millisecond); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("another process migrates it: %w", err)
		}
		return nil, err
	}
	return func() { _ = lock.Close() }, nil
}
