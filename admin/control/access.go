package control

import (
	"context"
	"errors"
	"fmt"

	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// failure is an error of a kind with words for people.
type failure struct {
	kind error
	text string
}

// Error implements error.
func (f *failure) Error() string { return f.text }

// Unwrap returns the kind.
func (f *failure) Unwrap() error { return f.kind }

func problem(kind error, format string, args ...any) error {
	return &failure{kind, fmt.Sprintf(format, args...)}
}

func forbidden(format string, args ...any) error { return problem(ErrForbidden, format, args...) }

// hidden is for what is there and not for the actor to see: in the words for what is not
// there, and noted as denied.
type hidden struct{ text string }

// Error implements error.
func (h hidden) Error() string { return h.text }

// Unwrap returns the kind.
func (hidden) Unwrap() error { return tenant.ErrNotFound }

func hide(format string, args ...any) error {
	return hidden{fmt.Sprintf(format, args...) + " not found"}
}

// known refuses who has not said who they are.
func known(a Actor) error {
	switch a.Kind {
	case tenant.ByOperator, tenant.ByShell, tenant.ByUser:
		return nil
	}
	return problem(ErrUnauthenticated, "this is for who has signed in")
}

// operator refuses others than operators.
func operator(a Actor) error {
	if err := known(a); err != nil {
		return err
	}
	if !a.Operator() {
		return forbidden("this is for operators")
	}
	return nil
}

// self refuses others than the user and operators, in the words for what does not exist.
func self(a Actor, userID string) error {
	if err := known(a); err != nil {
		return err
	}
	if !a.Operator() && a.User.ID != userID {
		return hide("user %q", userID)
	}
	return nil
}

// organization is allowed, with a context in which the name stands for that organization
// only: it may have another name by the time of what follows, and another one its name.
func (s *Service) organization(ctx context.Context, a Actor, name string, least tenant.Role, e *tenant.Event) (context.Context, tenant.Organization, error) {
	o, err := s.allowed(ctx, a, name, least, e)
	return store.Within(ctx, o.ID), o, err
}

// allowed returns the one called name where the actor has the role at least, and notes it in
// e. The store is asked the same whether there is one to hide or none at all, so that the time
// does not tell.
func (s *Service) allowed(ctx context.Context, a Actor, name string, least tenant.Role, e *tenant.Event) (tenant.Organization, error) {
	if err := known(a); err != nil {
		return tenant.Organization{}, err
	}
	m, memberErr := tenant.Membership{}, error(nil)
	if !a.Operator() {
		m, memberErr = s.store.Membership(ctx, name, a.User.ID)
	}
	o, err := s.store.Organization(ctx, name)
	if err != nil {
		return o, err
	}
	e.OrgID, e.Org = o.ID, o.Name
	switch {
	case a.Operator():
		return o, nil
	case errors.Is(memberErr, tenant.ErrNotFound), memberErr == nil && m.OrgID != o.ID:
		return tenant.Organization{}, hide("organization %q", name)
	case memberErr != nil:
		return tenant.Organization{}, memberErr
	case !m.Role.Includes(least):
		return tenant.Organization{}, forbidden("the role %s in organization %q is not enough: this is for the role %s", m.Role, name, least)
	}
	return o, nil
}

// scope is organization for reading; no name stands for all, for operators: "".
func (s *Service) scope(ctx context.Context, a Actor, name string) (_ context.Context, orgID string, err error) {
	if name == "" {
		return ctx, "", operator(a)
	}
	ctx, o, err := s.organization(ctx, a, name, tenant.Viewer, &tenant.Event{})
	return ctx, o.ID, err
}

// key returns the one with that id where the actor has the role in its organization at
// least, and notes it in e.
func (s *Service) key(ctx context.Context, a Actor, id string, least tenant.Role, e *tenant.Event) (tenant.Key, error) {
	if err := known(a); err != nil {
		return tenant.Key{}, err
	}
	k, err := s.store.Key(ctx, id)
	if err != nil {
		return k, err
	}
	e.Name = k.Name
	_, err = s.allowed(ctx, a, k.Org, least, e)
	if org := k.Org; err == nil {
		if k, err = s.store.Key(ctx, id); err == nil && k.Org != org {
			err = hide("key %q", id) // another organization has the name now
		}
	}
	switch {
	case errors.Is(err, tenant.ErrNotFound):
		return tenant.Key{}, hide("key %q", id)
	case err != nil:
		return tenant.Key{}, err
	}
	return k, nil
}
