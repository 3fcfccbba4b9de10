package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/respgate/respgate/tenant"
)

// CreateOrganization stores an organization; its id and its time of creation are set.
// ErrConflict when the name is taken.
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
		o.ID, o.CreatedAt = id, now()
		_, err = tx.ExecContext(ctx, "INSERT INTO organizations (id, name, max_connections, created_at) VALUES (?, ?, ?, ?)",
			o.ID, o.Name, o.MaxConnections, millis(o.CreatedAt))
		return err
	})
	return o, err
}

func checkOrganization(o tenant.Organization) error {
	if err := checkName("organization", o.Name); err != nil {
		return err
	}
	return checkConnections(o.MaxConnections)
}

func organizationFree(ctx context.Context, tx statements, name string) error {
	switch _, err := organization(ctx, tx, name); {
	case err == nil:
		return conflict("organization %q exists already", name)
	case errors.Is(err, tenant.ErrNotFound):
		return nil
	default:
		return err
	}
}

// Organizations returns all organizations by name.
func (s *Store) Organizations(ctx context.Context) (all []tenant.Organization, err error) {
	err = s.read(ctx, "organizations", func() (err error) {
		all, err = list(ctx, s.db, scanOrganization, selectOrganization+" ORDER BY name")
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
// labels, and its connections. Its keys go on. ErrConflict when the new name is taken; an
// error of change's leaves it as it was.
func (s *Store) UpdateOrganization(ctx context.Context, name string, change func(*tenant.Organization) error) (o tenant.Organization, err error) {
	err = s.write(ctx, "update_organization", func(tx statements) error {
		if o, err = organization(ctx, tx, name); err != nil {
			return err
		}
		was := o
		if err := change(&o); err != nil {
			return err
		}
		o.ID, o.CreatedAt = was.ID, was.CreatedAt
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
		_, err = tx.ExecContext(ctx, "UPDATE organizations SET name = ?, max_connections = ? WHERE id = ?", o.Name, o.MaxConnections, o.ID)
		return err
	})
	return o, err
}

// DeleteOrganization deletes an organization. With instances or keys it is in use:
// ErrConflict, unless force deletes these too.
func (s *Store) DeleteOrganization(ctx context.Context, name string, force bool) error {
	return s.write(ctx, "delete_organization", func(tx statements) error {
		o, err := organization(ctx, tx, name)
		if err != nil {
			return err
		}
		var instances, keys int
		err = tx.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM instances WHERE org_id = ?1), (SELECT count(*) FROM api_keys WHERE org_id = ?1)`, o.ID).Scan(&instances, &keys)
		if err != nil {
			return err
		}
		if instances+keys > 0 && !force {
			return conflict("organization %q has %d instances and %d keys: delete them first, or use force", name, instances, keys)
		}
		if err := s.organizationChanged(ctx, tx, o); err != nil {
			return err
		}
		return runAll(ctx, tx, []string{
			"DELETE FROM api_keys WHERE org_id = ?", // and what they open
			"DELETE FROM instances WHERE org_id = ?",
			"DELETE FROM organizations WHERE id = ?",
		}, o.ID)
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
		"INSERT INTO changes (deleted) SELECT o.name || '/' || i.name FROM instances i JOIN organizations o ON o.id = i.org_id WHERE o.id = ?1",
	)(o.ID)
}

const selectOrganization = "SELECT id, name, max_connections, created_at FROM organizations"

func organization(ctx context.Context, q statements, name string) (tenant.Organization, error) {
	o, err := scanOrganization(q.QueryRowContext(ctx, selectOrganization+" WHERE name = ?", name))
	if errors.Is(err, sql.ErrNoRows) {
		return o, notFound("organization %q", name)
	}
	return o, err
}

func scanOrganization(row scanner) (o tenant.Organization, err error) {
	var created sql.NullInt64
	err = row.Scan(&o.ID, &o.Name, &o.MaxConnections, &created)
	o.CreatedAt = fromMillis(created)
	return o, err
}
