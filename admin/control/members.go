package control

import (
	"context"
	"errors"

	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// Member is who is to be a member of an organization, and as what.
type Member struct {
	Org    string // the organization's name
	UserID string
	Email  string // says who it is where UserID is ""
	Role   tenant.Role
}

// Members returns an organization's members by e-mail address, for members. See
// store.Members.
func (s *Service) Members(ctx context.Context, a Actor, org string, p store.Page) ([]tenant.Membership, error) {
	if _, err := s.organization(ctx, a, org, tenant.Viewer, &tenant.Event{}); err != nil {
		return nil, err
	}
	return s.store.Members(ctx, org, p)
}

// Memberships returns a user's by the organizations' names, for that user and operators.
func (s *Service) Memberships(ctx context.Context, a Actor, userID string) ([]tenant.Membership, error) {
	if _, err := s.User(ctx, a, userID); err != nil {
		return nil, err
	}
	return s.store.Memberships(ctx, userID)
}

// SetMember gives a user a role in an organization. For owners.
func (s *Service) SetMember(ctx context.Context, a Actor, m Member) (tenant.Membership, error) {
	e := tenant.Event{Action: "member.set", Target: "member", TargetID: m.UserID, Name: m.Email}
	return attempt(ctx, s, a, e, func(e *tenant.Event) (tenant.Membership, error) {
		if _, err := s.organization(ctx, a, m.Org, tenant.Owner, e); err != nil {
			return tenant.Membership{}, err
		}
		if m.UserID == "" {
			u, err := s.store.UserByEmail(ctx, m.Email)
			if err != nil {
				return tenant.Membership{}, err
			}
			m.UserID = u.ID
		}
		e.TargetID = m.UserID
		was, err := s.store.Membership(ctx, m.Org, m.UserID)
		switch {
		case err == nil:
			e.Before = noted(ViewMember(was))
		case !errors.Is(err, tenant.ErrNotFound):
			return tenant.Membership{}, err
		}
		set, err := s.store.SetMember(ctx, m.Org, m.UserID, m.Role)
		if err != nil {
			return tenant.Membership{}, err
		}
		e.Name, e.After = set.Email, noted(ViewMember(set))
		return set, nil
	})
}

// RemoveMember takes a user's role in an organization. For owners, and who leaves.
func (s *Service) RemoveMember(ctx context.Context, a Actor, org, userID string) error {
	e := tenant.Event{Action: "member.remove", Target: "member", TargetID: userID}
	_, err := attempt(ctx, s, a, e, func(e *tenant.Event) (none, error) {
		least := tenant.Owner
		if a.Kind == tenant.ByUser && a.User.ID == userID {
			least = tenant.Viewer
		}
		if _, err := s.organization(ctx, a, org, least, e); err != nil {
			return none{}, err
		}
		was, err := s.store.Membership(ctx, org, userID)
		if err != nil {
			return none{}, err
		}
		e.Name, e.Before = was.Email, noted(ViewMember(was))
		return none{}, s.store.RemoveMember(ctx, org, userID)
	})
	return err
}
