package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/respgate/respgate/tenant"
)

const (
	// connectTimeout bounds how long a server may take to accept a connection, unless
	// the DSN has a connect_timeout.
	connectTimeout = 5 * time.Second
	// listenAgain is how long a lost connection that listens for changes is waited for.
	listenAgain = 500 * time.Millisecond
	// channel is that of the notifications of changes.
	channel = "respgate_changes"
	// writerLock is the advisory lock that who writes holds until the transaction ends:
	// one at a time, so that changes are numbered in the order in which they are to be
	// seen, and what was checked stays so.
	writerLock = 0x72657370_67617465
	// frozenFor is how long who writes may say nothing in the middle of a transaction: then
	// the server ends it. All others wait for one that has stopped, or whose machine is gone.
	frozenFor = 5 * time.Second
)

// openPostgres opens the database that the DSN names, as libpq's URLs and keywords do
// (https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING).
func openPostgres(ctx context.Context, cfg Config) (*database, error) {
	if cfg.Secret == "" {
		return nil, invalid("RESPGATE_SECRET_KEY: store.driver postgres needs it: %d bytes or more, the same for all proxies", MinSecret)
	}
	seal, err := newSealer([]byte(cfg.Secret))
	if err != nil {
		return nil, fmt.Errorf("RESPGATE_SECRET_KEY: %w", err)
	}
	options, err := parsePostgres(cfg.DSN)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("store.dsn: %w", err)
	}
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return nil, err
	}
	raw := stdlib.OpenDBFromPool(pool)
	db := &database{raw: raw, conns: int(options.MaxConns), seal: seal, closed: pool.Close, dialect: dialect{
		goose: goose.DialectPostgres, options: []goose.ProviderOption{goose.WithSessionLocker(locker)}, migrations: "postgres",
		bind:      numbered,
		isolation: sql.LevelReadCommitted, // a statement sees what was written while the lock was waited for
		begin: fmt.Sprintf("SELECT set_config('idle_in_transaction_session_timeout', '%d', true), pg_advisory_xact_lock(%d)",
			frozenFor.Milliseconds(), int64(writerLock)),
		changed:    "SELECT pg_notify('" + channel + "', '')",
		snapshot:   sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true},
		overriding: "OVERRIDING SYSTEM VALUE",
		restart:    "SELECT setval(pg_get_serial_sequence('{table}', 'seq'), max(seq)) FROM {table}",
	}}
	db.db = db.dialect.on(raw)
	watch := &postgres{pool: pool}
	db.watcher = watch
	db.stats = func() tenant.Connections {
		now := pool.Stat()
		return tenant.Connections{
			InUse: int(now.AcquiredConns()), Idle: int(now.IdleConns()),
			Waits: now.EmptyAcquireCount(), Waited: now.EmptyAcquireWaitTime(),
		}
	}
	if err := db.prepare(ctx); err != nil {
		_ = db.close()
		return nil, fmt.Errorf("store: %w", friendly(err))
	}
	return db, nil
}

// parsePostgres reads a DSN. Its error has no part of it: there may be a password.
func parsePostgres(dsn string) (*pgxpool.Config, error) {
	if dsn == "" || strings.HasPrefix(dsn, "file:") {
		return nil, invalid("store.dsn: want postgres://user:password@host:5432/database for store.driver postgres")
	}
	options, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, invalid("store.dsn: want postgres://user:password@host:5432/database, with options such as ?sslmode=verify-full")
	}
	if !strings.Contains(dsn, "pool_max_conns") {
		options.MaxConns = maxConns
	}
	if options.ConnConfig.ConnectTimeout == 0 {
		options.ConnConfig.ConnectTimeout = connectTimeout
	}
	params := options.ConnConfig.RuntimeParams
	if params["application_name"] == "" {
		params["application_name"] = "respgate"
	}
	return options, nil
}

// friendly says what will not go away by itself.
func friendly(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code { // https://www.postgresql.org/docs/current/errcodes-appendix.html
		case "28P01", "28000", "3D000", "42501":
			return invalid("%s (SQLSTATE %s)", pg.Message, pg.Code)
		}
	}
	return err
}

// postgres listens for changes.
type postgres struct {
	pool   *pgxpool.Pool
	missed atomic.Bool // the connection was lost: a server that took over may lack what the old one had
}

// check implements watcher: connections notice by themselves.
func (*postgres) check(context.Context) error { return nil }

// suspect implements watcher.
func (p *postgres) suspect() bool { return p.missed.Swap(false) }

// follow implements watcher.
func (p *postgres) follow(ctx context.Context, changed func()) {
	for ctx.Err() == nil {
		err := p.listen(ctx, changed)
		if ctx.Err() != nil || err == nil {
			return
		}
		p.missed.Store(true)
		select {
		case <-ctx.Done():
		case <-time.After(listenAgain):
		}
	}
}

// listen calls changed for each notification, and at the beginning, until the connection
// is lost.
func (p *postgres) listen(ctx context.Context, changed func()) error {
	conn, err := pgx.ConnectConfig(ctx, p.pool.Config().ConnConfig)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return err
	}
	for changed(); ; changed() {
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return err
		}
	}
}
