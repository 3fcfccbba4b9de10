package control

import (
	"context"

	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// Organizations returns by name the organizations that an actor sees: an operator all,
// others those that they are members of.
func (s *Service) Organizations(ctx context.Context, a Actor, p store.Page) ([]tenant.Organization, error) {
	return nil, errTodo
}

// Organization returns the organization with that name.
func (s *Service) Organization(ctx context.Context, a Actor, name string) (tenant.Organization, error) {
	return tenant.Organization{}, errTodo
}

// CreateOrganization makes an organization of a name and a quota. For operators.
func (s *Service) CreateOrganization(ctx context.Context, a Actor, o tenant.Organization) (tenant.Organization, error) {
	return o, errTodo
}

// UpdateOrganization changes an organization's name, for its owners, and its quota, for
// operators.
func (s *Service) UpdateOrganization(ctx context.Context, a Actor, name string, c Change[tenant.Organization]) (tenant.Organization, error) {
	return tenant.Organization{}, errTodo
}

// DeleteOrganization deletes an organization, and ends its clients' sessions, until it is
// purged or an operator restores it. For its owners.
func (s *Service) DeleteOrganization(ctx context.Context, a Actor, name string, d Deletion) error {
	return errTodo
}

// DeletedOrganizations returns by name those that are not purged yet. For operators.
func (s *Service) DeletedOrganizations(ctx context.Context, a Actor) ([]tenant.Organization, error) {
	return nil, errTodo
}

// RestoreOrganization has the deleted organization with that id back. For operators.
func (s *Service) RestoreOrganization(ctx context.Context, a Actor, id string) (tenant.Organization, error) {
	return tenant.Organization{}, errTodo
}
