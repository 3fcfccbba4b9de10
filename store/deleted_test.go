package store

import (
	"slices"
	"testing"
	"time"

	"github.com/respgate/respgate/tenant"
)

func orgName(o tenant.Organization) string { return o.Name }
func keyID(k tenant.Key) string            { return k.ID }

// testDeleted: what is deleted is not there for anybody, its name is free, and it comes
// back as it was.
func testDeleted(t *testing.T, s *Store) {
	ctx := t.Context()
	const id = "0000000000d1"
	seed(t, s, "hooli", id, "cache", "queue")
	was := must[tenant.Organization](t)(s.Organization(ctx, "hooli"))
	user := must[tenant.User](t)(s.CreateUser(ctx, tenant.User{Email: "gavin@example.com"}))
	must[tenant.Membership](t)(s.SetMember(ctx, "hooli", user.ID, tenant.Owner))
	before := must[tenant.Counts](t)(s.Counts(ctx))
	if err := s.DeleteOrganization(ctx, "hooli", Deletion{Force: true}); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"organization":              second(s.Organization(ctx, "hooli")),
		"by the name that it has":   second(s.Organization(ctx, "~"+was.ID)),
		"its instances":             second(s.Instances(ctx, "hooli", Page{})),
		"its instance":              second(s.Instance(ctx, "~"+was.ID, "cache")),
		"its key":                   second(s.Key(ctx, id)),
		"the key's grant":           second(s.Grant(ctx, id)),
		"a change of the key":       second(s.RevokeKey(ctx, id, 0)),
		"its members":               second(s.Members(ctx, "hooli", Page{})),
		"a membership":              second(s.Membership(ctx, "~"+was.ID, user.ID)),
		"a second deletion":         s.DeleteOrganization(ctx, "~"+was.ID, Deletion{Force: true}),
		"another's restoration":     second(s.RestoreOrganization(ctx, "nosuch")),
		"an instance's restoration": second(s.RestoreInstance(ctx, "hooli", id)),
	} {
		wantError(t, err, tenant.ErrNotFound, "not found")
		if t.Failed() {
			t.Fatal(what)
		}
	}
	if all := must[[]tenant.Organization](t)(s.OrganizationsOf(ctx, user.ID, Page{})); len(all) > 0 {
		t.Errorf("the user is a member of %v", all)
	}
	if all := must[[]tenant.Membership](t)(s.Memberships(ctx, user.ID)); len(all) > 0 {
		t.Errorf("the user has %v", all)
	}
	for _, in := range must[[]tenant.Instance](t)(s.Instances(ctx, "", Page{})) {
		if in.ID == was.ID {
			t.Errorf("all instances have %+v", in)
		}
	}
	after := must[tenant.Counts](t)(s.Counts(ctx))
	if want := (tenant.Counts{Organizations: before.Organizations - 1, Users: before.Users, Instances: before.Instances - 2, Keys: before.Keys - 1}); after != want {
		t.Errorf("counts are %+v, want %+v", after, want)
	}
	gone := must[[]tenant.Organization](t)(s.DeletedOrganizations(ctx, Page{}))
	i := slices.IndexFunc(gone, func(o tenant.Organization) bool { return o.ID == was.ID })
	if i < 0 || gone[i].Name != "hooli" || gone[i].Version != was.Version+1 || time.Since(gone[i].DeletedAt).Abs() > time.Minute {
		t.Fatalf("deleted are %+v, want hooli among them", gone)
	}

	must[tenant.Organization](t)(s.CreateOrganization(ctx, tenant.Organization{Name: "hooli"}))
	_, err := s.RestoreOrganization(ctx, was.ID)
	wantError(t, err, ErrConflict, `organization "hooli" exists already`)
	must[tenant.Organization](t)(s.UpdateOrganization(ctx, "hooli", rename("hooli-2")))
	back, err := s.RestoreOrganization(ctx, was.ID)
	if was.Version += 2; err != nil || back != was {
		t.Errorf("restored %+v, %v, want %+v", back, err, was)
	}
	if got := must[tenant.Counts](t)(s.Counts(ctx)); got.Keys != before.Keys || got.Instances != before.Instances {
		t.Errorf("then counts are %+v, want those of %+v", got, before)
	}
	if m, err := s.Membership(ctx, "hooli", user.ID); err != nil || m.Role != tenant.Owner {
		t.Errorf("its owner is %+v, %v", m, err)
	}
	testDeletedInstance(t, s, id)
}

