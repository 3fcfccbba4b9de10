package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/respgate/respgate/tenant"
)

// MaxCertificateName bounds the name of a key's client certificate, in bytes.
const MaxCertificateName = 512

// CheckCertificateName returns ErrInvalid for what cannot be the name of a key's client
// certificate; "" is none.
func CheckCertificateName(name string) error {
	switch {
	case len(name) > MaxCertificateName:
		return invalid("certificate name of %d bytes: want at most %d", len(name), MaxCertificateName)
	case !utf8.ValidString(name), strings.ContainsFunc(name, unprintable), strings.TrimSpace(name) != name:
		return invalid("certificate name %q: want printable characters, without spaces around them", name)
	}
	return nil
}

// bind has k opened by the certificate name that it has, which no other live key may
// have, or by none.
func bind(ctx context.Context, tx statements, k tenant.Key) error {
	if k.CertificateName != "" && k.RevokedAt.IsZero() {
		var other string
		err := tx.QueryRowContext(ctx, "SELECT k.id FROM "+liveKeys+" WHERE k.certificate_name = ? AND k.revoked_at IS NULL AND k.id <> ?", k.CertificateName, k.ID).Scan(&other)
		if err == nil {
			return conflict("certificate name %q is that of key %s already", k.CertificateName, other)
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		// One that is deleted with its organization or instance comes back without it.
		if _, err := tx.ExecContext(ctx, "UPDATE api_keys SET certificate_name = NULL, version = version + 1 WHERE certificate_name = ? AND revoked_at IS NULL AND id <> ?", k.CertificateName, k.ID); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, "UPDATE api_keys SET certificate_name = nullif(?, '') WHERE id = ?", k.CertificateName, k.ID)
	return err
}

// KeyByCertificate returns the id of the key, not revoked, that the first of the names
// opens which opens any.
func (s *Store) KeyByCertificate(ctx context.Context, names []string) (id string, err error) {
	err = s.read(ctx, "key_by_certificate", func() error {
		args := make([]any, 0, len(names))
		for _, name := range names {
			args = append(args, name)
		}
		type bound struct{ id, name string }
		all, err := list(ctx, s.db, func(row scanner) (b bound, err error) { return b, row.Scan(&b.id, &b.name) },
			"SELECT k.id, k.certificate_name FROM "+liveKeys+" WHERE k.revoked_at IS NULL AND k.certificate_name IN (?"+strings.Repeat(", ?", max(0, len(names)-1))+")", args...)
		if err != nil {
			return err
		}
		first := len(names)
		for _, b := range all {
			if i := slices.Index(names, b.name); i < first {
				first, id = i, b.id
			}
		}
		if id == "" {
			return notFound("key for a certificate of that name")
		}
		return nil
	})
	return id, err
}
