package store

import (
	"context"
	"io/fs"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/respgate/respgate/tenant"
)

// testMigrates has a store as it was before its control plane: what it holds stays, and
// goes down and up again, then without what was deleted. open returns the same store each
// time.
func testMigrates(t *testing.T, open func() *Store) {
	ctx := t.Context()
	const id, shared, deleted, gone = "000000000001", "000000000002", "000000000003", "000000000004"
	s := open()
	migrateTo(t, s, 3)
	fillVersion3(t, s, id)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open()
	check := func(when string) {
		t.Helper()
		o, err := s.Organization(ctx, "acme")
		if err != nil || o.Quota != (tenant.Quota{MaxConnections: 7}) || o.Version != 1 || o.CreatedAt.UnixMilli() != 1000 {
			t.Errorf("%s: organization %+v, %v", when, o, err)
		}
		in, err := s.Instance(ctx, "acme", "cache")
		if err != nil || in.URL != testURL || in.Version != 1 || in.SlowlogThreshold != nil {
			t.Errorf("%s: instance %+v, %v", when, in, err)
		}
		g, err := s.Grant(ctx, id)
		if err != nil || g.Key.Commands != "+get" || g.Key.Version != 1 || !g.Key.PreviousUntil.IsZero() || g.Key.Audit != "" || len(g.Routes) != 1 {
			t.Errorf("%s: grant %+v, %v", when, g, err)
		}
		if c, err := s.Changes(ctx, 0); err != nil || !slices.Contains(c.Keys, id) {
			t.Errorf("%s: changes %+v, %v", when, c, err)
		}
	}
	check("migrated")

	for key, opens := range map[string][]string{shared: {"cache", "queue"}, deleted: {"queue", "cache"}} {
		must[tenant.Key](t)(s.CreateKey(ctx, tenant.Key{ID: key, Org: "acme", Name: "web", Instances: opens}))
	}
	must[tenant.Key](t)(s.CreateKey(ctx, tenant.Key{ID: gone, Org: "globex", Name: "web", Instances: []string{"cache"}}))
	u := must[tenant.User](t)(s.CreateUser(ctx, tenant.User{Email: "ann@example.com"}))
	must[tenant.Membership](t)(s.SetMember(ctx, "globex", u.ID, tenant.Owner))
	for _, err := range []error{
		s.AddUsage(ctx, []tenant.Usage{{KeyID: shared, InstanceID: "inst00000002", At: time.Now(), Commands: 1}}),
		s.DeleteInstance(ctx, "acme", "queue", Deletion{Force: true}), s.DeleteOrganization(ctx, "globex", Deletion{Force: true}), s.EndSession(ctx, "a-1"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	migrateTo(t, s, 3)
	var left string
	if err := s.db.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM organizations) || ' ' || (SELECT count(*) FROM instances) || ' ' ||
		(SELECT count(*) FROM api_keys) || ' ' || (SELECT count(*) FROM key_instances)`).Scan(&left); err != nil || left != "1 1 2 2" {
		t.Errorf("down again there are %s, %v, want 1 organization, 1 instance, 2 keys that open it", left, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open()
	check("down and up")
	if k, err := s.Key(ctx, shared); err != nil || !slices.Equal(k.Instances, []string{"cache"}) {
		t.Errorf("a key that opened a deleted instance too: %+v, %v", k, err)
	}
	if c, err := s.Counts(ctx); err != nil || c != (tenant.Counts{Organizations: 1, Instances: 1, Keys: 2}) {
		t.Errorf("counts are %+v, %v", c, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// fillVersion3 puts two organizations, three instances and the key with id into the tables
// of version 3.
func fillVersion3(t *testing.T, s *Store, id string) {
	t.Helper()
	for _, insert := range []struct {
		statement string
		args      []any
	}{
		{"INSERT INTO organizations (id, name, max_connections, created_at) VALUES ('orgorgorg001', 'acme', 7, 1000), ('orgorgorg002', 'globex', 0, 1000)", nil},
		{"INSERT INTO instances (id, org_id, name, url, created_at) VALUES (?, 'orgorgorg001', 'cache', ?, 1000)", []any{"inst00000001", s.seal.seal(testURL.Reveal(), "inst00000001")}},
		{"INSERT INTO instances (id, org_id, name, url, created_at) VALUES (?, 'orgorgorg001', 'queue', ?, 1000)", []any{"inst00000002", s.seal.seal(testURL.Reveal(), "inst00000002")}},
		{"INSERT INTO instances (id, org_id, name, url, created_at) VALUES (?, 'orgorgorg002', 'cache', ?, 1000)", []any{"inst00000003", s.seal.seal(testURL.Reveal(), "inst00000003")}},
		{"INSERT INTO api_keys (id, org_id, name, secret_hash, commands, created_at) VALUES (?1, 'orgorgorg001', 'web', ?2, '+get', 1000)", []any{id, make([]byte, 32)}},
		{"INSERT INTO key_instances (key_id, instance_id, position) VALUES (?, 'inst00000001', 0)", []any{id}},
		{"INSERT INTO changes (key_id) VALUES (?)", []any{id}},
	} {
		if _, err := s.db.ExecContext(t.Context(), insert.statement, insert.args...); err != nil {
			t.Fatalf("%s: %v", insert.statement, err)
		}
	}
}

func migrateTo(t *testing.T, s *Store, version int64) {
	t.Helper()
	files := must[fs.FS](t)(fs.Sub(migrations, "migrations/"+s.dialect.migrations))
	p := must[*goose.Provider](t)(goose.NewProvider(s.dialect.goose, s.raw, files, s.dialect.options...))
	if _, err := p.DownTo(context.Background(), version); err != nil {
		t.Fatal(err)
	}
}

func TestMigratesSQLite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "respgate.db")
	testMigrates(t, func() *Store {
		return must[*Store](t)(Open(t.Context(), Config{Driver: "sqlite", DSN: "file:" + file}, nil))
	})
}
