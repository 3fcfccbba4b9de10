package store

import (
	"testing"

	"github.com/respgate/respgate/tenant"
)

func testCertificates(t *testing.T, s *Store) {
	ctx := t.Context()
	const a, b = "000000000001", "000000000002"
	k := seed(t, s, "acme", a, "cache")
	bindTo := func(id, name string) error {
		_, err := s.UpdateKey(ctx, id, func(k *tenant.Key) error { k.CertificateName = name; return nil })
		return err
	}
	opens := func(step, want string, names ...string) {
		t.Helper()
		id, err := s.KeyByCertificate(ctx, names)
		if want == "" {
			wantError(t, err, tenant.ErrNotFound, "key for a certificate of that name not found")
		} else if err != nil || id != want {
			t.Errorf("%s: %v open %q, %v, want %s", step, names, id, err, want)
		}
	}
	opens("not bound", "", "web", "")
	if err := bindTo(a, "spiffe://corp/web"); err != nil {
		t.Fatal(err)
	}
	opens("bound", a, "x", "spiffe://corp/web", "y")
	opens("in other letters", "", "spiffe://corp/WEB")
	if g, err := s.Grant(ctx, a); err != nil || g.Key.CertificateName != "spiffe://corp/web" {
		t.Errorf("the grant has %q, %v", g.Key.CertificateName, err)
	}

	k.ID, k.CertificateName = b, "spiffe://corp/web"
	_, err := s.CreateKey(ctx, k)
	wantError(t, err, ErrConflict, `certificate name "spiffe://corp/web" is that of key 000000000001 already`)
	k.CertificateName = "b"
	must[tenant.Key](t)(s.CreateKey(ctx, k))
	opens("the first name decides", b, "b", "spiffe://corp/web")
	opens("the first name decides", a, "spiffe://corp/web", "b")
	wantError(t, bindTo(b, "spiffe://corp/web"), ErrConflict, "is that of key 000000000001 already")
	if err := bindTo(b, "b"); err != nil {
		t.Errorf("its own name again: %v", err)
	}

	must[tenant.Key](t)(s.RevokeKey(ctx, a, 0))
	opens("revoked", "", "spiffe://corp/web")
	if err := bindTo(b, "spiffe://corp/web"); err != nil {
		t.Errorf("the name of a revoked key: %v", err)
	}
	opens("the next key's", b, "spiffe://corp/web")
	if err := bindTo(a, "spiffe://corp/web"); err != nil {
		t.Errorf("a revoked key keeps what it is given: %v", err)
	}
	if err := bindTo(b, ""); err != nil {
		t.Fatal(err)
	}
	opens("unbound", "", "spiffe://corp/web", "b")

	// A key that is deleted with its instance has its name until another takes it.
	for id, instance := range map[string]string{"000000000003": "kept", "000000000004": "taken"} {
		seed(t, s, "acme", id, instance)
		if err := bindTo(id, instance); err != nil {
			t.Fatal(err)
		}
		if err := s.DeleteInstance(ctx, "acme", instance, Deletion{Force: true}); err != nil {
			t.Fatal(err)
		}
		opens("deleted with its instance", "", instance)
	}
	if err := bindTo(b, "taken"); err != nil {
		t.Errorf("a deleted key's name: %v", err)
	}
	for _, in := range must[[]tenant.Instance](t)(s.DeletedInstances(ctx, "acme", Page{})) {
		must[tenant.Instance](t)(s.RestoreInstance(ctx, "acme", in.ID))
	}
	opens("restored", "000000000003", "kept")
	opens("restored without the name that was taken", b, "taken")
}
