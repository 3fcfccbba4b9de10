package control

import (
	"context"

	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// Organizations returns by name the organizations that an actor sees: an operator all,
// others those that they are members of.
func (s *Service) Organizations(ctx context.Context, a Actor, p store.Page) ([]tenant.Organization, error) {
	if err := known(a); err != nil {
		return nil, err
	}
	if a.Operator() {
		return s.store.Organizations(ctx, p)
	}
	return s.store.OrganizationsOf(ctx, a.User.ID, p)
}

// Organization returns the organization with that name, for its members.
func (s *Service) Organization(ctx context.Context, a Actor, name string) (tenant.Organization, error) {
	return s.allowed(ctx, a, name, tenant.Viewer, &tenant.Event{})
}

// onOrganization is an event about the organization called name.
func onOrganization(action, name string) tenant.Event {
	return tenant.Event{Action: "organization." + action, Target: "organization", Name: name}
}

// CreateOrganization makes an organization of a name and a quota. For operators.
func (s *Service) CreateOrganization(ctx context.Context, a Actor, o tenant.Organization) (tenant.Organization, error) {
	return attempt(ctx, s, a, onOrganization("create", o.Name), func(e *tenant.Event) (tenant.Organization, error) {
		if err := operator(a); err != nil {
			return tenant.Organization{}, err
		}
		made, err := s.store.CreateOrganization(ctx, o)
		if err != nil {
			return tenant.Organization{}, err
		}
		e.OrgID, e.Org, e.TargetID, e.After = made.ID, made.Name, made.ID, noted(ViewOrganization(made))
		return made, nil
	})
}

// UpdateOrganization changes an organization's name, for its owners, and its quota, for
// operators.
func (s *Service) UpdateOrganization(ctx context.Context, a Actor, name string, c Change[tenant.Organization]) (tenant.Organization, error) {
	return attempt(ctx, s, a, onOrganization("update", name), func(e *tenant.Event) (tenant.Organization, error) {
		ctx, seen, err := s.organization(ctx, a, name, tenant.Owner, e)
		if err != nil {
			return seen, err
		}
		e.TargetID = seen.ID
		o, err := s.store.UpdateOrganization(ctx, name, func(o *tenant.Organization) error {
			was := *o
			e.Before = noted(ViewOrganization(was))
			switch err := c.apply(was.Version, o); {
			case err != nil:
				return err
			case o.Quota != was.Quota && !a.Operator():
				return forbidden("an organization's quota is for operators to set")
			}
			return nil
		})
		e.After = noted(ViewOrganization(o))
		return o, err
	})
}

// DeleteOrganization deletes an organization, and ends its clients' sessions, until it is
// purged or an operator restores it. For its owners.
func (s *Service) DeleteOrganization(ctx context.Context, a Actor, name string, d store.Deletion) error {
	_, err := attempt(ctx, s, a, onOrganization("delete", name), func(e *tenant.Event) (none, error) {
		ctx, o, err := s.organization(ctx, a, name, tenant.Owner, e)
		if err != nil {
			return none{}, err
		}
		e.TargetID, e.Before = o.ID, noted(ViewOrganization(o))
		return none{}, s.store.DeleteOrganization(ctx, name, d)
	})
	return err
}

// DeletedOrganizations returns by name those that are not purged yet. For operators. See
// store.DeletedOrganizations.
func (s *Service) DeletedOrganizations(ctx context.Context, a Actor, p store.Page) ([]tenant.Organization, error) {
	if err := operator(a); err != nil {
		return nil, err
	}
	return s.store.DeletedOrganizations(ctx, p)
}

// RestoreOrganization has the deleted organization with that id back. For operators.
func (s *Service) RestoreOrganization(ctx context.Context, a Actor, id string) (tenant.Organization, error) {
	e := onOrganization("restore", "")
	e.TargetID = id
	return attempt(ctx, s, a, e, func(e *tenant.Event) (tenant.Organization, error) {
		if err := operator(a); err != nil {
			return tenant.Organization{}, err
		}
		o, err := s.store.RestoreOrganization(ctx, id)
		if err != nil {
			return tenant.Organization{}, err
		}
		e.OrgID, e.Org, e.Name, e.After = o.ID, o.Name, o.Name, noted(ViewOrganization(o))
		return o, nil
	})
}
