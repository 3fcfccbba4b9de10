package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/respgate/respgate/tenant"
)

const (
	// MaxRules bounds a key's rules, in bytes.
	MaxRules = 4 << 10
	// MaxInstances bounds how many instances a key opens.
	MaxInstances = 64
	// MaxRate bounds a key's rate and burst.
	MaxRate = 1_000_000_000
	// MaxConnections bounds how many connections a key or an organization may be
	// allowed: as many as a proxy may be told to serve.
	MaxConnections = 10_000_000
)

func checkKey(k tenant.Key) error {
	if err := checkName("key", k.Name); err != nil {
		return err
	}
	switch {
	case !validID(k.ID):
		return invalid("key id %q: want %d characters of base62", k.ID, idLength)
	case len(k.Instances) == 0, len(k.Instances) > MaxInstances:
		return invalid("key with %d instances: want 1 to %d", len(k.Instances), MaxInstances)
	case len(k.Commands) > MaxRules:
		return invalid("command rules of %d bytes: want at most %d", len(k.Commands), MaxRules)
	case slices.Compare(slices.Compact(slices.Sorted(slices.Values(k.Instances))), slices.Sorted(slices.Values(k.Instances))) != 0:
		return invalid("key with the same instance twice")
	case len(k.AllowFrom) > tenant.MaxNetworks:
		return invalid("key with %d networks: want at most %d", len(k.AllowFrom), tenant.MaxNetworks)
	}
	if err := checkCertificateName(k.CertificateName); err != nil {
		return err
	}
	for what, n := range map[string]*int{"rate": k.Limits.Rate, "burst": k.Limits.Burst} {
		if n != nil && (*n < 0 || *n > MaxRate) {
			return invalid("%s of %d: want 0 to %d", what, *n, MaxRate)
		}
	}
	return checkConnections(k.MaxConnections)
}

func checkConnections(n int) error {
	if n < 0 || n > MaxConnections {
		return invalid("%d connections: want 0 to %d", n, MaxConnections)
	}
	return nil
}

// CreateKey stores a key; its time of creation is set. It is valid at once, at proxies
// that were asked for it before too.
func (s *Store) CreateKey(ctx context.Context, k tenant.Key) (tenant.Key, error) {
	k.CreatedAt, k.ExpiresAt = now(), stored(k.ExpiresAt)
	if err := checkKey(k); err != nil {
		return k, err
	}
	err := s.write(ctx, "create_key", func(tx statements) error {
		o, err := organization(ctx, tx, k.Org)
		if err != nil {
			return err
		}
		switch _, err := s.key(ctx, tx, k.ID); {
		case err == nil:
			return conflict("key %s exists already", k.ID)
		case !errors.Is(err, tenant.ErrNotFound):
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO api_keys (id, org_id, name, secret_hash, rate, burst, resets, commands, allow_from, max_connections, created_at, expires_at, revoked_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			k.ID, o.ID, k.Name, k.SecretHash[:], k.Limits.Rate, k.Limits.Burst, k.Limits.Reset, k.Commands,
			k.AllowFrom.String(), k.MaxConnections, millis(k.CreatedAt), millis(k.ExpiresAt), millis(k.RevokedAt))
		if err != nil {
			return err
		}
		return s.open(ctx, tx, k)
	})
	return k, err
}

// open has a key open its instances, and its certificate's name open it, and notes that
// it changed.
func (s *Store) open(ctx context.Context, tx statements, k tenant.Key) error {
	if err := bind(ctx, tx, k); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM key_instances WHERE key_id = ?", k.ID); err != nil {
		return err
	}
	for i, name := range k.Instances {
		in, err := s.instance(ctx, tx, k.Org, name)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO key_instances (key_id, instance_id, position) VALUES (?, ?, ?)", k.ID, in.ID, i); err != nil {
			return err
		}
	}
	return s.keyChanged(ctx, tx, k.ID)
}

func (s *Store) keyChanged(ctx context.Context, tx statements, id string) error {
	return s.changed(ctx, tx, "INSERT INTO changes (key_id) VALUES (?)")(id)
}

