package store

import (
	"context"
	"time"
)

// PurgeBefore says of what time what is to be purged was; what is zero stays.
type PurgeBefore struct {
	Deleted     time.Time // when organizations and instances were deleted
	Usage       time.Time
	Audit       time.Time
	Idempotency time.Time // when requests were claimed
	Tokens      time.Time // when they expired or were revoked
	Proxies     time.Time // when they were last heard of
}

// Purged is how much was purged.
type Purged struct {
	Organizations, Instances, Keys int
	Usage, Events, Answers, Tokens int
	Proxies                        int
}

// purgedAtOnce is how many rows one transaction purges of what there are many of: others
// write meanwhile.
const purgedAtOnce = 1000

// What is purged with ?1, the time.
const (
	goneOrganizations = "(SELECT id FROM organizations WHERE deleted_at < ?1)"
	goneInstances     = "(SELECT i.id FROM instances i JOIN organizations o ON o.id = i.org_id WHERE i.deleted_at < ?1 OR o.deleted_at < ?1)"
	purgeUsage        = "DELETE FROM usage WHERE (key_id, at, instance_id) IN (SELECT key_id, at, instance_id FROM usage WHERE "
)

// Purge deletes for good what is older than it is to be kept, in several transactions.
func (s *Store) Purge(ctx context.Context, before PurgeBefore) (p Purged, err error) {
	for _, part := range []struct {
		before    time.Time
		count     *int
		statement string // deletes ?2 rows at most
	}{
		{before.Deleted, &p.Usage, purgeUsage + "instance_id IN " + goneInstances + " LIMIT ?2)"},
		{before.Usage, &p.Usage, purgeUsage + "at < ?1 ORDER BY at LIMIT ?2)"},
		{before.Audit, &p.Events, "DELETE FROM audit WHERE seq IN (SELECT seq FROM audit WHERE at < ?1 ORDER BY at LIMIT ?2)"},
		{before.Idempotency, &p.Answers, "DELETE FROM idempotency WHERE (owner, key) IN (SELECT owner, key FROM idempotency WHERE created_at < ?1 LIMIT ?2)"},
		{before.Tokens, &p.Tokens, "DELETE FROM tokens WHERE id IN (SELECT id FROM tokens WHERE expires_at < ?1 OR revoked_at < ?1 LIMIT ?2)"},
		{before.Proxies, &p.Proxies, "DELETE FROM proxies WHERE id IN (SELECT id FROM proxies WHERE seen_at < ?1 LIMIT ?2)"},
	} {
		if part.before.IsZero() {
			continue
		}
		for n := purgedAtOnce; n == purgedAtOnce; *part.count += n {
			err := s.write(ctx, "purge", func(tx statements) (err error) {
				n, err = affected(ctx, tx, part.statement, millis(part.before), purgedAtOnce)
				return err
			})
			if err != nil {
				return p, err
			}
		}
	}
	if before.Deleted.IsZero() {
		return p, nil
	}
	return p, s.purgeDeleted(ctx, before.Deleted, &p)
}

// purgeDeleted deletes organizations, instances and the keys whose own these are for good.
// Nothing changes for proxies.
func (s *Store) purgeDeleted(ctx context.Context, before time.Time, p *Purged) error {
	return s.write(ctx, "purge", func(tx statements) (err error) {
		var opened int
		for _, part := range []struct {
			count     *int
			statement string
		}{
			{&p.Keys, "DELETE FROM api_keys WHERE org_id IN " + goneOrganizations + " OR id IN (SELECT key_id FROM key_instances WHERE position = 0 AND instance_id IN " + goneInstances + ")"},
			{&opened, "DELETE FROM key_instances WHERE instance_id IN " + goneInstances},
			{&p.Instances, "DELETE FROM instances WHERE id IN " + goneInstances},
			{&p.Organizations, "DELETE FROM organizations WHERE deleted_at < ?1"},
		} {
			if *part.count, err = affected(ctx, tx, part.statement, millis(before)); err != nil {
				return err
			}
		}
		return nil
	})
}

// affected runs a statement and returns how many rows it changed.
func affected(ctx context.Context, tx statements, statement string, args ...any) (int, error) {
	result, err := tx.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}
