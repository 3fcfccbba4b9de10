package control

import (
	"context"

	"github.com/respgate/respgate/tenant"
)

// Credentials are what a person signs in with.
type Credentials struct {
	Email    string
	Password tenant.Secret
}

// SignIn makes a token for the browser of who has a user's password. Else it is
// ErrUnauthenticated, in the same words after the same time whatever is wrong, or a
// *ThrottledError for who has guessed too often, from that address or for that user.
func (s *Service) SignIn(ctx context.Context, a Actor, c Credentials) (NewToken, error) {
	return NewToken{}, errTodo
}

// SignOut ends the token that the actor came with.
func (s *Service) SignOut(ctx context.Context, a Actor) error {
	return errTodo
}

// Authenticate returns who has a bearer token, the operator's too, come from address.
// ErrUnauthenticated when it is not good; it has ended within half a second everywhere
// when it is revoked, and at once where that was done. It leaves no event.
func (s *Service) Authenticate(ctx context.Context, token tenant.Secret, address string) (Actor, error) {
	return Actor{}, errTodo
}
