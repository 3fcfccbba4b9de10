package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/respgate/respgate/tenant"
)

// MaxURL bounds an instance's URL, in bytes.
const MaxURL = 2 << 10

// checkInstance refuses what is no instance, and has the rest as it is stored.
func checkInstance(in *tenant.Instance) error {
	if err := checkName("instance", in.Name); err != nil {
		return err
	}
	switch {
	case in.URL == "", len(in.URL) > MaxURL:
		return invalid("instance URL of %d bytes: want 1 to %d", len(in.URL), MaxURL)
	case in.CacheBytes < 0, in.CacheBytes > tenant.MaxBytes:
		return invalid("cache of %d bytes: want 0 to %d", in.CacheBytes, int64(tenant.MaxBytes))
	case !tenant.ValidSlowlogThreshold(in.SlowlogThreshold):
		return invalid("slow log's threshold of %v: want whole microseconds, and at most %v", *in.SlowlogThreshold, tenant.MaxSlowlogThreshold)
	}
	in.SlowlogThreshold = tenant.SlowlogThreshold(tenant.SlowlogMicroseconds(in.SlowlogThreshold))
	return nil
}

// CreateInstance makes an instance of an organization's name, a name, a URL, whose form is
// the caller's to check, a slow log's threshold and a near cache's size. ErrQuota when the organization has no
// room for it.
func (s *Store) CreateInstance(ctx context.Context, in tenant.Instance) (tenant.Instance, error) {
	if err := checkInstance(&in); err != nil {
		return tenant.Instance{}, err
	}
	err := s.write(ctx, "create_instance", func(tx statements) error {
		o, err := organization(ctx, tx, in.Org)
		if err != nil {
			return err
		}
		if err := s.instanceFree(ctx, tx, in.Org, in.Name); err != nil {
			return err
		}
		if err := roomForInstance(ctx, tx, o); err != nil {
			return err
		}
		id, err := newID()
		if err != nil {
			return err
		}
		in.ID, in.Version, in.CreatedAt, in.DeletedAt = id, 1, now(), time.Time{}
		_, err = tx.ExecContext(ctx, "INSERT INTO instances (id, org_id, name, url, slowlog_threshold_us, cache_bytes, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
			in.ID, o.ID, in.Name, s.seal.seal(in.URL.Reveal(), in.ID), tenant.SlowlogMicroseconds(in.SlowlogThreshold), in.CacheBytes, millis(in.CreatedAt))
		return err
	})
	if err != nil {
		return tenant.Instance{}, err
	}
	return in, nil
}

func (s *Store) instanceFree(ctx context.Context, tx statements, org, name string) error {
	switch _, err := s.instance(ctx, tx, org, name); {
	case err == nil:
		return conflict("instance %q of organization %q exists already", name, org)
	case errors.Is(err, tenant.ErrNotFound):
		return nil
	default:
		return err
	}
}

// Instances returns an organization's instances by name; with org "", all of them by
// label, which is then what a page is after.
func (s *Store) Instances(ctx context.Context, org string, p Page) (all []tenant.Instance, err error) {
	err = s.read(ctx, "instances", func() (err error) {
		if org == "" {
			afterOrg, afterName := p.pair()
			all, err = list(ctx, s.db, s.scanInstance, selectInstance+liveInstance+" AND (o.name, i.name) > (?, ?) ORDER BY o.name, i.name LIMIT ?", afterOrg, afterName, p.limit())
			return err
		}
		o, err := organization(ctx, s.db, org)
		if err != nil {
			return err
		}
		all, err = list(ctx, s.db, s.scanInstance, selectInstance+liveInstance+" AND o.id = ? AND i.name > ? ORDER BY i.name LIMIT ?", o.ID, p.After, p.limit())
		return err
	})
	return all, err
}

// Instance returns the instance with that name.
func (s *Store) Instance(ctx context.Context, org, name string) (in tenant.Instance, err error) {
	err = s.read(ctx, "instance", func() (err error) {
		in, err = s.instance(ctx, s.db, org, name)
		return err
	})
	return in, err
}

