package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/respgate/respgate/tenant"
)

// Grant returns a key with the instances that it opens.
func (s *Store) Grant(ctx context.Context, id string) (g tenant.Grant, err error) {
	err = s.read(ctx, "grant", func() (err error) {
		g, err = s.grant(ctx, s.db, id)
		return err
	})
	return g, err
}

func (s *Store) grant(ctx context.Context, q statements, id string) (tenant.Grant, error) {
	grants, err := s.grants(ctx, q, " WHERE k.id = ?", "k.id", id)
	if err != nil || len(grants) == 1 {
		return append(grants, tenant.Grant{})[0], err
	}
	return tenant.Grant{}, notFound("key %q", id)
}

// liveKeys are the keys k, of the organizations o, that are not deleted with their
// organization or their own instance.
const liveKeys = `api_keys k JOIN organizations o ON o.id = k.org_id AND o.deleted_at IS NULL
	JOIN key_instances own ON own.key_id = k.id AND own.position = 0
	JOIN instances owned ON owned.id = own.instance_id AND owned.deleted_at IS NULL`

const selectGrant = `SELECT k.id, k.secret_hash, o.name, k.name, k.rate, k.burst, k.byte_rate, k.limit_mode, k.resets, k.commands, k.allow_from, k.max_connections,
	k.created_at, k.expires_at, k.revoked_at, k.previous_hash, k.previous_until, k.audit, k.last_used_at, k.version,
	o.id, i.id, i.name, i.url, i.slowlog_threshold_us, i.cache_bytes, coalesce(k.certificate_name, ''), ` + quotaColumns + `
	FROM ` + liveKeys + ` JOIN key_instances ki ON ki.key_id = k.id JOIN instances i ON i.id = ki.instance_id AND i.deleted_at IS NULL`

// grants reads keys with their instances, a row for each instance.
func (s *Store) grants(ctx context.Context, q statements, where, order string, args ...any) ([]tenant.Grant, error) {
	rows, err := q.QueryContext(ctx, selectGrant+where+" ORDER BY "+order+", ki.position", args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var all []tenant.Grant
	for rows.Next() {
		one, err := s.scanGrant(rows)
		if err != nil {
			return nil, err
		}
		if len(all) == 0 || all[len(all)-1].Key.ID != one.Key.ID {
			all = append(all, one)
			continue
		}
		g := &all[len(all)-1]
		g.Key.Instances = append(g.Key.Instances, one.Key.Instances...)
		g.Routes = append(g.Routes, one.Routes...)
	}
	return all, rows.Err()
}

// scanGrant returns what a row says: a key with one of its instances.
func (s *Store) scanGrant(row scanner) (g tenant.Grant, err error) {
	var hash, previous, sealed []byte
	var allowFrom string
	var created, expires, revoked, previousUntil, used sql.NullInt64
	var threshold *int64
	var r tenant.Route
	k := &g.Key
	if err := row.Scan(append([]any{
		&k.ID, &hash, &k.Org, &k.Name, &k.Limits.Rate, &k.Limits.Burst, &k.Limits.ByteRate, limitMode{&k.Limits.Mode}, &k.Limits.Reset, &k.Commands, &allowFrom, &k.MaxConnections,
		&created, &expires, &revoked, &previous, &previousUntil, &k.Audit, &used, &k.Version,
		&g.Seats.OrgID, &r.InstanceID, &r.Instance, &sealed, &threshold, &r.CacheBytes, &k.CertificateName,
	}, quotaTo(&g.Quota)...)...); err != nil {
		return g, err
	}
	if copy(k.SecretHash[:], hash) != len(k.SecretHash) {
		return g, fmt.Errorf("key %s: its hash has %d bytes", k.ID, len(hash))
	}
	if n := copy(k.PreviousHash[:], previous); n != 0 && n != len(k.PreviousHash) {
		return g, fmt.Errorf("key %s: its previous hash has %d bytes", k.ID, n)
	}
	if k.AllowFrom, err = tenant.ParseNetworks(allowFrom); err != nil {
		return g, fmt.Errorf("key %s: %w", k.ID, err)
	}
	k.CreatedAt, k.ExpiresAt, k.RevokedAt = fromMillis(created), fromMillis(expires), fromMillis(revoked)
	k.PreviousUntil, k.LastUsedAt = fromMillis(previousUntil), fromMillis(used)
	g.Seats.Key, g.Seats.Org = k.MaxConnections, g.Quota.MaxConnections
	r.Label = k.Org + "/" + r.Instance
	url, err := s.seal.open(sealed, r.InstanceID)
	if err != nil {
		return g, fmt.Errorf("URL of instance %s: %w", r.Label, err)
	}
	r.URL, r.SlowlogThreshold = tenant.Secret(url), tenant.SlowlogThreshold(threshold)
	k.Instances, g.Routes = []string{r.Instance}, []tenant.Route{r}
	return g, nil
}
