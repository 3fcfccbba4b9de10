package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/respgate/respgate/tenant"
)

// What is deleted has a name that no other can have, as '~' is not for names, so that
// its own is free.
const (
	setDeleted  = "SET deleted_name = name, name = '~' || id, deleted_at = ?, version = version + 1 WHERE id = ?"
	setRestored = "SET name = deleted_name, deleted_name = NULL, deleted_at = NULL, version = version + 1 WHERE id = ?"
)

// DeletedOrganizations returns the organizations that are deleted and not yet purged, by
// the name that they had and their id; a page is after both, with '/' between.
func (s *Store) DeletedOrganizations(ctx context.Context, p Page) (all []tenant.Organization, err error) {
	name, id := p.pair()
	err = s.read(ctx, "deleted_organizations", func() (err error) {
		all, err = list(ctx, s.db, scanOrganization, selectOrganization+" WHERE o.deleted_at IS NOT NULL AND (o.deleted_name, o.id) > (?, ?) ORDER BY o.deleted_name, o.id LIMIT ?", name, id, p.limit())
		return err
	})
	return all, err
}

// RestoreOrganization has the deleted organization with that id back, with its members,
// instances and keys but for those that had been deleted before. ErrConflict when its name
// is taken.
func (s *Store) RestoreOrganization(ctx context.Context, id string) (o tenant.Organization, err error) {
	err = s.write(ctx, "restore_organization", func(tx statements) error {
		o, err = scanOrganization(tx.QueryRowContext(ctx, selectOrganization+" WHERE o.id = ? AND o.deleted_at IS NOT NULL", id))
		if errors.Is(err, sql.ErrNoRows) {
			return notFound("deleted organization %q", id)
		}
		if err != nil {
			return err
		}
		if err := organizationFree(ctx, tx, o.Name); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE organizations "+setRestored, o.ID); err != nil {
			return err
		}
		if err := s.keysChanged(ctx, tx, o); err != nil {
			return err
		}
		o, err = organization(ctx, tx, o.Name)
		return err
	})
	return o, err
}

// DeletedInstances returns an organization's instances that are deleted and not yet
// purged, by the name that they had and their id; a page is after both, with '/' between.
func (s *Store) DeletedInstances(ctx context.Context, org string, p Page) (all []tenant.Instance, err error) {
	name, id := p.pair()
	err = s.read(ctx, "deleted_instances", func() error {
		o, err := organization(ctx, s.db, org)
		if err != nil {
			return err
		}
		all, err = list(ctx, s.db, s.scanInstance, selectInstance+" WHERE o.id = ? AND i.deleted_at IS NOT NULL AND (i.deleted_name, i.id) > (?, ?) ORDER BY i.deleted_name, i.id LIMIT ?",
			o.ID, name, id, p.limit())
		return err
	})
	return all, err
}

// RestoreInstance has an organization's deleted instance with that id back; keys open it
// again. ErrConflict when its name is taken, ErrQuota when the organization has no room
// for it or for the keys whose own it is.
func (s *Store) RestoreInstance(ctx context.Context, org, id string) (in tenant.Instance, err error) {
	err = s.write(ctx, "restore_instance", func(tx statements) error {
		o, err := organization(ctx, tx, org)
		if err != nil {
			return err
		}
		in, err = s.scanInstance(tx.QueryRowContext(ctx, selectInstance+" WHERE o.id = ? AND i.id = ? AND i.deleted_at IS NOT NULL", o.ID, id))
		if errors.Is(err, sql.ErrNoRows) {
			return notFound("deleted instance %q of organization %q", id, org)
		}
		if err != nil {
			return err
		}
		if err := s.instanceFree(ctx, tx, org, in.Name); err != nil {
			return err
		}
		var keys int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM api_keys k JOIN key_instances ki ON ki.key_id = k.id
			WHERE ki.instance_id = ? AND ki.position = 0 AND k.revoked_at IS NULL`, in.ID).Scan(&keys); err != nil {
			return err
		}
		if err := errors.Join(roomForInstance(ctx, tx, o), roomForKeys(ctx, tx, o, keys)); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE instances "+setRestored, in.ID); err != nil {
			return err
		}
		if err := s.changed(ctx, tx, changedKeysOfInstance)(in.ID); err != nil {
			return err
		}
		in, err = s.instance(ctx, tx, org, in.Name)
		return err
	})
	return in, err
}
