package control

import (
	"context"

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
	Old    tenant.Secret // which only operators may leave out for others
	New    tenant.Secret
}

// Users returns users by e-mail address. For operators.
func (s *Service) Users(ctx context.Context, a Actor, p store.Page) ([]tenant.User, error) {
	return nil, errTodo
}

// User returns the user with that id, for that user and operators, without the password's
// hash.
func (s *Service) User(ctx context.Context, a Actor, id string) (tenant.User, error) {
	return tenant.User{}, errTodo
}

// UserByEmail is User by e-mail address.
func (s *Service) UserByEmail(ctx context.Context, a Actor, email string) (tenant.User, error) {
	return tenant.User{}, errTodo
}

// CreateUser makes a user. For operators.
func (s *Service) CreateUser(ctx context.Context, a Actor, u NewUser) (tenant.User, error) {
	return tenant.User{}, errTodo
}

// UpdateUser changes a user's name, for that user, and e-mail address, whether an operator
// and since when disabled, for operators.
func (s *Service) UpdateUser(ctx context.Context, a Actor, id string, c Change[tenant.User]) (tenant.User, error) {
	return tenant.User{}, errTodo
}

// SetPassword sets a user's password, and signs the user out but for the token that the
// actor came with. For that user and operators.
func (s *Service) SetPassword(ctx context.Context, a Actor, p NewPassword) error {
	return errTodo
}

// DeleteUser deletes a user with the user's memberships and tokens. For operators.
func (s *Service) DeleteUser(ctx context.Context, a Actor, id string) error {
	return errTodo
}
