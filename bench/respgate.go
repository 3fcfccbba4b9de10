package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/respgate/respgate/auth"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// neverReached is a limit that costs what any limit costs.
var neverReached = 100_000_000

// startRespgate has everything on: a key with a limit for each backend's tenant, policy
// and metrics. It returns the keys in the order of the backends.
func (l *lab) startRespgate(ctx context.Context, s serving, backends []string) (target, []string, error) {
	addr, err1 := freeAddr()
	tlsAddr, err2 := freeAddr()
	httpAddr, err3 := freeAddr()
	binary, err4 := filepath.Abs(s.binary)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return target{}, nil, err
	}
	name := filepath.Base(binary) + "-" + portOf(addr)
	dsn := fmt.Sprintf("file:%s/%s.db", l.dir, name)
	keys, err := seed(ctx, dsn, backends, s.cache)
	if err != nil {
		return target{}, nil, err
	}
	text := fmt.Sprintf("listen: %s\nhttp: {listen: %s}\nstore: {dsn: %q}\nlimits: {max_clients: %d}\nloops: %d\n", addr, httpAddr, dsn, s.clients, s.loops) + s.config
	if c := s.certificate; c != nil {
		text += fmt.Sprintf("tls: {listen: %s, cert_file: %s, key_file: %s}\n", tlsAddr, c.cert, c.key)
	}
	config, err := l.write(name+".yaml", "%s", text)
	if err != nil {
		return target{}, nil, err
	}
	t, err := l.start(ctx, addr, binary, "serve", "--config", config)
	t.tlsAddr = tlsAddr
	return t, keys, err
}

// seed makes a store with an organization, an instance and a key for each backend, and
// returns the keys. The command line would take 30 ms for each.
func seed(ctx context.Context, dsn string, backends []string, cache int64) (keys []string, err error) {
	st, err := store.Open(ctx, store.Config{Driver: "sqlite", DSN: dsn}, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	for i, addr := range backends {
		org := fmt.Sprintf("bench%04d", i)
		made := auth.Generate()
		_, err1 := st.CreateOrganization(ctx, tenant.Organization{Name: org})
		_, err2 := st.CreateInstance(ctx, tenant.Instance{Org: org, Name: "cache", URL: tenant.Secret("redis://" + addr), CacheBytes: cache})
		_, err3 := st.CreateKey(ctx, tenant.Key{
			ID: made.ID, SecretHash: made.Hash, Org: org, Instances: []string{"cache"}, Name: "web",
			Limits: tenant.Limits{Rate: &neverReached},
		})
		if err := errors.Join(err1, err2, err3); err != nil {
			return nil, err
		}
		keys = append(keys, made.Text.Reveal())
	}
	return keys, nil
}
