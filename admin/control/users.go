package control

import (
	"context"
	"errors"

	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// NewUser is who is to be a user.
type NewUser struct {
	Email    string
	Name     string
	Operator bool
	Password tenant.Secret // "" is none: an invitation lets the user set one
}

// NewPassword is a user's password that is to be.
type NewPassword struct {
	UserID string
	Old    tenant.Secret // which only operators may leave out, for others
	New    tenant.Secret
}

// Users returns users by e-mail address, without their passwords' hashes. For operators.
func (s *Service) Users(ctx context.Context, a Actor, p store.Page) ([]tenant.User, error) {
	if err := operator(a); err != nil {
		return nil, err
	}
	all, err := s.store.Users(ctx, p)
	for i := range all {
		all[i].PasswordHash = ""
	}
	return all, err
}

// User returns the user with that id, for that user and operators, without the password's
// hash.
func (s *Service) User(ctx context.Context, a Actor, id string) (tenant.User, error) {
	if err := self(a, id); err != nil {
		return tenant.User{}, err
	}
	return hashless(s.store.User(ctx, id))
}

// UserByEmail is User by e-mail address.
func (s *Service) UserByEmail(ctx context.Context, a Actor, email string) (tenant.User, error) {
	if err := known(a); err != nil {
		return tenant.User{}, err
	}
	u, err := hashless(s.store.UserByEmail(ctx, email))
	if errors.Is(err, tenant.ErrNotFound) || err == nil && self(a, u.ID) != nil {
		return tenant.User{}, hide("user %q", email) // alike: the store's words have it in lower case
	}
	return u, err
}

func hashless(u tenant.User, err error) (tenant.User, error) {
	u.PasswordHash = ""
	return u, err
}

// CreateUser makes a user. For operators.
func (s *Service) CreateUser(ctx context.Context, a Actor, u NewUser) (tenant.User, error) {
	e := tenant.Event{Action: "user.create", Target: "user", Name: u.Email}
	return attempt(ctx, s, a, e, func(e *tenant.Event) (tenant.User, error) {
		if err := operator(a); err != nil {
			return tenant.User{}, err
		}
		want := tenant.User{Email: u.Email, Name: u.Name, Operator: u.Operator}
		if u.Password != "" {
			hash, err := s.passwords.hash(ctx, u.Password)
			if err != nil {
				return tenant.User{}, err
			}
			want.PasswordHash = hash
		}
		made, err := hashless(s.store.CreateUser(ctx, want))
		if err != nil {
			return tenant.User{}, err
		}
		e.TargetID, e.After = made.ID, noted(ViewUser(made))
		return made, nil
	})
}

// onUser attempts something with a user, for that user and operators. do is given the event
// and the user as it was.
func onUser[T any](ctx context.Context, s *Service, a Actor, action, id string, do func(e *tenant.Event, was tenant.User) (T, error)) (T, error) {
	e := tenant.Event{Action: "user." + action, Target: "user", TargetID: id}
	return attempt(ctx, s, a, e, func(e *tenant.Event) (v T, err error) {
		if err := self(a, id); err != nil {
			return v, err
		}
		was, err := s.store.User(ctx, id)
		if err != nil {
			return v, err
		}
		e.Name, e.Before = was.Email, noted(ViewUser(was))
		return do(e, was)
	})
}

// UpdateUser changes a user's name, for that user, and e-mail address, whether an operator
// and since when disabled, for operators.
func (s *Service) UpdateUser(ctx context.Context, a Actor, id string, c Change[tenant.User]) (tenant.User, error) {
	return onUser(ctx, s, a, "update", id, func(e *tenant.Event, _ tenant.User) (tenant.User, error) {
		u, err := hashless(s.store.UpdateUser(ctx, id, func(u *tenant.User) error {
			was := *u
			u.PasswordHash = "" // not for the caller's eyes
			e.Before = noted(ViewUser(was))
			err := c.apply(was.Version, u)
			u.PasswordHash = was.PasswordHash
			switch {
			case err != nil:
				return err
			case !a.Operator() && (u.Email != was.Email || u.Operator != was.Operator || !u.DisabledAt.Equal(was.DisabledAt)):
				return forbidden("a user's e-mail address, and what a user may, are for operators to set")
			}
			return nil
		}))
		s.bearers.forget()
		e.After = noted(ViewUser(u))
		return u, err
	})
}

// SetPassword sets a user's password, and signs the user out but for the token that the
// actor came with; invitations end too. For that user, with the old one if there is one,
// and operators.
func (s *Service) SetPassword(ctx context.Context, a Actor, p NewPassword) error {
	_, err := onUser(ctx, s, a, "set_password", p.UserID, func(_ *tenant.Event, u tenant.User) (tenant.User, error) {
		if u.PasswordHash != "" && a.Kind == tenant.ByUser && a.User.ID == u.ID {
			if err := s.checkOld(ctx, a, u, p.Old); err != nil {
				return u, err
			}
		}
		hash, err := s.passwords.hash(ctx, p.New)
		if err != nil {
			return u, err
		}
		return s.setHash(ctx, a, u, hash)
	})
	return err
}

// checkOld refuses who does not have the user's password: a browser that was left signed
// in is not enough.
func (s *Service) checkOld(ctx context.Context, a Actor, u tenant.User, old tenant.Secret) error {
	succeeded, err := s.guesses.try(a.Address, u.Email, s.cfg.Now())
	if err != nil {
		return err
	}
	good, err := s.passwords.verify(ctx, u.PasswordHash, old)
	switch {
	case err != nil:
		return err
	case !good:
		return forbidden("the old password is wrong")
	}
	succeeded()
	return nil
}

// setHash sets the password's hash of a user who was u, and signs the user out.
func (s *Service) setHash(ctx context.Context, a Actor, u tenant.User, hash tenant.Secret) (tenant.User, error) {
	changed, err := hashless(s.store.UpdateUser(ctx, u.ID, func(now *tenant.User) error {
		if now.PasswordHash != u.PasswordHash {
			return problem(store.ErrStale, "the password was changed meanwhile")
		}
		now.PasswordHash = hash
		return nil
	}))
	if err != nil {
		return changed, err
	}
	for _, kind := range []tenant.TokenKind{tenant.BrowserSign, tenant.Invitation} {
		tokens, listErr := s.store.Tokens(ctx, u.ID, kind, store.Page{})
		err = errors.Join(err, listErr)
		for _, t := range tokens {
			if t.ID != a.Token.ID && t.RevokedAt.IsZero() {
				_, revokeErr := s.store.RevokeToken(ctx, t.ID)
				err = errors.Join(err, revokeErr)
			}
		}
	}
	s.bearers.forget()
	return changed, err
}

// DeleteUser deletes a user with the user's memberships and tokens. For operators.
// version is as in Change.
func (s *Service) DeleteUser(ctx context.Context, a Actor, id string, version int64) error {
	_, err := onUser(ctx, s, a, "delete", id, func(*tenant.Event, tenant.User) (none, error) {
		if err := operator(a); err != nil {
			return none{}, err
		}
		defer s.bearers.forget()
		return none{}, s.store.DeleteUser(ctx, id, version)
	})
	return err
}
