package control

import (
	"context"
	"errors"
	"strings"

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
	ctx, _, err := s.organization(ctx, a, org, tenant.Viewer, &tenant.Event{})
	if err != nil {
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
		ctx, _, err := s.organization(ctx, a, m.Org, tenant.Owner, e)
		if err != nil {
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

// RemoveMember takes a user's role in an organization; user is the id or the e-mail address.
// For owners, and who leaves.
func (s *Service) RemoveMember(ctx context.Context, a Actor, org, user string) error {
	e := tenant.Event{Action: "member.remove", Target: "member", TargetID: user}
	byEmail := strings.Contains(user, "@")
	if byEmail {
		e.TargetID, e.Name = "", user
	}
	_, err := attempt(ctx, s, a, e, func(e *tenant.Event) (none, error) {
		least := tenant.Owner
		if a.Kind == tenant.ByUser && (a.User.ID == user || byEmail && strings.EqualFold(a.User.Email, user)) {
			least = tenant.Viewer
		}
		ctx, _, err := s.organization(ctx, a, org, least, e)
		if err != nil {
			return none{}, err
		}
		was, err := s.member(ctx, org, user, byEmail)
		if err != nil {
			return none{}, err
		}
		e.TargetID, e.Name, e.Before = was.UserID, was.Email, noted(ViewMember(was))
		return none{}, s.store.RemoveMember(ctx, org, was.UserID)
	})
	return err
}

// member finds a member by the user's id or e-mail address. Whether there is such a user is
// nobody's to know.
func (s *Service) member(ctx context.Context, org, user string, byEmail bool) (m tenant.Membership, err error) {
	u := tenant.User{ID: user}
	if byEmail {
		u, err = s.store.UserByEmail(ctx, user)
	}
	if err == nil {
		m, err = s.store.Membership(ctx, org, u.ID)
	}
	if errors.Is(err, tenant.ErrNotFound) {
		err = hide("member %q of organization %q", user, org)
	}
	return m, err
}
