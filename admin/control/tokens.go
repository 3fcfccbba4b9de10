package control

import (
	"context"

	"github.com/respgate/respgate/tenant"
)

// NewToken is a token at the one time when its secret is known.
type NewToken struct {
	tenant.Token
	Text tenant.Secret // rgt_<id>_<secret>
}

// Tokens returns a user's tokens of a kind, all with kind "", the oldest first, for that
// user and operators, without their hashes. Some may have ended.
func (s *Service) Tokens(ctx context.Context, a Actor, userID string, kind tenant.TokenKind) ([]tenant.Token, error) {
	return nil, errTodo
}

// CreateToken makes a token for the API of a user's id, a name, and when it ends, at most
// MaxTokenTTL from now, for that user and operators. With limits other than the default
// it is for operators.
func (s *Service) CreateToken(ctx context.Context, a Actor, t tenant.Token) (NewToken, error) {
	return NewToken{}, errTodo
}

// Invite makes an invitation, with which a user sets the password, once. For operators.
func (s *Service) Invite(ctx context.Context, a Actor, userID string) (NewToken, error) {
	return NewToken{}, errTodo
}

// AcceptInvitation sets the password of the invited user, who may sign in then, and ends
// the invitation. For who has it: ErrUnauthenticated when it is not good.
func (s *Service) AcceptInvitation(ctx context.Context, a Actor, invitation, password tenant.Secret) (tenant.User, error) {
	return tenant.User{}, errTodo
}

// RevokeToken ends a token for good, for its user and operators.
func (s *Service) RevokeToken(ctx context.Context, a Actor, id string) error {
	return errTodo
}
