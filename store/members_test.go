package store

import (
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/tenant"
)

func testUsers(t *testing.T, s *Store) {
	ctx := t.Context()
	made, err := s.CreateUser(ctx, tenant.User{ID: "x", Email: "Ann@Example.com", Name: "Ann Ö", Operator: true, PasswordHash: "$argon2id$…", Version: 9})
	if err != nil || !validID(made.ID) || made.Email != "ann@example.com" || made.Version != 1 || time.Since(made.CreatedAt).Abs() > time.Minute {
		t.Fatalf("created %+v, %v", made, err)
	}
	if got, err := s.User(ctx, made.ID); err != nil || got != made {
		t.Errorf("read %+v, %v, want %+v", got, err, made)
	}
	if got, err := s.UserByEmail(ctx, "ANN@example.com"); err != nil || got != made {
		t.Errorf("by e-mail %+v, %v, want %+v", got, err, made)
	}
	_, err = s.CreateUser(ctx, tenant.User{Email: "ann@EXAMPLE.com"})
	wantError(t, err, ErrConflict, `user "ann@example.com" exists already`)
	bob := must[tenant.User](t)(s.CreateUser(ctx, tenant.User{Email: "bob@example.com"}))
	_, err = s.UpdateUser(ctx, bob.ID, func(u *tenant.User) error { u.Email = made.Email; return nil })
	wantError(t, err, ErrConflict, `user "ann@example.com" exists already`)
	disabled := time.Now()
	got, err := s.UpdateUser(ctx, made.ID, func(u *tenant.User) error {
		u.Email, u.Name, u.Operator, u.PasswordHash, u.DisabledAt = "Ann2@example.com", "", false, "", disabled
		return nil
	})
	want := tenant.User{ID: made.ID, Email: "ann2@example.com", Version: 2, CreatedAt: made.CreatedAt, DisabledAt: stored(disabled)}
	if err != nil || got != want {
		t.Errorf("changed %+v, %v, want %+v", got, err, want)
	}
	if got, err := s.User(ctx, made.ID); err != nil || got != want {
		t.Errorf("then read %+v, %v, want %+v", got, err, want)
	}
	for name, bad := range map[string]tenant.User{
		"no address":            {},
		"a name only":           {Email: "ann"},
		"a name and an address": {Email: "Ann <ann@example.com>"},
		"a long address":        {Email: strings.Repeat("a", MaxEmail) + "@example.com"},
		"a line end":            {Email: "c@example.com", Name: "a\nb"},
		"a long name":           {Email: "c@example.com", Name: strings.Repeat("a", MaxLabel+1)},
		"no UTF-8":              {Email: "c@example.com", Name: "\xff"},
		"no UTF-8 address":      {Email: "c\xff@example.com"},
		"byte 0 in address":     {Email: "c\x00@example.com"},
		"a space of no width":   {Email: "c\u200b@example.com"},
		"turned around":         {Email: "c\u202e@example.com"},
		"a control character":   {Email: "c\u0085@example.com"},
		"a long hash":           {Email: "c@example.com", PasswordHash: tenant.Secret(strings.Repeat("a", 513))},
	} {
		if _, err := s.CreateUser(ctx, bad); err == nil {
			t.Errorf("%s is taken", name)
		} else {
			wantError(t, err, ErrInvalid, "")
		}
		if _, err := s.UpdateUser(ctx, bob.ID, func(u *tenant.User) error { *u = bad; return nil }); err == nil {
			t.Errorf("%s is taken for a change", name)
		}
	}
	if c, err := s.Counts(ctx); err != nil || c.Users != 2 {
		t.Errorf("counts %+v, %v, want 2 users", c, err)
	}
	if err := s.DeleteUser(ctx, bob.ID, 0); err != nil {
		t.Error(err)
	}
	wantError(t, s.DeleteUser(ctx, bob.ID, 0), tenant.ErrNotFound, "user")
	for _, err := range []error{
		second(s.User(ctx, bob.ID)), second(s.UserByEmail(ctx, bob.Email)), second(s.UpdateUser(ctx, bob.ID, func(*tenant.User) error { return nil })),
	} {
		wantError(t, err, tenant.ErrNotFound, "user")
	}
}