// UpdateInstance has change alter an instance: where it is, its slow log's threshold and its near cache's size, which
// its clients follow at once, and its name, and so its label. ErrConflict when the new name is taken; an error
// of change's leaves it as it was.
func (s *Store) UpdateInstance(ctx context.Context, org, name string, change func(*tenant.Instance) error) (in tenant.Instance, err error) {
	err = s.write(ctx, "update_instance", func(tx statements) error {
		if in, err = s.instance(ctx, tx, org, name); err != nil {
			return err
		}
		was := in
		if err := refuse(change(&in)); err != nil {
			return err
		}
		in.ID, in.Org, in.Version, in.CreatedAt, in.DeletedAt = was.ID, was.Org, was.Version, was.CreatedAt, was.DeletedAt
		if err := checkInstance(&in); err != nil || reflect.DeepEqual(in, was) {
			return err
		}
		notes := []string{changedKeysOfInstance}
		if in.Name != was.Name {
			notes = append(notes, deletedLabel)
			if err := s.instanceFree(ctx, tx, org, in.Name); err != nil {
				return err
			}
		}
		if err := s.changed(ctx, tx, notes...)(in.ID); err != nil {
			return err
		}
		in.Version++
		_, err := tx.ExecContext(ctx, "UPDATE instances SET name = ?, url = ?, slowlog_threshold_us = ?, cache_bytes = ?, version = ? WHERE id = ?",
			in.Name, s.seal.seal(in.URL.Reveal(), in.ID), tenant.SlowlogMicroseconds(in.SlowlogThreshold), in.CacheBytes, in.Version, in.ID)
		return err
	})
	return in, err
}

// DeleteInstance deletes an instance: no key opens it, those whose own it is open
// nothing, and its name is free, but until it is purged RestoreInstance has it back.
// While keys open it, that is ErrConflict, unless d.Force.
func (s *Store) DeleteInstance(ctx context.Context, org, name string, d Deletion) error {
	return s.write(ctx, "delete_instance", func(tx statements) error {
		in, err := s.instance(ctx, tx, org, name)
		if err != nil {
			return err
		}
		if err := CheckVersion(d.Version, in.Version); err != nil {
			return err
		}
		var keys int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM "+liveKeys+" JOIN key_instances ki ON ki.key_id = k.id WHERE ki.instance_id = ?", in.ID).Scan(&keys); err != nil {
			return err
		}
		if keys > 0 && !d.Force {
			return conflict("instance %q of organization %q is opened by %d keys: delete them first, or use force", name, org, keys)
		}
		if err := s.changed(ctx, tx, changedKeysOfInstance, deletedLabel)(in.ID); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE instances "+setDeleted, millis(now()), in.ID)
		return err
	})
}

// What is to be noted of an instance.
const (
	changedKeysOfInstance = "INSERT INTO changes (key_id) SELECT key_id FROM key_instances WHERE instance_id = ?1"
	deletedLabel          = "INSERT INTO changes (deleted) SELECT o.name || '/' || i.name FROM instances i JOIN organizations o ON o.id = i.org_id WHERE i.id = ?1"
)

const (
	selectInstance = "SELECT i.id, o.name, coalesce(i.deleted_name, i.name), i.url, i.slowlog_threshold_us, i.cache_bytes, i.version, i.created_at, i.deleted_at FROM instances i JOIN organizations o ON o.id = i.org_id"
	liveInstance   = " WHERE i.deleted_at IS NULL AND o.deleted_at IS NULL"
)

func (s *Store) instance(ctx context.Context, q statements, org, name string) (tenant.Instance, error) {
	in, err := s.scanInstance(q.QueryRowContext(ctx, selectInstance+liveInstance+" AND o.name = ? AND i.name = ? AND ? IN ('', o.id)", org, name, within(ctx)))
	if !errors.Is(err, sql.ErrNoRows) {
		return in, err
	}
	if _, err := organization(ctx, q, org); err != nil {
		return in, err
	}
	return in, notFound("instance %q of organization %q", name, org)
}

func (s *Store) scanInstance(row scanner) (in tenant.Instance, err error) {
	var sealed []byte
	var created, deleted sql.NullInt64
	var threshold *int64
	if err := row.Scan(&in.ID, &in.Org, &in.Name, &sealed, &threshold, &in.CacheBytes, &in.Version, &created, &deleted); err != nil {
		return in, err
	}
	url, err := s.seal.open(sealed, in.ID)
	if err != nil {
		return in, fmt.Errorf("URL of instance %s: %w", in.Label(), err)
	}
	in.SlowlogThreshold = tenant.SlowlogThreshold(threshold)
	in.URL, in.CreatedAt, in.DeletedAt = tenant.Secret(url), fromMillis(created), fromMillis(deleted)
	return in, nil
}
