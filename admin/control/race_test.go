package control

import (
	"errors"
	"testing"
	"time"

	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// TestSignInMeanwhile: who signs in with the old password while it is changed, or the user is
// disabled, is not signed in when that has been done.
func TestSignInMeanwhile(t *testing.T) {
	ctx := t.Context()
	st := must[*store.Store](t)(store.Open(ctx, store.Config{Driver: "sqlite", DSN: "file:" + t.TempDir() + "/respgate.db"}, nil))
	t.Cleanup(func() { _ = st.Close() })
	shell := Actor{Kind: tenant.ByShell}
	for _, c := range []struct {
		name   string
		change func(s *Service, id string) error
	}{
		{"the password is changed", func(s *Service, id string) error {
			return s.SetPassword(ctx, shell, NewPassword{UserID: id, New: nextPassword})
		}},
		{"the user is disabled", func(s *Service, id string) error {
			_, err := s.UpdateUser(ctx, shell, id, Change[tenant.User]{Apply: disable})
			return err
		}},
		{"the user is deleted", func(s *Service, id string) error { return st.DeleteUser(ctx, id, 0) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			meanwhile := func() {}
			asked := 0
			s := New(Config{Now: func() time.Time {
				if asked++; asked == 2 { // the password has been looked at
					meanwhile()
				}
				return time.Now()
			}}, st)
			s.passwords.cost = cost{memory: 64, passes: 1, threads: 1}
			u := must[tenant.User](t)(st.CreateUser(ctx, tenant.User{Email: "ann@example.com", PasswordHash: must[tenant.Secret](t)(s.passwords.hash(ctx, userPassword))}))
			meanwhile = func() {
				if err := c.change(s, u.ID); err != nil {
					t.Error(err)
				}
			}
			made, err := s.SignIn(ctx, Actor{Address: address}, Credentials{u.Email, userPassword})
			if asked < 2 {
				t.Fatal("nothing happened meanwhile")
			}
			if err == nil {
				_, err = s.Authenticate(ctx, made.Text, address)
			}
			if !errors.Is(err, ErrUnauthenticated) {
				t.Errorf("signed in with what was the password: %v", err)
			}
			if err := st.DeleteUser(ctx, u.ID, 0); err != nil && !errors.Is(err, tenant.ErrNotFound) {
				t.Fatal(err)
			}
		})
	}
}