// Keys returns an organization's keys, revoked ones too, by name; with org "", all.
func (s *Store) Keys(ctx context.Context, org string) (all []tenant.Key, err error) {
	err = s.read(ctx, "keys", func() error {
		where, args := "", []any{}
		if org != "" {
			o, err := organization(ctx, s.db, org)
			if err != nil {
				return err
			}
			where, args = " WHERE o.id = ?", []any{o.ID}
		}
		grants, err := s.grants(ctx, s.db, where, args...)
		for _, g := range grants {
			all = append(all, g.Key)
		}
		return err
	})
	return all, err
}

// Key returns the key with that id.
func (s *Store) Key(ctx context.Context, id string) (k tenant.Key, err error) {
	err = s.read(ctx, "key", func() (err error) {
		k, err = s.key(ctx, s.db, id)
		return err
	})
	return k, err
}

func (s *Store) key(ctx context.Context, q statements, id string) (tenant.Key, error) {
	g, err := s.grant(ctx, q, id)
	return g.Key, err
}

// updateKey changes a key by the query called name.
func (s *Store) updateKey(ctx context.Context, name, id string, change func(*tenant.Key) error) (k tenant.Key, err error) {
	err = s.write(ctx, name, func(tx statements) error {
		if k, err = s.key(ctx, tx, id); err != nil {
			return err
		}
		changed := k
		changed.Instances = slices.Clone(k.Instances)
		if err := change(&changed); err != nil {
			return err
		}
		changed.ID, changed.Org, changed.CreatedAt, changed.ExpiresAt = k.ID, k.Org, k.CreatedAt, stored(changed.ExpiresAt)
		k = changed
		if err := checkKey(k); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE api_keys SET name = ?, secret_hash = ?, rate = ?, burst = ?, resets = ?, commands = ?, allow_from = ?, max_connections = ?,
			expires_at = ?, revoked_at = ? WHERE id = ?`,
			k.Name, k.SecretHash[:], k.Limits.Rate, k.Limits.Burst, k.Limits.Reset, k.Commands, k.AllowFrom.String(), k.MaxConnections,
			millis(k.ExpiresAt), millis(k.RevokedAt), k.ID); err != nil {
			return err
		}
		return s.open(ctx, tx, k)
	})
	return k, err
}

// UpdateKey has change alter a key: its name, limits, commands, instances, networks,
// connections, expiry and certificate's name.
// Nobody else changes it meanwhile; an error of change's leaves it as it was.
func (s *Store) UpdateKey(ctx context.Context, id string, change func(*tenant.Key) error) (tenant.Key, error) {
	return s.updateKey(ctx, "update_key", id, func(k *tenant.Key) error {
		hash, revoked := k.SecretHash, k.RevokedAt
		err := change(k)
		k.SecretHash, k.RevokedAt = hash, revoked
		return err
	})
}

// RotateKey gives a key another secret; the old one ends at once. A revoked key stays
// as it is: ErrConflict.
func (s *Store) RotateKey(ctx context.Context, id string, hash [32]byte) (tenant.Key, error) {
	return s.updateKey(ctx, "rotate_key", id, func(k *tenant.Key) error {
		if !k.RevokedAt.IsZero() {
			return conflict("key %s is revoked: make a new one", id)
		}
		k.SecretHash = hash
		return nil
	})
}

// RevokeKey ends a key for good. The first time stays.
func (s *Store) RevokeKey(ctx context.Context, id string) (tenant.Key, error) {
	return s.updateKey(ctx, "revoke_key", id, func(k *tenant.Key) error {
		if k.RevokedAt.IsZero() {
			k.RevokedAt = now()
		}
		return nil
	})
}

// DeleteKey ends a key and forgets it.
func (s *Store) DeleteKey(ctx context.Context, id string) error {
	return s.write(ctx, "delete_key", func(tx statements) error {
		if _, err := s.key(ctx, tx, id); err != nil {
			return err
		}
		if err := s.keyChanged(ctx, tx, id); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM api_keys WHERE id = ?", id)
		return err
	})
}

// ResetLimits has proxies refill the bucket of a key, or with id "" of every key. It
// returns of how many.
func (s *Store) ResetLimits(ctx context.Context, id string) (n int, err error) {
	err = s.write(ctx, "reset_limits", func(tx statements) error {
		result, err := tx.ExecContext(ctx, "UPDATE api_keys SET resets = resets + 1 WHERE ?1 IN ('', id)", id)
		if err != nil {
			return err
		}
		rows, err := result.RowsAffected()
		n = int(rows)
		if err == nil && n == 0 && id != "" {
			err = notFound("key %q", id)
		}
		if err != nil {
			return err
		}
		return s.changed(ctx, tx, "INSERT INTO changes (key_id) SELECT id FROM api_keys WHERE ?1 IN ('', id)")(id)
	})
	return n, err
}

// Grant returns a key with the instances that it opens.
func (s *Store) Grant(ctx context.Context, id string) (g tenant.Grant, err error) {
	err = s.read(ctx, "grant", func() (err error) {
		g, err = s.grant(ctx, s.db, id)
		return err
	})
	return g, err
}

func (s *Store) grant(ctx context.Context, q statements, id string) (tenant.Grant, error) {
	grants, err := s.grants(ctx, q, " WHERE k.id = ?", id)
	if err != nil || len(grants) == 1 {
		return append(grants, tenant.Grant{})[0], err
	}
	return tenant.Grant{}, notFound("key %q", id)
}

// grants reads keys with their instances, a row for each instance.
func (s *Store) grants(ctx context.Context, q statements, where string, args ...any) ([]tenant.Grant, error) {
	rows, err := q.QueryContext(ctx, `SELECT k.id, k.secret_hash, o.name, k.name, k.rate, k.burst, k.resets, k.commands, k.allow_from, k.max_connections, k.created_at, k.expires_at, k.revoked_at,
			k.previous_hash, k.previous_until, k.audit, o.rate, o.burst, o.id, o.max_connections, i.id, i.name, i.url, coalesce(k.certificate_name, '')
		FROM api_keys k JOIN organizations o ON o.id = k.org_id
		JOIN key_instances ki ON ki.key_id = k.id JOIN instances i ON i.id = ki.instance_id`+
		where+" ORDER BY o.name, k.name, k.id, ki.position", args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var all []tenant.Grant
	for rows.Next() {
		one, err := s.scanGrant(rows)
		if err != nil {
			return nil, err
		}
		if len(all) == 0 || all[len(all)-1].Key.ID != one.Key.ID {
			all = append(all, one)
			continue
		}
		g := &all[len(all)-1]
		g.Key.Instances = append(g.Key.Instances, one.Key.Instances...)
		g.Routes = append(g.Routes, one.Routes...)
	}
	return all, rows.Err()
}

// scanGrant returns what a row says: a key with one of its instances.
func (s *Store) scanGrant(row scanner) (g tenant.Grant, err error) {
	var hash, previous, sealed []byte
	var allowFrom string
	var created, expires, revoked, previousUntil sql.NullInt64
	var r tenant.Route
	k := &g.Key
	if err := row.Scan(&k.ID, &hash, &k.Org, &k.Name, &k.Limits.Rate, &k.Limits.Burst, &k.Limits.Reset, &k.Commands, &allowFrom, &k.MaxConnections,
		&created, &expires, &revoked, &previous, &previousUntil, &k.Audit, &g.Quota.Rate, &g.Quota.Burst, &g.Seats.OrgID, &g.Seats.Org, &r.InstanceID, &r.Instance, &sealed, &k.CertificateName); err != nil {
		return g, err
	}
	if copy(k.SecretHash[:], hash) != len(k.SecretHash) {
		return g, fmt.Errorf("key %s: its hash has %d bytes", k.ID, len(hash))
	}
	if k.AllowFrom, err = tenant.ParseNetworks(allowFrom); err != nil {
		return g, fmt.Errorf("key %s: %w", k.ID, err)
	}
	if copy(k.PreviousHash[:], previous) == len(k.PreviousHash) {
		k.PreviousUntil = fromMillis(previousUntil)
	}
	k.CreatedAt, k.ExpiresAt, k.RevokedAt = fromMillis(created), fromMillis(expires), fromMillis(revoked)
	g.Seats.Key = k.MaxConnections
	r.Label = k.Org + "/" + r.Instance
	url, err := s.seal.open(sealed, r.InstanceID)
	if err != nil {
		return g, fmt.Errorf("URL of instance %s: %w", r.Label, err)
	}
	r.URL = tenant.Secret(url)
	k.Instances, g.Routes = []string{r.Instance}, []tenant.Route{r}
	return g, nil
}
