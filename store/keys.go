package store

import (
	"context"
	"reflect"
	"slices"
	"time"

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
	// MaxOverlap bounds how long a key's old secret is good beside the new one.
	MaxOverlap = 90 * 24 * time.Hour
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
	case len(k.Audit) > MaxRules:
		return invalid("audit rules of %d bytes: want at most %d", len(k.Audit), MaxRules)
	case slices.Compare(slices.Compact(slices.Sorted(slices.Values(k.Instances))), slices.Sorted(slices.Values(k.Instances))) != 0:
		return invalid("key with the same instance twice")
	case len(k.AllowFrom) > tenant.MaxNetworks:
		return invalid("key with %d networks: want at most %d", len(k.AllowFrom), tenant.MaxNetworks)
	}
	if err := CheckCertificateName(k.CertificateName); err != nil {
		return err
	}
	for what, n := range map[string]*int{"rate": k.Limits.Rate, "burst": k.Limits.Burst} {
		if n != nil && (*n < 0 || *n > MaxRate) {
			return invalid("%s of %d: want 0 to %d", what, *n, MaxRate)
		}
	}
	if n := k.Limits.ByteRate; n != nil && (*n < 0 || *n > tenant.MaxBytes) {
		return invalid("rate of %d bytes per second: want 0 to %d", *n, int64(tenant.MaxBytes))
	}
	if err := checkMode(k.Limits.Mode); err != nil {
		return err
	}
	return checkConnections(k.MaxConnections)
}

func checkMode(m tenant.LimitMode) error {
	if _, err := tenant.ParseLimitMode(m.String()); err != nil {
		return invalid("%v", err)
	}
	return nil
}

func checkConnections(n int) error {
	if n < 0 || n > MaxConnections {
		return invalid("%d connections: want 0 to %d", n, MaxConnections)
	}
	return nil
}

