package control

import (
	"context"

	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// Instances returns an organization's instances by name, for its members; with org "",
// all, for operators. See store.Instances.
func (s *Service) Instances(ctx context.Context, a Actor, org string, p store.Page) ([]tenant.Instance, error) {
	return nil, errTodo
}

// Instance returns the instance with that name, for members.
func (s *Service) Instance(ctx context.Context, a Actor, org, name string) (tenant.Instance, error) {
	return tenant.Instance{}, errTodo
}

// CreateInstance makes an instance of an organization's name, a name and a URL. For admins.
// A URL of a socket or with files, which are this machine's, is for operators.
func (s *Service) CreateInstance(ctx context.Context, a Actor, in tenant.Instance) (tenant.Instance, error) {
	return in, errTodo
}

// UpdateInstance changes an instance's name and URL, as CreateInstance may. For admins.
func (s *Service) UpdateInstance(ctx context.Context, a Actor, org, name string, c Change[tenant.Instance]) (tenant.Instance, error) {
	return tenant.Instance{}, errTodo
}

// DeleteInstance deletes an instance until it is purged or restored. For admins.
func (s *Service) DeleteInstance(ctx context.Context, a Actor, org, name string, d Deletion) error {
	return errTodo
}

// DeletedInstances returns by name an organization's that are not purged yet. For members.
func (s *Service) DeletedInstances(ctx context.Context, a Actor, org string) ([]tenant.Instance, error) {
	return nil, errTodo
}

// RestoreInstance has the deleted instance with that id back. For admins.
func (s *Service) RestoreInstance(ctx context.Context, a Actor, org, id string) (tenant.Instance, error) {
	return tenant.Instance{}, errTodo
}

// TestInstance connects to an instance. That it cannot be reached is no error, but said by
// what it returns. For admins; ErrUnavailable where this process cannot.
func (s *Service) TestInstance(ctx context.Context, a Actor, org, name string) (Probe, error) {
	return Probe{}, errTodo
}