// testMembers: roles are given and taken, and an organization that has an owner always
// has one.
func testMembers(t *testing.T, s *Store) {
	ctx := t.Context()
	org := must[tenant.Organization](t)(s.CreateOrganization(ctx, tenant.Organization{Name: "pied-piper"}))
	other := must[tenant.Organization](t)(s.CreateOrganization(ctx, tenant.Organization{Name: "aviato"}))
	var ids []string
	for _, name := range []string{"richard", "dinesh", "jared"} {
		ids = append(ids, must[tenant.User](t)(s.CreateUser(ctx, tenant.User{Email: name + "@example.com"})).ID)
	}
	richard, dinesh, jared := ids[0], ids[1], ids[2]
	m, err := s.SetMember(ctx, org.Name, jared, tenant.Viewer)
	if err != nil || m.OrgID != org.ID || m.Org != org.Name || m.UserID != jared || m.Email != "jared@example.com" || m.Role != tenant.Viewer {
		t.Errorf("set %+v, %v", m, err)
	}
	if got, err := s.Membership(ctx, org.Name, jared); err != nil || got != m {
		t.Errorf("read %+v, %v, want %+v", got, err, m)
	}
	must[tenant.Membership](t)(s.SetMember(ctx, org.Name, richard, tenant.Owner))
	must[tenant.Membership](t)(s.SetMember(ctx, other.Name, richard, tenant.Admin))
	const last = `user "richard@example.com" is the last owner of organization "pied-piper": make another one first`
	wantError(t, second(s.SetMember(ctx, org.Name, richard, tenant.Admin)), ErrConflict, last)
	wantError(t, s.RemoveMember(ctx, org.Name, richard), ErrConflict, last)
	wantError(t, s.DeleteUser(ctx, richard, 0), ErrConflict, last)
	must[tenant.Membership](t)(s.SetMember(ctx, org.Name, richard, tenant.Owner)) // as it is
	must[tenant.Membership](t)(s.SetMember(ctx, org.Name, dinesh, tenant.Owner))
	if m, err := s.SetMember(ctx, org.Name, richard, tenant.Admin); err != nil || m.Role != tenant.Admin {
		t.Errorf("one of two owners: %+v, %v", m, err)
	}
	role := func(m tenant.Membership) string { return m.Org + ":" + m.Email + ":" + string(m.Role) }
	if all, err := s.Members(ctx, org.Name, Page{}); err != nil || names(all, role) !=
		"pied-piper:dinesh@example.com:owner pied-piper:jared@example.com:viewer pied-piper:richard@example.com:admin" {
		t.Errorf("members: %s, %v", names(all, role), err)
	}
	if all, err := s.Memberships(ctx, richard); err != nil || names(all, role) != "aviato:richard@example.com:admin pied-piper:richard@example.com:admin" {
		t.Errorf("richard's: %s, %v", names(all, role), err)
	}
	if all, err := s.OrganizationsOf(ctx, richard, Page{}); err != nil || len(all) != 2 || all[0] != other || all[1] != org {
		t.Errorf("richard's organizations: %+v, %v", all, err)
	}
	if err := s.RemoveMember(ctx, org.Name, jared); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{
		"removed":                second(s.Membership(ctx, org.Name, jared)),
		"removed again":          s.RemoveMember(ctx, org.Name, jared),
		"of no organization":     second(s.Membership(ctx, "nosuch", jared)),
		"members of none":        second(s.Members(ctx, "nosuch", Page{})),
		"of no user":             second(s.SetMember(ctx, org.Name, "nosuch", tenant.Viewer)),
		"set in no organization": second(s.SetMember(ctx, "nosuch", jared, tenant.Viewer)),
		"removed from none":      s.RemoveMember(ctx, "nosuch", jared),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
			continue
		}
		wantError(t, err, tenant.ErrNotFound, "not found")
	}
	wantError(t, second(s.SetMember(ctx, org.Name, jared, "root")), ErrInvalid, `role "root": want one of [viewer admin owner]`)
	// An organization that is deleted keeps nobody.
	if err := s.DeleteOrganization(ctx, org.Name, Deletion{Force: true}); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteUser(ctx, dinesh, 0); err != nil {
		t.Errorf("the last owner of a deleted organization: %v", err)
	}
	back, err := s.RestoreOrganization(ctx, org.ID)
	if all, _ := s.Members(ctx, back.Name, Page{}); err != nil || len(all) != 1 {
		t.Errorf("restored %+v, %v, with members %+v, want richard", back, err, all)
	}
}