// CreateKey stores a key; its version and its time of creation are set. It is valid at
// once, at proxies that were asked for it before too. ErrQuota when the organization has
// no room for it.
func (s *Store) CreateKey(ctx context.Context, k tenant.Key) (tenant.Key, error) {
	k.Version, k.CreatedAt, k.ExpiresAt = 1, now(), stored(k.ExpiresAt)
	k.PreviousHash, k.PreviousUntil, k.LastUsedAt = [32]byte{}, time.Time{}, time.Time{}
	if err := checkKey(k); err != nil {
		return k, err
	}
	err := s.write(ctx, "create_key", func(tx statements) error {
		o, err := organization(ctx, tx, k.Org)
		if err != nil {
			return err
		}
		if k.RevokedAt.IsZero() {
			if err := roomForKeys(ctx, tx, o, 1); err != nil {
				return err
			}
		}
		n, err := affected(ctx, tx, `INSERT INTO api_keys (id, org_id, name, secret_hash, rate, burst, byte_rate, limit_mode, resets, commands, allow_from, max_connections, created_at, expires_at, revoked_at, audit)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
			k.ID, o.ID, k.Name, k.SecretHash[:], k.Limits.Rate, k.Limits.Burst, k.Limits.ByteRate, k.Limits.Mode.String(), k.Limits.Reset, k.Commands,
			k.AllowFrom.String(), k.MaxConnections, millis(k.CreatedAt), millis(k.ExpiresAt), millis(k.RevokedAt), k.Audit)
		if err != nil {
			return err
		}
		if n == 0 {
			return conflict("key %s exists already", k.ID)
		}
		if err := bind(ctx, tx, k); err != nil {
			return err
		}
		return s.open(ctx, tx, k)
	})
	return k, err
}

// open has a key open its instances, only them, and notes that it changed.
func (s *Store) open(ctx context.Context, tx statements, k tenant.Key) error {
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

// Keys returns an organization's keys, revoked ones too; with org "", all. The whole list
// is by the names of organizations and keys, a part of it by id.
func (s *Store) Keys(ctx context.Context, org string, p Page) (all []tenant.Key, err error) {
	err = s.read(ctx, "keys", func() error {
		var w where
		if org != "" {
			o, err := organization(ctx, s.db, org)
			if err != nil {
				return err
			}
			w.equal("k.org_id", o.ID)
		}
		wanted, order := w.String(), "o.name, k.name, k.id"
		if p != (Page{}) {
			w.add("k.id > ?", p.After)
			wanted, order = " WHERE k.id IN (SELECT k.id FROM "+liveKeys+w.String()+" ORDER BY k.id LIMIT ?)", "k.id"
			w.args = append(w.args, p.limit())
		}
		grants, err := s.grants(ctx, s.db, wanted, order, w.args...)
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
		was := k
		k.Instances, k.AllowFrom = slices.Clone(k.Instances), slices.Clone(k.AllowFrom)
		k.Limits.Rate, k.Limits.Burst, k.Limits.ByteRate = copied(k.Limits.Rate), copied(k.Limits.Burst), copied(k.Limits.ByteRate)
		if err := change(&k); err != nil {
			return err
		}
		k.ID, k.Org, k.Version, k.CreatedAt, k.ExpiresAt, k.LastUsedAt = was.ID, was.Org, was.Version, was.CreatedAt, stored(k.ExpiresAt), was.LastUsedAt
		if err := checkKey(k); err != nil || reflect.DeepEqual(k, was) {
			return err
		}
		k.Version++
		var previous []byte
		if !k.PreviousUntil.IsZero() {
			previous = k.PreviousHash[:]
		}
		if _, err := tx.ExecContext(ctx, `UPDATE api_keys SET name = ?, secret_hash = ?, rate = ?, burst = ?, byte_rate = ?, limit_mode = ?, resets = ?, commands = ?, allow_from = ?, max_connections = ?,
			expires_at = ?, revoked_at = ?, previous_hash = ?, previous_until = ?, audit = ?, version = ? WHERE id = ?`,
			k.Name, k.SecretHash[:], k.Limits.Rate, k.Limits.Burst, k.Limits.ByteRate, k.Limits.Mode.String(), k.Limits.Reset, k.Commands, k.AllowFrom.String(), k.MaxConnections,
			millis(k.ExpiresAt), millis(k.RevokedAt), previous, millis(k.PreviousUntil), k.Audit, k.Version, k.ID); err != nil {
			return err
		}
		if err := bind(ctx, tx, k); err != nil {
			return err
		}
		// Where the list stays, so do the instances in it that are deleted and may come back.
		if slices.Equal(k.Instances, was.Instances) {
			return s.keyChanged(ctx, tx, k.ID)
		}
		return s.open(ctx, tx, k)
	})
	return k, err
}

// copied returns a pointer to a copy; nil stays nil.
func copied[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

// UpdateKey has change alter a key: its name, limits, commands, instances, networks,
// connections, expiry, audit rules and certificate's name.
// Nobody else changes it meanwhile; an error of change's leaves it as it was.
func (s *Store) UpdateKey(ctx context.Context, id string, change func(*tenant.Key) error) (tenant.Key, error) {
	return s.updateKey(ctx, "update_key", id, func(k *tenant.Key) error {
		was := *k
		err := refuse(change(k))
		k.SecretHash, k.RevokedAt, k.PreviousHash, k.PreviousUntil = was.SecretHash, was.RevokedAt, was.PreviousHash, was.PreviousUntil
		return err
	})
}

// RotateKey gives a key another secret; the old one, and no other, is good for overlap
// from now on, at most MaxOverlap. A revoked key stays as it is: ErrConflict. version is as
// RevokeKey's.
func (s *Store) RotateKey(ctx context.Context, id string, hash [32]byte, overlap time.Duration, version int64) (tenant.Key, error) {
	if overlap < 0 || overlap > MaxOverlap {
		return tenant.Key{}, invalid("overlap of %v: want 0s to %v", overlap, MaxOverlap)
	}
	return s.updateKey(ctx, "rotate_key", id, func(k *tenant.Key) error {
		if err := CheckVersion(version, k.Version); err != nil {
			return err
		}
		if !k.RevokedAt.IsZero() {
			return conflict("key %s is revoked: make a new one", id)
		}
		was := k.SecretHash
		k.SecretHash, k.PreviousHash, k.PreviousUntil = hash, [32]byte{}, time.Time{}
		if overlap > 0 {
			k.PreviousHash, k.PreviousUntil = was, now().Add(overlap)
		}
		return nil
	})
}

// RevokeKey ends a key for good, of that version, or any with 0: else it is ErrStale. The
// first time stays.
func (s *Store) RevokeKey(ctx context.Context, id string, version int64) (tenant.Key, error) {
	return s.updateKey(ctx, "revoke_key", id, func(k *tenant.Key) error {
		if err := CheckVersion(version, k.Version); err != nil {
			return err
		}
		if k.RevokedAt.IsZero() {
			k.RevokedAt = now()
		}
		return nil
	})
}

// DeleteKey ends a key and forgets it. version is as RevokeKey's.
func (s *Store) DeleteKey(ctx context.Context, id string, version int64) error {
	return s.write(ctx, "delete_key", func(tx statements) error {
		k, err := s.key(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := CheckVersion(version, k.Version); err != nil {
			return err
		}
		if err := s.keyChanged(ctx, tx, id); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM api_keys WHERE id = ?", id)
		return err
	})
}

// ResetLimits has proxies refill the bucket of a key, or with id "" of every key. It
// returns of how many.
func (s *Store) ResetLimits(ctx context.Context, id string) (n int, err error) {
	const concerned = "SELECT k.id FROM " + liveKeys + " WHERE ?1 IN ('', k.id)"
	err = s.write(ctx, "reset_limits", func(tx statements) error {
		n, err = affected(ctx, tx, "UPDATE api_keys SET resets = resets + 1, version = version + 1 WHERE id IN ("+concerned+")", id)
		if err == nil && n == 0 && id != "" {
			err = notFound("key %q", id)
		}
		if err != nil {
			return err
		}
		return s.changed(ctx, tx, "INSERT INTO changes (key_id) "+concerned)(id)
	})
	return n, err
}