func testDeletedInstance(t *testing.T, s *Store, id string) {
	ctx := t.Context()
	queue := must[tenant.Instance](t)(s.Instance(ctx, "hooli", "queue"))
	if err := s.DeleteInstance(ctx, "hooli", "queue", Deletion{Force: true}); err != nil {
		t.Fatal(err)
	}
	_, err := s.UpdateInstance(ctx, "hooli", "~"+queue.ID, at("redis://x"))
	wantError(t, err, tenant.ErrNotFound, "not found")
	gone, err := s.DeletedInstances(ctx, "hooli", Page{})
	if err != nil || len(gone) != 1 || gone[0].Name != "queue" || gone[0].URL != testURL || gone[0].DeletedAt.IsZero() {
		t.Fatalf("deleted are %+v, %v, want the queue", gone, err)
	}
	_, err = s.RestoreInstance(ctx, "hooli-2", queue.ID)
	wantError(t, err, tenant.ErrNotFound, "deleted instance")
	must[tenant.Instance](t)(s.CreateInstance(ctx, tenant.Instance{Org: "hooli", Name: "queue", URL: "redis://other"}))
	_, err = s.RestoreInstance(ctx, "hooli", queue.ID)
	wantError(t, err, ErrConflict, `instance "queue" of organization "hooli" exists already`)
	if err := s.DeleteInstance(ctx, "hooli", "queue", Deletion{}); err != nil {
		t.Errorf("the one that no key opens: %v", err)
	}
	// What else changes of the key meanwhile leaves what it opened.
	must[tenant.Key](t)(s.UpdateKey(ctx, id, func(k *tenant.Key) error { k.Name = "api"; return nil }))
	back, err := s.RestoreInstance(ctx, "hooli", queue.ID)
	if queue.Version += 2; err != nil || back != queue {
		t.Errorf("restored %+v, %v, want %+v", back, err, queue)
	}
	if g, err := s.Grant(ctx, id); err != nil || !slices.Equal(g.Key.Instances, []string{"cache", "queue"}) || len(g.Routes) != 2 {
		t.Errorf("the key opens %v, %v, want both", g.Key.Instances, err)
	}
}

// testDeletedKeys: a key goes and comes with its own instance, and opens others again
// unless its list was changed meanwhile.
func testDeletedKeys(t *testing.T, s *Store) {
	ctx := t.Context()
	const both, own = "000000000001", "000000000002"
	seed(t, s, "acme", both, "cache", "queue")
	seed(t, s, "acme", own, "jobs")
	seed(t, s, "acme", "000000000003", "more")
	ids := map[string]string{}
	for _, name := range []string{"queue", "jobs"} {
		ids[name] = must[tenant.Instance](t)(s.Instance(ctx, "acme", name)).ID
		wantError(t, s.DeleteInstance(ctx, "acme", name, Deletion{}), ErrConflict, "is opened by 1 keys")
		if err := s.DeleteInstance(ctx, "acme", name, Deletion{Force: true}); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.ResetLimits(ctx, ""); err != nil || n != 2 {
		t.Errorf("reset %d keys, %v, want the 2 that are there", n, err)
	}
	for _, p := range []Page{{}, {Limit: 10}} {
		if all, err := s.Keys(ctx, "acme", p); err != nil || names(all, keyID) != "000000000001 000000000003" {
			t.Errorf("keys %s, %v, want those that open something", names(all, keyID), err)
		}
	}
	_, err := s.CreateKey(ctx, tenant.Key{ID: own, Org: "acme", Name: "web", Instances: []string{"cache"}})
	wantError(t, err, ErrConflict, "key 000000000002 exists already")
	must[tenant.Key](t)(s.UpdateKey(ctx, both, func(k *tenant.Key) error { k.Instances = []string{"more", "cache"}; return nil }))
	for _, name := range []string{"queue", "jobs"} {
		must[tenant.Instance](t)(s.RestoreInstance(ctx, "acme", ids[name]))
	}
	if k, err := s.Key(ctx, own); err != nil || !slices.Equal(k.Instances, []string{"jobs"}) {
		t.Errorf("a key whose own instance is back: %+v, %v", k, err)
	}
	if k, err := s.Key(ctx, both); err != nil || !slices.Equal(k.Instances, []string{"more", "cache"}) {
		t.Errorf("a key whose list was changed opens %v, %v, want that list", k.Instances, err)
	}
}
