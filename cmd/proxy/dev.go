package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/respgate/respgate/auth"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

func (a *app) devCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "dev",
		Short: "Try respgate without any setup: a store, a demo tenant and a Redis of its own",
		Long: "dev runs the proxy with a store in a temporary directory, the organization \"demo\"\n" +
			"with one key, and a Redis to talk to: a redis-server child when one is on PATH,\n" +
			"else a small one in this process. It prints a redis-cli line to paste. Nothing is\n" +
			"kept when it ends.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(a.configFile)
			if err != nil {
				return err
			}
			return a.dev(cmd.Context(), cfg)
		},
	}
}

func (a *app) dev(ctx context.Context, cfg Config) (err error) {
	dir, err := os.MkdirTemp("", "respgate-dev-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	redis, err := startDevRedis(ctx, dir)
	if err != nil {
		return err
	}
	defer redis.stop()
	cfg.Store = StoreConfig{Driver: "sqlite", DSN: tenant.Secret("file:" + filepath.Join(dir, "respgate.db"))}
	shown := "the one of http.admin_token" // who has chosen it knows it
	if cfg.HTTP.AdminToken == "" {
		shown = rand.Text() + rand.Text()
		cfg.HTTP.AdminToken = tenant.Secret(shown)
	}
	key, err := seed(ctx, cfg, redis.url)
	if err != nil {
		return err
	}
	return serve(ctx, cfg, newLogger(cfg.Log.Format, a.stderr), nil, func(ls listeners) { a.welcome(ls, redis, key, shown, cfg) })
}

// seed makes the demo tenant and returns its key.
func seed(ctx context.Context, cfg Config, url tenant.Secret) (key auth.Key, err error) {
	st, err := openStore(ctx, cfg, nil)
	if err != nil {
		return key, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	key = auth.Generate()
	return key, demo(ctx, st, key, url)
}

func demo(ctx context.Context, st *store.Store, key auth.Key, url tenant.Secret) error {
	if _, err := st.CreateOrganization(ctx, tenant.Organization{Name: "demo"}); err != nil {
		return err
	}
	if _, err := st.CreateInstance(ctx, tenant.Instance{Org: "demo", Name: "cache", URL: url}); err != nil {
		return err
	}
	_, err := st.CreateKey(ctx, tenant.Key{ID: key.ID, SecretHash: key.Hash, Org: "demo", Instances: []string{"cache"}, Name: "demo"})
	return err
}

// welcome says what there is and how to use it. It is the one place where the demo
// key and the operator's token, when it was made for this, are shown.
func (a *app) welcome(ls listeners, redis devRedis, key auth.Key, token string, cfg Config) {
	host, port := clientHost(ls.resp.Addr().String())
	_, httpPort := clientHost(ls.http.Addr().String())
	limit := "unlimited"
	if cfg.RateLimit.DefaultRPS > 0 {
		limit = fmt.Sprintf("%d commands/s (RATE_LIMIT_DEFAULT_RPS=0 lifts it)", cfg.RateLimit.DefaultRPS)
	}
	_, _ = fmt.Fprintf(a.stdout, `
respgate dev: nothing here is kept when it ends (Ctrl-C)

  backend   %s
  tenant    demo/cache, %s
  API key   %s
  metrics   http://%s:%s/metrics
  console   http://%s:%s/console
  token     %s

Paste this:

  redis-cli -u redis://cache:%s@%s:%s/0

`, redis.what, limit, key.Text.Reveal(), host, httpPort, host, httpPort, token, key.Text.Reveal(), host, port)
}
