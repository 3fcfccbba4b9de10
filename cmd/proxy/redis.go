package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/backup"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/tenant"
)

// bulkTimeout bounds how long a server may take for a pipeline of values, of which one may
// be of half a gigabyte.
const bulkTimeout = time.Minute

// clientOptions are go-redis's for a connection to one server.
func clientOptions(cfg Config, b pool.Backend) (*redis.Options, error) {
	secured, err := b.TLS.Config()
	return &redis.Options{
		TLSConfig: secured,
		Network:   b.Network, Addr: b.Addr, Username: b.Username, Password: b.Password.Reveal(), DB: b.DB,
		DialTimeout: cfg.Pool.DialTimeout, DisableIdentity: true,
	}, err
}

// openRedis returns the Redis at an instance's URL, to copy from or to: of a primary with
// replicas and of one that sentinels watch, the primary of now.
func openRedis(ctx context.Context, cfg Config, url tenant.Secret) (*backup.Redis, error) {
	b, err := pool.ParseURL(url)
	if err != nil {
		return nil, err
	}
	dialer := pool.NewDialer(cfg.Pool.dial(), slog.New(slog.DiscardHandler), nil)
	layout, err := dialer.Find(ctx, b)
	if err != nil {
		return nil, errors.New(pool.Reason(err))
	}
	// go-redis tells what a server says that knows no AUTH, with the password in it.
	conn, _, err := dialer.Dial(ctx, "", layout.Primaries[0], 0, 2, cfg.Pool.DialAttempts)
	if err != nil {
		return nil, errors.New(pool.Reason(err))
	}
	_ = conn.Close()
	opts, err := clientOptions(cfg, layout.Primaries[0])
	if err != nil {
		return nil, err
	}
	if b.Group != pool.Cluster {
		opts.ReadTimeout, opts.WriteTimeout = bulkTimeout, bulkTimeout
		return backup.Server(opts), nil
	}
	if opts.TLSConfig != nil {
		opts.TLSConfig.ServerName = b.TLS.ServerName // "": each node's own host
	}
	var addrs []string
	for _, p := range layout.Primaries {
		addrs = append(addrs, p.Addr)
	}
	return backup.Cluster(&redis.ClusterOptions{
		Addrs: addrs, TLSConfig: opts.TLSConfig, Username: opts.Username, Password: opts.Password, DisableIdentity: true,
		DialTimeout: opts.DialTimeout, ReadTimeout: bulkTimeout, WriteTimeout: bulkTimeout,
	}), nil
}
