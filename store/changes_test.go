package store

import (
	"slices"
	"strings"
	"testing"

	"github.com/respgate/respgate/tenant"
)

// testChanges: each change names the keys that it concerns and the labels that are gone.
func testChanges(t *testing.T, s *Store) {
	ctx := t.Context()
	if c, err := s.Changes(ctx, 0); err != nil || !c.Complete || c.Seq != 0 {
		t.Errorf("an empty store: %+v, %v", c, err)
	}
	const a, b = "000000000001", "000000000002"
	var seq int64
	orgID := must[tenant.Organization](t)(s.CreateOrganization(ctx, tenant.Organization{Name: "acme"})).ID
	for _, step := range []struct {
		name          string
		do            func() error
		keys, deleted string
	}{
		{"create a key", func() error { seed(t, s, "acme", a, "cache", "queue"); return nil }, a, ""},
		{"create another", func() error { seed(t, s, "acme", b, "jobs"); return nil }, b, ""},
		{"update", func() error {
			return second(s.UpdateKey(ctx, a, func(k *tenant.Key) error { k.Name = "x"; return nil }))
		}, a, ""},
		{"rotate", func() error { return second(s.RotateKey(ctx, a, [32]byte{}, 0, 0)) }, a, ""},
		{"reset one", func() error { return second(s.ResetLimits(ctx, b)) }, b, ""},
		{"reset all", func() error { return second(s.ResetLimits(ctx, "")) }, a + " " + b, ""},
		{"set URL", func() error { return second(s.UpdateInstance(ctx, "acme", "queue", at("redis://x"))) }, a, ""},
		{"connections of an organization", func() error {
			return second(s.UpdateOrganization(ctx, "acme", func(o *tenant.Organization) error { o.MaxConnections = 5; return nil }))
		}, a + " " + b, ""},
		{"rename", func() error { return second(s.UpdateOrganization(ctx, "acme", rename("zenith"))) }, a + " " + b, "acme/cache acme/jobs acme/queue"},
		{"revoke", func() error { return second(s.RevokeKey(ctx, b, 0)) }, b, ""},
		{"delete an instance", func() error { return s.DeleteInstance(ctx, "zenith", "queue", Deletion{Force: true}) }, a, "zenith/queue"},
		{"delete a key", func() error { return s.DeleteKey(ctx, a, 0) }, a, ""},
		{"rename an instance", func() error {
			return second(s.UpdateInstance(ctx, "zenith", "jobs", func(in *tenant.Instance) error { in.Name = "tasks"; return nil }))
		}, b, "zenith/jobs"},
		{"delete all", func() error { return s.DeleteOrganization(ctx, "zenith", Deletion{Force: true}) }, b, "zenith/cache zenith/tasks"},
		{"restore all", func() error { return second(s.RestoreOrganization(ctx, orgID)) }, b, ""},
		{"delete an instance that is a key's own", func() error { return s.DeleteInstance(ctx, "zenith", "tasks", Deletion{Force: true}) }, b, "zenith/tasks"},
		{"restore it", func() error {
			return second(s.RestoreInstance(ctx, "zenith", must[[]tenant.Instance](t)(s.DeletedInstances(ctx, "zenith", Page{}))[1].ID))
		}, b, ""},
		{"end a session", func() error { return s.EndSession(ctx, "aB3xY9-42") }, "", ""},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		c, err := s.Changes(ctx, seq)
		slices.Sort(c.Keys)
		slices.Sort(c.Deleted)
		if err != nil || !c.Complete || c.Seq <= seq || strings.Join(c.Keys, " ") != step.keys || strings.Join(c.Deleted, " ") != step.deleted {
			t.Errorf("%s: got %+v, %v, want keys %s, deleted %s", step.name, c, err, step.keys, step.deleted)
		}
		var ended []string
		if step.name == "end a session" {
			ended = []string{"aB3xY9-42"}
		}
		if !slices.Equal(c.Sessions, ended) {
			t.Errorf("%s: sessions %q end, want %q", step.name, c.Sessions, ended)
		}
		seq = c.Seq
		if c, err := s.Changes(ctx, seq); err != nil || c.Seq != seq || !c.Complete || len(c.Keys)+len(c.Deleted) > 0 {
			t.Errorf("%s: then %+v, %v, want nothing", step.name, c, err)
		}
	}
	for _, id := range []string{"", "aB3xY9 42", strings.Repeat("x", 65)} {
		wantError(t, s.EndSession(ctx, id), ErrInvalid, "session id")
	}
	if c, err := s.Changes(ctx, seq+100); err != nil || c.Seq != seq {
		t.Errorf("from the future: %+v, %v, want number %d", c, err, seq)
	}
}

// testForgottenChanges: who is too far behind is told, and a long history comes in
// parts.
func testForgottenChanges(t *testing.T, s *Store) {
	ctx := t.Context()
	k := seed(t, s, "acme", "000000000001", "cache")
	for range 1500 {
		if _, err := s.db.ExecContext(ctx, "INSERT INTO changes (key_id) VALUES (?)", k.ID); err != nil {
			t.Fatal(err)
		}
	}
	c, err := s.Changes(ctx, 0)
	if err != nil || !c.Complete || len(c.Keys) != changesAtOnce {
		t.Errorf("the first part: %d keys, complete %v, %v", len(c.Keys), c.Complete, err)
	}
	if rest, err := s.Changes(ctx, c.Seq); err != nil || len(rest.Keys) != 1501-changesAtOnce {
		t.Errorf("the rest: %d keys, %v", len(rest.Keys), err)
	}
	if _, err := s.db.ExecContext(ctx, "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 10000) INSERT INTO changes (key_id) SELECT ? FROM n", k.ID); err != nil {
		t.Fatal(err)
	}
	must[int](t)(s.ResetLimits(ctx, k.ID))
	var kept, newest int64
	if err := s.db.QueryRowContext(ctx, "SELECT count(*), max(seq) FROM changes").Scan(&kept, &newest); err != nil || kept != keptChanges {
		t.Errorf("%d changes are kept, %v, want %d", kept, err, keptChanges)
	}
	if c, err := s.Changes(ctx, 0); err != nil || c.Complete || c.Seq != newest {
		t.Errorf("too far behind: %+v, %v, want incomplete and number %d", c, err, newest)
	}
	if c, err := s.Changes(ctx, newest-keptChanges); err != nil || !c.Complete {
		t.Errorf("just not too far behind: complete %v, %v", c.Complete, err)
	}
}
