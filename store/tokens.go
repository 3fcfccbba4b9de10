package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/respgate/respgate/tenant"
)

func checkToken(t tenant.Token) error {
	kinds := []tenant.TokenKind{tenant.APIToken, tenant.BrowserSign, tenant.Invitation}
	switch {
	case !validID(t.ID):
		return invalid("token id %q: want %d characters of base62", t.ID, idLength)
	case !slices.Contains(kinds, t.Kind):
		return invalid("kind of token %.80q: want one of %v", string(t.Kind), kinds)
	case t.Rate < 0, t.Rate > MaxRate:
		return invalid("rate of %d: want 0 to %d", t.Rate, MaxRate)
	case t.Burst < 0, t.Burst > MaxRate:
		return invalid("burst of %d: want 0 to %d", t.Burst, MaxRate)
	}
	return checkLabel("token", t.Name)
}

// CreateToken stores a user's token; its time of creation is set.
func (s *Store) CreateToken(ctx context.Context, t tenant.Token) (tenant.Token, error) {
	t = tenant.Token{
		ID: t.ID, UserID: t.UserID, Kind: t.Kind, Name: t.Name, SecretHash: t.SecretHash, Rate: t.Rate, Burst: t.Burst,
		CreatedAt: now(), ExpiresAt: stored(t.ExpiresAt),
	}
	if err := checkToken(t); err != nil {
		return t, err
	}
	err := s.write(ctx, "create_token", func(tx statements) error {
		if _, err := user(ctx, tx, "id", t.UserID); err != nil {
			return err
		}
		n, err := affected(ctx, tx, `INSERT INTO tokens (id, user_id, kind, name, secret_hash, rate, burst, created_at, expires_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
			t.ID, t.UserID, string(t.Kind), t.Name, t.SecretHash[:], t.Rate, t.Burst, millis(t.CreatedAt), millis(t.ExpiresAt))
		if err == nil && n == 0 {
			err = conflict("token %s exists already", t.ID)
		}
		return err
	})
	return t, err
}

// Token returns the token with that id, also one that has expired or is revoked, and its
// user, also one that is disabled.
func (s *Store) Token(ctx context.Context, id string) (t tenant.Token, u tenant.User, err error) {
	err = s.read(ctx, "token", func() error {
		to, done := userTo(&u)
		t, err = scanToken(s.db.QueryRowContext(ctx, "SELECT "+tokenColumns+", "+userColumns+" FROM tokens t JOIN users u ON u.id = t.user_id WHERE t.id = ?", id), to...)
		done()
		if errors.Is(err, sql.ErrNoRows) {
			return notFound("token %q", id)
		}
		return err
	})
	return t, u, err
}

// Tokens returns a user's tokens of a kind, all with kind "", the oldest first; a page is
// after the TokenPlace of one.
func (s *Store) Tokens(ctx context.Context, userID string, kind tenant.TokenKind, p Page) (all []tenant.Token, err error) {
	created, id := p.pair()
	after := int64(-1)
	if p.After != "" {
		if after, err = strconv.ParseInt(created, 10, 64); err != nil {
			return nil, invalid("tokens after %.40q: want the place of one", p.After)
		}
	}
	err = s.read(ctx, "tokens", func() (err error) {
		scan := func(row scanner) (tenant.Token, error) { return scanToken(row) }
		all, err = list(ctx, s.db, scan, "SELECT "+tokenColumns+` FROM tokens t WHERE t.user_id = ? AND ? IN ('', t.kind) AND (t.created_at, t.id) > (?, ?)
			ORDER BY t.created_at, t.id LIMIT ?`, userID, string(kind), after, id, p.limit())
		return err
	})
	return all, err
}

// TokenPlace is what Tokens are ordered by: the time of creation, and the id.
func TokenPlace(t tenant.Token) string {
	return strconv.FormatInt(t.CreatedAt.UnixMilli(), 10) + "/" + t.ID
}

// RevokeToken ends a token for good. It reports whether it did not have ended so before:
// of several who use an invitation, one is the first.
func (s *Store) RevokeToken(ctx context.Context, id string) (first bool, err error) {
	err = s.write(ctx, "revoke_token", func(tx statements) error {
		n, err := affected(ctx, tx, "UPDATE tokens SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", millis(now()), id)
		if first = n > 0; first || err != nil {
			return err
		}
		err = tx.QueryRowContext(ctx, "SELECT id FROM tokens WHERE id = ?", id).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			err = notFound("token %q", id)
		}
		return err
	})
	return first, err
}

const tokenColumns = "t.id, t.user_id, t.kind, t.name, t.secret_hash, t.rate, t.burst, t.created_at, t.expires_at, t.revoked_at, t.last_used_at" //nolint:gosec // no secret

// scanToken reads tokenColumns, and what comes behind them.
func scanToken(row scanner, behind ...any) (t tenant.Token, err error) {
	var kind string
	var hash []byte
	var created, expires, revoked, used sql.NullInt64
	if err := row.Scan(append([]any{&t.ID, &t.UserID, &kind, &t.Name, &hash, &t.Rate, &t.Burst, &created, &expires, &revoked, &used}, behind...)...); err != nil {
		return t, err
	}
	if copy(t.SecretHash[:], hash) != len(t.SecretHash) {
		return t, fmt.Errorf("token %s: its hash has %d bytes", t.ID, len(hash))
	}
	t.Kind = tenant.TokenKind(kind)
	t.CreatedAt, t.ExpiresAt, t.RevokedAt, t.LastUsedAt = fromMillis(created), fromMillis(expires), fromMillis(revoked), fromMillis(used)
	return t, nil
}
