package control

import (
	"context"
	"crypto/subtle"
	"errors"
	"time"

	"github.com/respgate/respgate/auth"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// MaxTokenTTL bounds how long a token for the API is good.
const MaxTokenTTL = 366 * 24 * time.Hour

// NewToken is a token at the one time when its secret is known.
type NewToken struct {
	tenant.Token               // without its hash
	Text         tenant.Secret // rgt_<id>_<secret>
}

// Tokens returns a user's tokens of a kind, all with kind "", the oldest first, for that
// user and operators, without their hashes. Some may have ended. See store.Tokens.
func (s *Service) Tokens(ctx context.Context, a Actor, userID string, kind tenant.TokenKind, p store.Page) ([]tenant.Token, error) {
	if _, err := s.User(ctx, a, userID); err != nil {
		return nil, err
	}
	all, err := s.store.Tokens(ctx, userID, kind, p)
	for i := range all {
		all[i].SecretHash = [32]byte{}
	}
	return all, err
}

// createToken makes a token of t, with a new id and secret.
func (s *Service) createToken(ctx context.Context, t tenant.Token) (NewToken, error) {
	made := auth.GenerateToken()
	t.ID, t.SecretHash = made.ID, made.Hash
	t, err := s.store.CreateToken(ctx, t)
	if err != nil {
		return NewToken{}, err
	}
	t.SecretHash = [32]byte{}
	return NewToken{t, made.Text}, nil
}

// CreateToken makes a token for the API of a user's id, a name, and when it ends, at most
// MaxTokenTTL from now, for that user and operators. With limits other than the default
// it is for operators.
func (s *Service) CreateToken(ctx context.Context, a Actor, t tenant.Token) (NewToken, error) {
	return s.makeToken(ctx, a, t, func(t *tenant.Token) error {
		if err := self(a, t.UserID); err != nil {
			return err
		}
		if (t.Rate != 0 || t.Burst != 0) && !a.Operator() {
			return forbidden("a token's limits are for operators to set")
		}
		t.Kind = tenant.APIToken
		now := s.cfg.Now()
		if t.ExpiresAt.IsZero() {
			t.ExpiresAt = now.Add(s.cfg.TokenTTL)
		}
		if !t.ExpiresAt.After(now) || t.ExpiresAt.Sub(now) > MaxTokenTTL {
			return problem(store.ErrInvalid, "when a token ends: want a time to come, within %v", MaxTokenTTL)
		}
		return nil
	})
}

// Invite makes an invitation, with which a user sets the password, once. For operators.
func (s *Service) Invite(ctx context.Context, a Actor, userID string) (NewToken, error) {
	t := tenant.Token{UserID: userID, Kind: tenant.Invitation, ExpiresAt: s.cfg.Now().Add(s.cfg.InvitationTTL)}
	return s.makeToken(ctx, a, t, func(*tenant.Token) error { return operator(a) })
}

// makeToken attempts to make a token that check allows, and completes.
func (s *Service) makeToken(ctx context.Context, a Actor, t tenant.Token, check func(*tenant.Token) error) (NewToken, error) {
	e := tenant.Event{Action: "token.create", Target: "token", Name: t.Name}
	return attempt(ctx, s, a, e, func(e *tenant.Event) (NewToken, error) {
		if err := check(&t); err != nil {
			return NewToken{}, err
		}
		made, err := s.createToken(ctx, t)
		if err != nil {
			return NewToken{}, err
		}
		e.TargetID, e.After = made.ID, noted(ViewToken(made.Token))
		return made, nil
	})
}

// AcceptInvitation sets the password of the invited user, who may sign in then, and ends
// the invitation. For who has it: ErrUnauthenticated when it is not good, or a
// *ThrottledError as for SignIn.
func (s *Service) AcceptInvitation(ctx context.Context, a Actor, invitation, password tenant.Secret) (tenant.User, error) {
	a = Actor{Address: a.Address} // whoever it was before
	e := tenant.Event{Action: "user.set_password", Target: "user"}
	u, err := s.accept(ctx, &a, invitation, password, &e)
	s.noteGuess(ctx, a, e, err)
	return u, err
}

func (s *Service) accept(ctx context.Context, a *Actor, invitation, password tenant.Secret, e *tenant.Event) (tenant.User, error) {
	succeeded, err := s.guesses.try(a.Address, "", s.cfg.Now())
	if err != nil {
		return tenant.User{}, err
	}
	t, u, err := s.invited(ctx, invitation)
	if err != nil {
		return tenant.User{}, err
	}
	succeeded()
	a.Kind, a.User, a.Token = tenant.ByUser, u, t
	e.TargetID, e.Name = u.ID, u.Email
	hash, err := s.passwords.hash(ctx, password)
	if err != nil {
		return tenant.User{}, err
	}
	switch first, err := s.store.RevokeToken(ctx, t.ID); {
	case err != nil:
		return tenant.User{}, err
	case !first:
		return tenant.User{}, errInvitation()
	}
	return s.setHash(ctx, *a, u, hash)
}

func errInvitation() error { return problem(ErrUnauthenticated, "the invitation is not valid") }

// invited returns an invitation and its user.
func (s *Service) invited(ctx context.Context, invitation tenant.Secret) (tenant.Token, tenant.User, error) {
	id, hash, ok := auth.ParseToken([]byte(invitation.Reveal()))
	if !ok {
		return tenant.Token{}, tenant.User{}, errInvitation()
	}
	t, u, err := s.store.Token(ctx, id)
	if err != nil {
		if errors.Is(err, tenant.ErrNotFound) {
			err = errInvitation()
		}
		return t, u, err
	}
	if subtle.ConstantTimeCompare(hash[:], t.SecretHash[:]) != 1 || t.Kind != tenant.Invitation || !lives(t, u, s.cfg.Now()) {
		return tenant.Token{}, tenant.User{}, errInvitation()
	}
	return t, u, nil
}

// RevokeToken ends a token for good, for its user and operators.
func (s *Service) RevokeToken(ctx context.Context, a Actor, userID, id string) error {
	e := tenant.Event{Action: "token.revoke", Target: "token", TargetID: id}
	_, err := attempt(ctx, s, a, e, func(e *tenant.Event) (none, error) {
		if err := known(a); err != nil {
			return none{}, err
		}
		t, u, err := s.store.Token(ctx, id)
		if err != nil {
			return none{}, err
		}
		if self(a, u.ID) != nil || userID != "" && userID != u.ID {
			return none{}, hide("token %q", id)
		}
		e.Name, e.Before = t.Name, noted(ViewToken(t))
		_, err = s.store.RevokeToken(ctx, id)
		s.bearers.forget()
		return none{}, err
	})
	return err
}
