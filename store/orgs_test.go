package store

import (
	"slices"
	"testing"
	"time"

	"github.com/respgate/respgate/tenant"
)

func testOrganizations(t *testing.T, s *Store) {
	ctx := t.Context()
	acme, err := s.CreateOrganization(ctx, tenant.Organization{Name: "acme"})
	if err != nil || acme.Name != "acme" || !validID(acme.ID) || time.Since(acme.CreatedAt).Abs() > time.Minute {
		t.Fatalf("created %+v, %v", acme, err)
	}
	_, err = s.CreateOrganization(ctx, tenant.Organization{Name: "acme"})
	wantError(t, err, ErrConflict, `organization "acme" exists already`)
	if got, err := s.Organization(ctx, "acme"); err != nil || got != acme {
		t.Errorf("read %+v, %v, want %+v", got, err, acme)
	}
	_, err = s.Organization(ctx, "nosuch")
	wantError(t, err, tenant.ErrNotFound, `organization "nosuch" not found`)
	must[tenant.Organization](t)(s.CreateOrganization(ctx, tenant.Organization{Name: "globex"}))
	if got, err := s.UpdateOrganization(ctx, "acme", rename("zenith")); err != nil || got.Name != "zenith" || got.ID != acme.ID {
		t.Errorf("renamed %+v, %v", got, err)
	}
	_, err = s.UpdateOrganization(ctx, "zenith", rename("globex"))
	wantError(t, err, ErrConflict, `"globex" exists already`)
	all, err := s.Organizations(ctx, Page{})
	if got := names(all, func(o tenant.Organization) string { return o.Name }); err != nil || got != "globex zenith" {
		t.Errorf("listed %s, %v", got, err)
	}
	seed(t, s, "zenith", "000000000001", "cache")
	wantError(t, s.DeleteOrganization(ctx, "zenith", Deletion{}), ErrConflict, "1 instances and 1 keys")
	for _, name := range []string{"zenith", "globex"} {
		if err := s.DeleteOrganization(ctx, name, Deletion{Force: name == "zenith"}); err != nil {
			t.Errorf("delete %s: %v", name, err)
		}
	}
	wantError(t, s.DeleteOrganization(ctx, "zenith", Deletion{Force: true}), tenant.ErrNotFound, "zenith")
	if got, err := s.Counts(ctx); err != nil || got != (tenant.Counts{}) {
		t.Errorf("after all is deleted there are %+v, %v", got, err)
	}
}

func testInstances(t *testing.T, s *Store) {
	ctx := t.Context()
	_, err := s.CreateInstance(ctx, tenant.Instance{Org: "acme", Name: "cache", URL: testURL})
	wantError(t, err, tenant.ErrNotFound, `organization "acme" not found`)
	seed(t, s, "acme", "000000000001", "cache", "queue")
	seed(t, s, "acme", "000000000002", "jobs")
	seed(t, s, "globex", "000000000003", "cache")
	_, err = s.CreateInstance(ctx, tenant.Instance{Org: "acme", Name: "cache", URL: testURL})
	wantError(t, err, ErrConflict, `instance "cache" of organization "acme" exists already`)
	in, err := s.Instance(ctx, "acme", "cache")
	if err != nil || in.Label() != "acme/cache" || in.URL != testURL {
		t.Errorf("read %+v (%v), %v", in, in.URL == testURL, err)
	}
	_, err = s.Instance(ctx, "acme", "nosuch")
	wantError(t, err, tenant.ErrNotFound, `instance "nosuch" of organization "acme" not found`)
	_, err = s.Instance(ctx, "nosuch", "cache")
	wantError(t, err, tenant.ErrNotFound, `organization "nosuch" not found`)
	label := tenant.Instance.Label
	if all, err := s.Instances(ctx, "", Page{}); err != nil || names(all, label) != "acme/cache acme/jobs acme/queue globex/cache" {
		t.Errorf("all: %s, %v", names(all, label), err)
	}
	if all, err := s.Instances(ctx, "globex", Page{}); err != nil || names(all, label) != "globex/cache" {
		t.Errorf("globex's: %s, %v", names(all, label), err)
	}
	_, err = s.Instances(ctx, "nosuch", Page{})
	wantError(t, err, tenant.ErrNotFound, "nosuch")
	if in, err := s.UpdateInstance(ctx, "acme", "cache", at("redis://elsewhere")); err != nil || in.URL != "redis://elsewhere" {
		t.Errorf("set URL: %v, %v", in.URL.Reveal(), err)
	}
	wantError(t, s.DeleteInstance(ctx, "acme", "queue", Deletion{}), ErrConflict, "opened by 1 keys")
	if err := s.DeleteInstance(ctx, "acme", "queue", Deletion{Force: true}); err != nil {
		t.Error(err)
	}
	if k, err := s.Key(ctx, "000000000001"); err != nil || !slices.Equal(k.Instances, []string{"cache"}) {
		t.Errorf("a key that opened it too: %+v, %v", k, err)
	}
	if err := s.DeleteInstance(ctx, "acme", "jobs", Deletion{Force: true}); err != nil {
		t.Error(err)
	}
	_, err = s.Key(ctx, "000000000002")
	wantError(t, err, tenant.ErrNotFound, `key "000000000002" not found`)
}
