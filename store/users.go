package store

import (
	"context"
	"database/sql"
	"errors"
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/respgate/respgate/tenant"
)

const (
	// MaxEmail bounds an e-mail address, in bytes (RFC 5321, 4.5.3.1.3, without the brackets).
	MaxEmail = 254
	// MaxLabel bounds the names for people of users and tokens, in bytes.
	MaxLabel = 128
	// maxPasswordHash bounds a password's hash in PHC form, in bytes.
	maxPasswordHash = 512
)

func checkUser(u tenant.User) error {
	address, err := mail.ParseAddress(u.Email)
	switch {
	case err != nil, address.Address != u.Email, strings.ContainsRune(u.Email, utf8.RuneError), strings.ContainsFunc(u.Email, unprintable), len(u.Email) > MaxEmail:
		return invalid("e-mail address %.300q: want one such as ann@example.com, of at most %d bytes", u.Email, MaxEmail)
	case len(u.PasswordHash) > maxPasswordHash:
		return invalid("password hash of %d bytes: want at most %d", len(u.PasswordHash), maxPasswordHash)
	}
	return checkLabel("user", u.Name)
}

// unprintable is what nobody sees, or what has others seen elsewhere than they are: two names
// that look alike must not differ in it.
func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// checkLabel checks a name for people of what.
func checkLabel(what, name string) error {
	if len(name) > MaxLabel || !utf8.ValidString(name) || strings.TrimSpace(name) != name || strings.ContainsFunc(name, unprintable) {
		return invalid("%s name %.200q: want at most %d bytes of printable characters, without spaces around them", what, name, MaxLabel)
	}
	return nil
}

// CreateUser stores a user; the id, the version and the time of creation are set, and the
// e-mail address is kept in lower case. ErrConflict when there is one with that address.
func (s *Store) CreateUser(ctx context.Context, u tenant.User) (tenant.User, error) {
	id, err := newID()
	if err != nil {
		return u, err
	}
	u.ID, u.Email, u.Version, u.CreatedAt, u.DisabledAt = id, strings.ToLower(u.Email), 1, now(), stored(u.DisabledAt)
	if err := checkUser(u); err != nil {
		return u, err
	}
	err = s.write(ctx, "create_user", func(tx statements) error {
		if err := emailFree(ctx, tx, u.Email); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO users (id, email, name, operator, password_hash, created_at, disabled_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
			u.ID, u.Email, u.Name, bit(u.Operator), u.PasswordHash.Reveal(), millis(u.CreatedAt), millis(u.DisabledAt))
		return err
	})
	return u, err
}

func emailFree(ctx context.Context, tx statements, email string) error {
	switch _, err := user(ctx, tx, "email", email); {
	case err == nil:
		return conflict("user %q exists already", email)
	case errors.Is(err, tenant.ErrNotFound):
		return nil
	default:
		return err
	}
}

// Users returns users by e-mail address.
func (s *Store) Users(ctx context.Context, p Page) (all []tenant.User, err error) {
	err = s.read(ctx, "users", func() (err error) {
		all, err = list(ctx, s.db, scanUser, selectUser+" WHERE u.email > ? ORDER BY u.email LIMIT ?", p.After, p.limit())
		return err
	})
	return all, err
}

// User returns the user with that id.
func (s *Store) User(ctx context.Context, id string) (u tenant.User, err error) {
	err = s.read(ctx, "user", func() (err error) {
		u, err = user(ctx, s.db, "id", id)
		return err
	})
	return u, err
}

// UserByEmail returns the user with that e-mail address, in whatever case.
func (s *Store) UserByEmail(ctx context.Context, email string) (u tenant.User, err error) {
	err = s.read(ctx, "user_by_email", func() (err error) {
		u, err = user(ctx, s.db, "email", strings.ToLower(email))
		return err
	})
	return u, err
}

// UpdateUser has change alter a user: e-mail address, name, password, whether an operator
// and since when disabled. ErrConflict when the new address is taken; an error of
// change's leaves the user as it was.
func (s *Store) UpdateUser(ctx context.Context, id string, change func(*tenant.User) error) (u tenant.User, err error) {
	err = s.write(ctx, "update_user", func(tx statements) error {
		if u, err = user(ctx, tx, "id", id); err != nil {
			return err
		}
		was := u
		if err := refuse(change(&u)); err != nil {
			return err
		}
		u.ID, u.Email, u.Version, u.CreatedAt, u.DisabledAt = was.ID, strings.ToLower(u.Email), was.Version, was.CreatedAt, stored(u.DisabledAt)
		if err := checkUser(u); err != nil || u == was {
			return err
		}
		if u.Email != was.Email {
			if err := emailFree(ctx, tx, u.Email); err != nil {
				return err
			}
		}
		u.Version++
		_, err := tx.ExecContext(ctx, "UPDATE users SET email = ?, name = ?, operator = ?, password_hash = ?, disabled_at = ?, version = ? WHERE id = ?",
			u.Email, u.Name, bit(u.Operator), u.PasswordHash.Reveal(), millis(u.DisabledAt), u.Version, u.ID)
		return err
	})
	return u, err
}

// DeleteUser deletes a user, with the user's memberships and tokens, of that version, or any
// with 0: else it is ErrStale. The last owner of an organization stays: ErrConflict.
func (s *Store) DeleteUser(ctx context.Context, id string, version int64) error {
	return s.write(ctx, "delete_user", func(tx statements) error {
		u, err := user(ctx, tx, "id", id)
		if err != nil {
			return err
		}
		if err := CheckVersion(version, u.Version); err != nil {
			return err
		}
		var org string
		err = tx.QueryRowContext(ctx, `SELECT o.name FROM memberships m JOIN organizations o ON o.id = m.org_id
			WHERE m.user_id = ?1 AND m.role = ?2 AND o.deleted_at IS NULL
			AND NOT EXISTS (SELECT 1 FROM memberships other WHERE other.org_id = m.org_id AND other.role = ?2 AND other.user_id <> ?1) ORDER BY o.name LIMIT 1`,
			u.ID, string(tenant.Owner)).Scan(&org)
		switch {
		case err == nil:
			return lastOwner(u.Email, org)
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM users WHERE id = ?", u.ID) // and what is the user's
		return err
	})
}

func lastOwner(email, org string) error {
	return conflict("user %q is the last owner of organization %q: make another one first", email, org)
}

const (
	userColumns = "u.id, u.email, u.name, u.operator, u.password_hash, u.version, u.created_at, u.disabled_at"
	selectUser  = "SELECT " + userColumns + " FROM users u"
)

// user returns the user whose column, id or email, has that value.
func user(ctx context.Context, q statements, column, value string) (tenant.User, error) {
	u, err := scanUser(q.QueryRowContext(ctx, selectUser+" WHERE u."+column+" = ?", value))
	if errors.Is(err, sql.ErrNoRows) {
		return u, notFound("user %q", value)
	}
	return u, err
}

func scanUser(row scanner) (u tenant.User, err error) {
	to, done := userTo(&u)
	err = row.Scan(to...)
	done()
	return u, err
}

// userTo returns where userColumns go, and what is to be called when they are there.
func userTo(u *tenant.User) (to []any, done func()) {
	var hash string
	var created, disabled sql.NullInt64
	return []any{&u.ID, &u.Email, &u.Name, &u.Operator, &hash, &u.Version, &created, &disabled}, func() {
		u.PasswordHash, u.CreatedAt, u.DisabledAt = tenant.Secret(hash), fromMillis(created), fromMillis(disabled)
	}
}

// bit is how what is true or not is stored.
func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}
