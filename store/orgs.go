package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/respgate/respgate/tenant"
)

// MaxQuota bounds how many instances, keys and members an organization may be allowed.
const MaxQuota = 1_000_000

// CreateOrganization stores an organization; its id, its version and its time of creation
// are set. ErrConflict when the name is taken.
func (s *Store) CreateOrganization(ctx context.Context, o tenant.Organization) (tenant.Organization, error) {
	if err := checkOrganization(o); err != nil {
		return o, err
	}
	err := s.write(ctx, "create_organization", func(tx statements) error {
		if err := organizationFree(ctx, tx, o.Name); err != nil {
			return err
		}
		id, err := newID()
		if err != nil {
			return err
		}
		o = tenant.Organization{ID: id, Name: o.Name, Quota: o.Quota, Version: 1, CreatedAt: now()}
		_, err = tx.ExecContext(ctx, `INSERT INTO organizations (id, name, created_at, max_instances, max_keys, max_members, max_connections, rate, burst, byte_rate, limit_mode)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, append([]any{o.ID, o.Name, millis(o.CreatedAt)}, quotaValues(o.Quota)...)...)
		return err
	})
	return o, err
}

func checkOrganization(o tenant.Organization) error {
	if err := checkName("organization", o.Name); err != nil {
		return err
	}
	for _, c := range []struct {
		what      string
		n, atMost int
	}{
		{"instances", o.MaxInstances, MaxQuota},
		{"keys", o.MaxKeys, MaxQuota},
		{"members", o.MaxMembers, MaxQuota},
		{"commands per second", o.Rate, MaxRate},
		{"commands at once", o.Burst, MaxRate},
	} {
		if c.n < 0 || c.n > c.atMost {
			return invalid("%d %s: want 0 to %d", c.n, c.what, c.atMost)
		}
	}
	if o.ByteRate < 0 || o.ByteRate > tenant.MaxBytes {
		return invalid("%d bytes per second: want 0 to %d", o.ByteRate, int64(tenant.MaxBytes))
	}
	if err := checkMode(o.LimitMode); err != nil {
		return err
	}
	return checkConnections(o.MaxConnections)
}

func organizationFree(ctx context.Context, tx statements, name string) error {
	switch _, err := organization(Within(ctx, ""), tx, name); {
	case err == nil:
		return conflict("organization %q exists already", name)
	case errors.Is(err, tenant.ErrNotFound):
		return nil
	default:
		return err
	}
}

// Organizations returns organizations by name.
func (s *Store) Organizations(ctx context.Context, p Page) (all []tenant.Organization, err error) {
	err = s.read(ctx, "organizations", func() (err error) {
		all, err = list(ctx, s.db, scanOrganization, selectOrganization+" WHERE o.deleted_at IS NULL AND o.name > ? ORDER BY o.name LIMIT ?", p.After, p.limit())
		return err
	})
	return all, err
}

// OrganizationsOf returns by name the organizations that a user is a member of.
func (s *Store) OrganizationsOf(ctx context.Context, userID string, p Page) (all []tenant.Organization, err error) {
	err = s.read(ctx, "organizations_of", func() (err error) {
		all, err = list(ctx, s.db, scanOrganization, selectOrganization+` JOIN memberships m ON m.org_id = o.id
			WHERE m.user_id = ? AND o.deleted_at IS NULL AND o.name > ? ORDER BY o.name LIMIT ?`, userID, p.After, p.limit())
		return err
	})
	return all, err
}

// Organization returns the organization with that name.
func (s *Store) Organization(ctx context.Context, name string) (o tenant.Organization, err error) {
	err = s.read(ctx, "organization", func() (err error) {
		o, err = organization(ctx, s.db, name)
		return err
	})
	return o, err
}

// UpdateOrganization has change alter an organization: its name, and so its instances'
// labels, and its quota, which may be less than what it has. Its keys go on. ErrConflict
// when the new name is taken; an error of change's leaves it as it was.
func (s *Store) UpdateOrganization(ctx context.Context, name string, change func(*tenant.Organization) error) (o tenant.Organization, err error) {
	err = s.write(ctx, "update_organization", func(tx statements) error {
		if o, err = organization(ctx, tx, name); err != nil {
			return err
		}
		was := o
		if err := refuse(change(&o)); err != nil {
			return err
		}
		o = tenant.Organization{ID: was.ID, Name: o.Name, Quota: o.Quota, Version: was.Version, CreatedAt: was.CreatedAt}
		if err := checkOrganization(o); err != nil || o == was {
			return err
		}
		note := s.keysChanged
		if o.Name != was.Name {
			note = s.organizationChanged
			if err := organizationFree(ctx, tx, o.Name); err != nil {
				return err
			}
		}
		if err := note(ctx, tx, was); err != nil {
			return err
		}
		o.Version++
		_, err = tx.ExecContext(ctx, `UPDATE organizations SET name = ?, version = ?, max_instances = ?, max_keys = ?, max_members = ?, max_connections = ?, rate = ?, burst = ?, byte_rate = ?, limit_mode = ?
			WHERE id = ?`, append(append([]any{o.Name, o.Version}, quotaValues(o.Quota)...), o.ID)...)
		return err
	})
	return o, err
}

// DeleteOrganization deletes an organization: its keys open nothing, and its name is free,
// but until it is purged RestoreOrganization has it back. With instances or keys it is in
// use: ErrConflict, unless d.Force deletes these too.
func (s *Store) DeleteOrganization(ctx context.Context, name string, d Deletion) error {
	return s.write(ctx, "delete_organization", func(tx statements) error {
		o, err := organization(ctx, tx, name)
		if err != nil {
			return err
		}
		if err := CheckVersion(d.Version, o.Version); err != nil {
			return err
		}
		var instances, keys int
		err = tx.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM instances WHERE org_id = ?1 AND deleted_at IS NULL),
			(SELECT count(*) FROM `+liveKeys+` WHERE k.org_id = ?1)`, o.ID).Scan(&instances, &keys)
		if err != nil {
			return err
		}
		if instances+keys > 0 && !d.Force {
			return conflict("organization %q has %d instances and %d keys: delete them first, or use force", name, instances, keys)
		}
		if err := s.organizationChanged(ctx, tx, o); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE organizations "+setDeleted, millis(now()), o.ID)
		return err
	})
}

