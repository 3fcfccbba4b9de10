package control

import (
	"context"

	"github.com/respgate/respgate/tenant"
)

// Member is who is to be a member of an organization, and as what.
type Member struct {
	Org    string // the organization's name
	UserID string
	Email  string // says who it is where UserID is ""
	Role   tenant.Role
}

// Members returns an organization's members by e-mail address, for members.
func (s *Service) Members(ctx context.Context, a Actor, org string) ([]tenant.Membership, error) {
	return nil, errTodo
}

// Memberships returns a user's by the organizations' names, for that user and operators.
func (s *Service) Memberships(ctx context.Context, a Actor, userID string) ([]tenant.Membership, error) {
	return nil, errTodo
}

// SetMember gives a user a role in an organization. For owners.
func (s *Service) SetMember(ctx context.Context, a Actor, m Member) (tenant.Membership, error) {
	return tenant.Membership{}, errTodo
}

// RemoveMember takes a user's role in an organization. For owners, and who leaves.
func (s *Service) RemoveMember(ctx context.Context, a Actor, org, userID string) error {
	return errTodo
}
