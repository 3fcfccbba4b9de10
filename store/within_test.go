package store

import (
	"context"
	"errors"
	"testing"

	"github.com/respgate/respgate/tenant"
)

// testWithin: what is to be done in one organization is not done in another one that has its
// name by now.
func testWithin(t *testing.T, s *Store) {
	ctx := t.Context()
	was := must[tenant.Organization](t)(s.CreateOrganization(ctx, tenant.Organization{Name: "acme"}))
	must[tenant.Organization](t)(s.UpdateOrganization(ctx, "acme", func(o *tenant.Organization) error { o.Name = "initech"; return nil }))
	key := seed(t, s, "acme", "0123456789Ab", "cache")
	user := must[tenant.User](t)(s.CreateUser(ctx, tenant.User{Email: "ann@example.com"}))
	other := must[tenant.User](t)(s.CreateUser(ctx, tenant.User{Email: "bob@example.com"}))
	for _, id := range []string{user.ID, other.ID} {
		must[tenant.Membership](t)(s.SetMember(ctx, "acme", id, tenant.Owner))
	}
	gone := must[tenant.Instance](t)(s.CreateInstance(ctx, tenant.Instance{Org: "acme", Name: "gone", URL: "redis://10.0.0.5:6379"}))
	if err := s.DeleteInstance(ctx, "acme", "gone", Deletion{}); err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func(ctx context.Context) error{
		"Organization": func(ctx context.Context) error { return second(s.Organization(ctx, "acme")) },
		"UpdateOrganization": func(ctx context.Context) error {
			return second(s.UpdateOrganization(ctx, "acme", func(*tenant.Organization) error { return nil }))
		},
		"Instances": func(ctx context.Context) error { return second(s.Instances(ctx, "acme", Page{})) },
		"Instance":  func(ctx context.Context) error { return second(s.Instance(ctx, "acme", "cache")) },
		"CreateInstance": func(ctx context.Context) error {
			return second(s.CreateInstance(ctx, tenant.Instance{Org: "acme", Name: "new", URL: "redis://10.0.0.5:6379"}))
		},
		"UpdateInstance": func(ctx context.Context) error {
			return second(s.UpdateInstance(ctx, "acme", "cache", func(*tenant.Instance) error { return nil }))
		},
		"DeletedInstances": func(ctx context.Context) error { return second(s.DeletedInstances(ctx, "acme", Page{})) },
		"RestoreInstance":  func(ctx context.Context) error { return second(s.RestoreInstance(ctx, "acme", gone.ID)) },
		"Keys":             func(ctx context.Context) error { return second(s.Keys(ctx, "acme", Page{})) },
		"CreateKey": func(ctx context.Context) error {
			k := key
			k.ID = "0123456789Ac"
			return second(s.CreateKey(ctx, k))
		},
		"Members":      func(ctx context.Context) error { return second(s.Members(ctx, "acme", Page{})) },
		"Membership":   func(ctx context.Context) error { return second(s.Membership(ctx, "acme", user.ID)) },
		"SetMember":    func(ctx context.Context) error { return second(s.SetMember(ctx, "acme", other.ID, tenant.Admin)) },
		"RemoveMember": func(ctx context.Context) error { return s.RemoveMember(ctx, "acme", other.ID) },
	} {
		if err := do(Within(ctx, was.ID)); !errors.Is(err, tenant.ErrNotFound) {
			t.Errorf("%s: %v, want the organization not found", name, err)
		}
		if err := do(Within(ctx, "")); err != nil {
			t.Errorf("%s within any: %v", name, err)
		}
	}
	for name, do := range map[string]func(ctx context.Context) error{
		"DeleteInstance":     func(ctx context.Context) error { return s.DeleteInstance(ctx, "acme", "cache", Deletion{Force: true}) },
		"DeleteOrganization": func(ctx context.Context) error { return s.DeleteOrganization(ctx, "acme", Deletion{Force: true}) },
	} {
		if err := do(Within(ctx, was.ID)); !errors.Is(err, tenant.ErrNotFound) {
			t.Errorf("%s: %v, want the organization not found", name, err)
		}
	}
	_, err := s.UpdateOrganization(Within(ctx, was.ID), "initech", func(o *tenant.Organization) error { o.Name = "acme"; return nil })
	wantError(t, err, ErrConflict, `organization "acme" exists already`)
}