// testQuotas: an organization has no more than it may have, and may have less than it has.
func testQuotas(t *testing.T, s *Store) {
	ctx := t.Context()
	quota := tenant.Quota{MaxInstances: 2, MaxKeys: 2, MaxMembers: 1, MaxConnections: 3, Rate: 4, Burst: 5, ByteRate: 6, LimitMode: tenant.LimitDelay}
	o, err := s.CreateOrganization(ctx, tenant.Organization{Name: "acme", Quota: quota})
	if err != nil || o.Quota != quota {
		t.Fatalf("created %+v, %v", o, err)
	}
	k := seed(t, s, "acme", "000000000001", "cache", "queue")
	if g, err := s.Grant(ctx, k.ID); err != nil || g.Quota != quota || g.Seats.Org != 3 {
		t.Errorf("the grant has %+v, %v, want %+v", g.Quota, err, quota)
	}
	full := func(err error, words string) {
		t.Helper()
		wantError(t, err, ErrQuota, words)
		wantError(t, err, ErrConflict, words)
	}
	full(second(s.CreateInstance(ctx, tenant.Instance{Org: "acme", Name: "jobs", URL: testURL})), `organization "acme" may have 2 instances, and has them`)
	k.ID = "000000000002"
	must[tenant.Key](t)(s.CreateKey(ctx, k))
	k.ID = "000000000003"
	full(second(s.CreateKey(ctx, k)), `organization "acme" may have 2 keys, and has them`)
	must[tenant.Key](t)(s.RevokeKey(ctx, "000000000002", 0))
	must[tenant.Key](t)(s.CreateKey(ctx, k)) // a revoked one has no place
	k.ID, k.RevokedAt = "000000000004", time.Now()
	must[tenant.Key](t)(s.CreateKey(ctx, k))
	for i, name := range []string{"ann", "bob"} {
		u := must[tenant.User](t)(s.CreateUser(ctx, tenant.User{Email: name + "@example.com"}))
		_, err := s.SetMember(ctx, "acme", u.ID, tenant.Viewer)
		if i > 0 {
			full(err, `organization "acme" may have 1 members, and has them`)
		} else if _, again := s.SetMember(ctx, "acme", u.ID, tenant.Admin); err != nil || again != nil {
			t.Errorf("the first member: %v, and another role: %v", err, again)
		}
	}
	testRestoredQuotas(t, s, full)
}

// testRestoredQuotas: what is deleted has no place, and comes back where there is one.
func testRestoredQuotas(t *testing.T, s *Store, full func(err error, words string)) {
	ctx := t.Context()
	cache := must[tenant.Instance](t)(s.Instance(ctx, "acme", "cache"))
	if err := s.DeleteInstance(ctx, "acme", "cache", Deletion{Force: true}); err != nil {
		t.Fatal(err)
	}
	must[tenant.Instance](t)(s.CreateInstance(ctx, tenant.Instance{Org: "acme", Name: "jobs", URL: testURL}))
	full(second(s.RestoreInstance(ctx, "acme", cache.ID)), "may have 2 instances, and has them")
	if err := s.DeleteInstance(ctx, "acme", "jobs", Deletion{}); err != nil {
		t.Fatal(err)
	}
	k := tenant.Key{ID: "000000000005", Org: "acme", Name: "web", Instances: []string{"queue"}}
	must[tenant.Key](t)(s.CreateKey(ctx, k))
	full(second(s.RestoreInstance(ctx, "acme", cache.ID)), "may have 2 keys, and has 1: 2 more are too many")
	less := must[tenant.Organization](t)(s.UpdateOrganization(ctx, "acme", func(o *tenant.Organization) error { o.MaxKeys, o.MaxInstances = 0, 1; return nil }))
	if less.MaxKeys != 0 || less.MaxInstances != 1 {
		t.Errorf("set %+v", less)
	}
	full(second(s.RestoreInstance(ctx, "acme", cache.ID)), "may have 1 instances, and has them")
	must[tenant.Organization](t)(s.UpdateOrganization(ctx, "acme", func(o *tenant.Organization) error { o.MaxInstances = 0; return nil }))
	must[tenant.Instance](t)(s.RestoreInstance(ctx, "acme", cache.ID))
	must[tenant.Organization](t)(s.UpdateOrganization(ctx, "acme", func(o *tenant.Organization) error { o.MaxInstances = 1; return nil }))
	full(second(s.CreateInstance(ctx, tenant.Instance{Org: "acme", Name: "jobs", URL: testURL})), "may have 1 instances, and has them")
	for what, change := range map[string]func(*tenant.Organization){
		"instances": func(o *tenant.Organization) { o.MaxInstances = -1 },
		"keys":      func(o *tenant.Organization) { o.MaxKeys = MaxQuota + 1 },
		"members":   func(o *tenant.Organization) { o.MaxMembers = -1 },
		"rate":      func(o *tenant.Organization) { o.Rate = MaxRate + 1 },
		"burst":     func(o *tenant.Organization) { o.Burst = -1 },
	} {
		if _, err := s.UpdateOrganization(ctx, "acme", func(o *tenant.Organization) error { change(o); return nil }); err == nil {
			t.Errorf("%s beyond bounds are taken", what)
		} else {
			wantError(t, err, ErrInvalid, "want 0 to ")
		}
	}
}
