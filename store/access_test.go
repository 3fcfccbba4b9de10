package store

import (
	"slices"
	"testing"

	"github.com/respgate/respgate/tenant"
)

func rename(to string) func(*tenant.Organization) error {
	return func(o *tenant.Organization) error { o.Name = to; return nil }
}

func at(url tenant.Secret) func(*tenant.Instance) error {
	return func(in *tenant.Instance) error { in.URL = url; return nil }
}

// testAccess: who may connect, from where and how often, is kept and comes with the grant.
func testAccess(t *testing.T, s *Store) {
	ctx := t.Context()
	if o, err := s.CreateOrganization(ctx, tenant.Organization{Name: "acme", Quota: tenant.Quota{MaxConnections: 7}}); err != nil || o.MaxConnections != 7 {
		t.Fatalf("created %+v, %v, want 7 connections", o, err)
	}
	made := seed(t, s, "acme", "000000000001", "cache", "queue")
	g, err := s.Grant(ctx, made.ID)
	acme := must[tenant.Organization](t)(s.Organization(ctx, "acme"))
	if err != nil || len(g.Key.AllowFrom) > 0 || g.Seats != (tenant.Seats{OrgID: acme.ID, Org: 7}) || acme.MaxConnections != 7 {
		t.Errorf("at first %+v, %v, want no networks and 7 connections of %+v", g, err, acme)
	}
	networks := must[tenant.Networks](t)(tenant.ParseNetworks("10.0.0.0/8,2001:db8::/32"))
	_, err = s.UpdateKey(ctx, made.ID, func(k *tenant.Key) error { k.AllowFrom, k.MaxConnections = networks, 3; return nil })
	if err != nil {
		t.Error(err)
	}
	if o, err := s.UpdateOrganization(ctx, "acme", func(o *tenant.Organization) error { o.ID, o.MaxConnections = "other", 9; return nil }); err != nil || o.ID != acme.ID {
		t.Errorf("set %+v, %v", o, err)
	}
	must[tenant.Organization](t)(s.UpdateOrganization(ctx, "acme", rename("zenith")))
	g, err = s.Grant(ctx, made.ID)
	if err != nil || !slices.Equal(g.Key.AllowFrom, networks) || g.Key.MaxConnections != 3 || g.Seats != (tenant.Seats{OrgID: acme.ID, Key: 3, Org: 9}) || len(g.Routes) != 2 {
		t.Errorf("then %+v, %v, want networks %v, 3 connections of 9", g, err, networks)
	}
	made.ID, made.Org, made.AllowFrom, made.MaxConnections = "000000000002", "zenith", networks[:1], 1
	must[tenant.Key](t)(s.CreateKey(ctx, made))
	if k, err := s.Key(ctx, made.ID); err != nil || !slices.Equal(k.AllowFrom, networks[:1]) || k.MaxConnections != 1 {
		t.Errorf("created with them: %+v, %v", k, err)
	}
}

// TestMigratesAccess has a store as it was before networks and connections: its keys stay
// as they are, without either.
func TestMigratesAccess(t *testing.T) {
	file := t.TempDir() + "/respgate.db"
	open := func() *Store {
		t.Helper()
		return must[*Store](t)(Open(t.Context(), Config{Driver: "sqlite", DSN: "file:" + file}, nil))
	}
	s := open()
	made := seed(t, s, "acme", "000000000001", "cache")
	migrateTo(t, s, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open()
	defer s.Close()
	g, err := s.Grant(t.Context(), made.ID)
	if err != nil || g.Key.SecretHash != made.SecretHash || len(g.Key.AllowFrom) > 0 || g.Seats.Key != 0 || g.Seats.Org != 0 {
		t.Errorf("got %+v, %v, want the key as it was", g, err)
	}
}