const changedKeys = "INSERT INTO changes (key_id) SELECT id FROM api_keys WHERE org_id = ?1"

// keysChanged notes that an organization's keys change.
func (d *database) keysChanged(ctx context.Context, tx statements, o tenant.Organization) error {
	return d.changed(ctx, tx, changedKeys)(o.ID)
}

// organizationChanged notes that an organization's keys change and that its labels
// go.
func (d *database) organizationChanged(ctx context.Context, tx statements, o tenant.Organization) error {
	return d.changed(ctx, tx, changedKeys,
		"INSERT INTO changes (deleted) SELECT o.name || '/' || i.name FROM instances i JOIN organizations o ON o.id = i.org_id WHERE o.id = ?1 AND i.deleted_at IS NULL",
	)(o.ID)
}

const (
	quotaColumns       = "o.max_instances, o.max_keys, o.max_members, o.max_connections, o.rate, o.burst, o.byte_rate, o.limit_mode"
	selectOrganization = "SELECT o.id, coalesce(o.deleted_name, o.name), o.version, o.created_at, o.deleted_at, " + quotaColumns + " FROM organizations o"
)

// quotaValues are the values of quotaColumns.
func quotaValues(q tenant.Quota) []any {
	return []any{q.MaxInstances, q.MaxKeys, q.MaxMembers, q.MaxConnections, q.Rate, q.Burst, q.ByteRate, q.LimitMode.String()}
}

// quotaTo is where quotaColumns go.
func quotaTo(q *tenant.Quota) []any {
	return []any{&q.MaxInstances, &q.MaxKeys, &q.MaxMembers, &q.MaxConnections, &q.Rate, &q.Burst, &q.ByteRate, limitMode{&q.LimitMode}}
}

// limitMode reads a column with the name of a mode.
type limitMode struct{ to *tenant.LimitMode }

// Scan implements sql.Scanner.
func (m limitMode) Scan(value any) (err error) {
	*m.to, err = tenant.ParseLimitMode(fmt.Sprint(value))
	return err
}

func organization(ctx context.Context, q statements, name string) (tenant.Organization, error) {
	o, err := scanOrganization(q.QueryRowContext(ctx, selectOrganization+" WHERE o.name = ? AND o.deleted_at IS NULL", name))
	if errors.Is(err, sql.ErrNoRows) || err == nil && outside(ctx, o.ID) {
		return o, notFound("organization %q", name)
	}
	return o, err
}

func scanOrganization(row scanner) (o tenant.Organization, err error) {
	var created, deleted sql.NullInt64
	err = row.Scan(append([]any{&o.ID, &o.Name, &o.Version, &created, &deleted}, quotaTo(&o.Quota)...)...)
	o.CreatedAt, o.DeletedAt = fromMillis(created), fromMillis(deleted)
	return o, err
}

// room returns ErrQuota where an organization that may have so many of what, counted by
// query for its id, has no room for more.
func room(ctx context.Context, tx statements, o tenant.Organization, may, more int, what, query string) error {
	if may == 0 || more == 0 {
		return nil
	}
	var has int
	if err := tx.QueryRowContext(ctx, query, o.ID).Scan(&has); err != nil {
		return err
	}
	switch {
	case has+more <= may:
		return nil
	case has >= may:
		return quota("organization %q may have %d %s, and has them", o.Name, may, what)
	default:
		return quota("organization %q may have %d %s, and has %d: %d more are too many", o.Name, may, what, has, more)
	}
}

func roomForInstance(ctx context.Context, tx statements, o tenant.Organization) error {
	return room(ctx, tx, o, o.MaxInstances, 1, "instances", "SELECT count(*) FROM instances WHERE org_id = ? AND deleted_at IS NULL")
}

func roomForKeys(ctx context.Context, tx statements, o tenant.Organization, more int) error {
	return room(ctx, tx, o, o.MaxKeys, more, "keys", "SELECT count(*) FROM "+liveKeys+" WHERE k.org_id = ? AND k.revoked_at IS NULL")
}
