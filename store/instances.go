package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/respgate/respgate/tenant"
)

// MaxURL bounds an instance's URL, in bytes.
const MaxURL = 2 << 10

func checkURL(url tenant.Secret) error {
	if url == "" || len(url) > MaxURL {
		return invalid("instance URL of %d bytes: want 1 to %d", len(url), MaxURL)
	}
	return nil
}

// CreateInstance makes an instance of an organization. The URL's form is the
// caller's to check.
func (s *Store) CreateInstance(ctx context.Context, org, name string, url tenant.Secret) (in tenant.Instance, err error) {
	if err := errors.Join(checkName("instance", name), checkURL(url)); err != nil {
		return in, err
	}
	err = s.write(ctx, "create_instance", func(tx statements) error {
		o, err := organization(ctx, tx, org)
		if err != nil {
			return err
		}
		switch _, err := s.instance(ctx, tx, org, name); {
		case err == nil:
			return conflict("instance %q of organization %q exists already", name, org)
		case !errors.Is(err, tenant.ErrNotFound):
			return err
		}
		id, err := newID()
		if err != nil {
			return err
		}
		in = tenant.Instance{ID: id, Org: org, Name: name, URL: url, CreatedAt: now()}
		_, err = tx.ExecContext(ctx, "INSERT INTO instances (id, org_id, name, url, created_at) VALUES (?, ?, ?, ?, ?)",
			in.ID, o.ID, in.Name, s.seal.seal(url.Reveal(), in.ID), millis(in.CreatedAt))
		return err
	})
	return in, err
}

// Instances returns an organization's instances by name; with org "", all of them.
func (s *Store) Instances(ctx context.Context, org string) (all []tenant.Instance, err error) {
	err = s.read(ctx, "instances", func() (err error) {
		if org == "" {
			all, err = list(ctx, s.db, s.scanInstance, selectInstance+" ORDER BY o.name, i.name")
			return err
		}
		o, err := organization(ctx, s.db, org)
		if err != nil {
			return err
		}
		all, err = list(ctx, s.db, s.scanInstance, selectInstance+" WHERE o.id = ? ORDER BY i.name", o.ID)
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

// SetInstanceURL changes where an instance is. Its clients follow at once.
func (s *Store) SetInstanceURL(ctx context.Context, org, name string, url tenant.Secret) (in tenant.Instance, err error) {
	if err := checkURL(url); err != nil {
		return in, err
	}
	err = s.write(ctx, "set_instance_url", func(tx statements) (err error) {
		if in, err = s.instance(ctx, tx, org, name); err != nil {
			return err
		}
		in.URL = url
		if _, err := tx.ExecContext(ctx, "UPDATE instances SET url = ? WHERE id = ?", s.seal.seal(url.Reveal(), in.ID), in.ID); err != nil {
			return err
		}
		return s.changed(ctx, tx, "INSERT INTO changes (key_id) SELECT key_id FROM key_instances WHERE instance_id = ?")(in.ID)
	})
	return in, err
}

// DeleteInstance deletes an instance. While keys open it, that is ErrConflict, unless
// force deletes those whose own it is and takes it from the others.
func (s *Store) DeleteInstance(ctx context.Context, org, name string, force bool) error {
	return s.write(ctx, "delete_instance", func(tx statements) error {
		in, err := s.instance(ctx, tx, org, name)
		if err != nil {
			return err
		}
		var keys int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM key_instances WHERE instance_id = ?", in.ID).Scan(&keys); err != nil {
			return err
		}
		if keys > 0 && !force {
			return conflict("instance %q of organization %q is opened by %d keys: delete them first, or use force", name, org, keys)
		}
		if err := s.changed(ctx, tx,
			"INSERT INTO changes (key_id) SELECT key_id FROM key_instances WHERE instance_id = ?1",
			"INSERT INTO changes (deleted) SELECT o.name || '/' || i.name FROM instances i JOIN organizations o ON o.id = i.org_id WHERE i.id = ?1",
		)(in.ID); err != nil {
			return err
		}
		return runAll(ctx, tx, []string{
			"DELETE FROM api_keys WHERE id IN (SELECT key_id FROM key_instances WHERE instance_id = ? AND position = 0)",
			"DELETE FROM key_instances WHERE instance_id = ?",
			"DELETE FROM instances WHERE id = ?",
		}, in.ID)
	})
}

const selectInstance = "SELECT i.id, o.name, i.name, i.url, i.created_at FROM instances i JOIN organizations o ON o.id = i.org_id"

func (s *Store) instance(ctx context.Context, q statements, org, name string) (tenant.Instance, error) {
	in, err := s.scanInstance(q.QueryRowContext(ctx, selectInstance+" WHERE o.name = ? AND i.name = ?", org, name))
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
	var created sql.NullInt64
	if err := row.Scan(&in.ID, &in.Org, &in.Name, &sealed, &created); err != nil {
		return in, err
	}
	url, err := s.seal.open(sealed, in.ID)
	if err != nil {
		return in, fmt.Errorf("URL of instance %s: %w", in.Label(), err)
	}
	in.URL, in.CreatedAt = tenant.Secret(url), fromMillis(created)
	return in, nil
}
