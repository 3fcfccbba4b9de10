package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/respgate/respgate/tenant"
)

// SetMember gives a user a role in an organization, another one where there is one. The
// last owner stays one: ErrConflict. ErrQuota when the organization has no room for
// another member.
func (s *Store) SetMember(ctx context.Context, org, userID string, role tenant.Role) (m tenant.Membership, err error) {
	if !role.Valid() {
		return m, invalid("role %.80q: want one of %v", string(role), tenant.Roles())
	}
	err = s.write(ctx, "set_member", func(tx statements) error {
		o, err := organization(ctx, tx, org)
		if err != nil {
			return err
		}
		u, err := user(ctx, tx, "id", userID)
		if err != nil {
			return err
		}
		m, err = membership(ctx, tx, org, userID)
		switch {
		case errors.Is(err, tenant.ErrNotFound):
			m = tenant.Membership{OrgID: o.ID, Org: o.Name, UserID: u.ID, Email: u.Email, CreatedAt: now()}
			err = room(ctx, tx, o, o.MaxMembers, 1, "members", "SELECT count(*) FROM memberships WHERE org_id = ?")
		case err == nil && role != tenant.Owner:
			err = anotherOwner(ctx, tx, m)
		}
		if err != nil {
			return err
		}
		m.Role = role
		_, err = tx.ExecContext(ctx, `INSERT INTO memberships (org_id, user_id, role, created_at) VALUES (?, ?, ?, ?)
			ON CONFLICT (org_id, user_id) DO UPDATE SET role = excluded.role`, m.OrgID, m.UserID, string(m.Role), millis(m.CreatedAt))
		return err
	})
	return m, err
}

// RemoveMember takes a user's role in an organization. The last owner stays: ErrConflict.
func (s *Store) RemoveMember(ctx context.Context, org, userID string) error {
	return s.write(ctx, "remove_member", func(tx statements) error {
		m, err := membership(ctx, tx, org, userID)
		if err != nil {
			return err
		}
		if err := anotherOwner(ctx, tx, m); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM memberships WHERE org_id = ? AND user_id = ?", m.OrgID, m.UserID)
		return err
	})
}

// anotherOwner returns ErrConflict when m is the last owner's.
func anotherOwner(ctx context.Context, tx statements, m tenant.Membership) error {
	if m.Role != tenant.Owner {
		return nil
	}
	var others int
	err := tx.QueryRowContext(ctx, "SELECT count(*) FROM memberships WHERE org_id = ? AND user_id <> ? AND role = ?", m.OrgID, m.UserID, string(tenant.Owner)).Scan(&others)
	if err == nil && others == 0 {
		err = lastOwner(m.Email, m.Org)
	}
	return err
}

// Members returns an organization's members by e-mail address.
func (s *Store) Members(ctx context.Context, org string, p Page) (all []tenant.Membership, err error) {
	err = s.read(ctx, "members", func() error {
		o, err := organization(ctx, s.db, org)
		if err != nil {
			return err
		}
		all, err = list(ctx, s.db, scanMembership, selectMembership+" AND m.org_id = ? AND u.email > ? ORDER BY u.email LIMIT ?", o.ID, p.After, p.limit())
		return err
	})
	return all, err
}

// Memberships returns a user's by the organization's name.
func (s *Store) Memberships(ctx context.Context, userID string) (all []tenant.Membership, err error) {
	err = s.read(ctx, "memberships", func() (err error) {
		all, err = list(ctx, s.db, scanMembership, selectMembership+" AND m.user_id = ? ORDER BY o.name", userID)
		return err
	})
	return all, err
}

// Membership returns a user's in an organization.
func (s *Store) Membership(ctx context.Context, org, userID string) (m tenant.Membership, err error) {
	err = s.read(ctx, "membership", func() (err error) {
		m, err = membership(ctx, s.db, org, userID)
		return err
	})
	return m, err
}

const selectMembership = `SELECT m.org_id, o.name, m.user_id, u.email, m.role, m.created_at
	FROM memberships m JOIN organizations o ON o.id = m.org_id JOIN users u ON u.id = m.user_id WHERE o.deleted_at IS NULL`

func membership(ctx context.Context, q statements, org, userID string) (tenant.Membership, error) {
	m, err := scanMembership(q.QueryRowContext(ctx, selectMembership+" AND o.name = ? AND m.user_id = ?", org, userID))
	if err == nil && outside(ctx, m.OrgID) {
		err = sql.ErrNoRows
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return m, err
	}
	if _, err := organization(ctx, q, org); err != nil {
		return m, err
	}
	return m, notFound("member %q of organization %q", userID, org)
}

func scanMembership(row scanner) (m tenant.Membership, err error) {
	var role string
	var created sql.NullInt64
	err = row.Scan(&m.OrgID, &m.Org, &m.UserID, &m.Email, &role, &created)
	m.Role, m.CreatedAt = tenant.Role(role), fromMillis(created)
	return m, err
}
