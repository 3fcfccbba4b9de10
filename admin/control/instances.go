package control

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"

	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// Instances returns an organization's instances by name, for its members; with org "",
// all, for operators. See store.Instances.
func (s *Service) Instances(ctx context.Context, a Actor, org string, p store.Page) ([]tenant.Instance, error) {
	ctx, _, err := s.scope(ctx, a, org)
	if err != nil {
		return nil, err
	}
	return s.store.Instances(ctx, org, p)
}

// Instance returns the instance with that name, for members.
func (s *Service) Instance(ctx context.Context, a Actor, org, name string) (tenant.Instance, error) {
	ctx, _, err := s.organization(ctx, a, org, tenant.Viewer, &tenant.Event{})
	if err != nil {
		return tenant.Instance{}, err
	}
	return s.store.Instance(ctx, org, name)
}

// onInstance attempts something with an organization's instance, for admins. do is given a
// context within that organization, and the event.
func onInstance[T any](ctx context.Context, s *Service, a Actor, action, org, name string, do func(ctx context.Context, e *tenant.Event) (T, error)) (T, error) {
	e := tenant.Event{Action: "instance." + action, Target: "instance", Name: name}
	return attempt(ctx, s, a, e, func(e *tenant.Event) (v T, err error) {
		ctx, _, err := s.organization(ctx, a, org, tenant.Admin, e)
		if err != nil {
			return v, err
		}
		return do(ctx, e)
	})
}

// CreateInstance makes an instance of an organization's name, a name, a URL, its slow log's
// threshold and its near cache's size. For admins.
// A URL of a socket or with files, which are this machine's, is for operators.
func (s *Service) CreateInstance(ctx context.Context, a Actor, in tenant.Instance) (tenant.Instance, error) {
	return onInstance(ctx, s, a, "create", in.Org, in.Name, func(ctx context.Context, e *tenant.Event) (tenant.Instance, error) {
		if err := checkURL(a, in.URL); err != nil {
			return tenant.Instance{}, err
		}
		made, err := s.store.CreateInstance(ctx, in)
		if err != nil {
			return tenant.Instance{}, err
		}
		e.TargetID, e.After = made.ID, noted(ViewInstance(made))
		return made, nil
	})
}

// checkURL refuses a URL in no form that there is, and one that reaches what is the proxy's
// machine's: with it an organization would use its files and sockets, and so others' keys.
func checkURL(a Actor, url tenant.Secret) error {
	b, err := pool.ParseURL(url)
	switch {
	case err != nil:
		return problem(store.ErrInvalid, "%v", err)
	case a.Operator():
		return nil
	case b.Network == "unix", b.TLS.CAFile != "", b.TLS.CertFile != "", b.TLS.KeyFile != "":
		return forbidden("an instance's URL of a socket, or with files, is for operators to set")
	}
	return nil
}

// UpdateInstance changes what CreateInstance sets. For admins.
func (s *Service) UpdateInstance(ctx context.Context, a Actor, org, name string, c Change[tenant.Instance]) (tenant.Instance, error) {
	return onInstance(ctx, s, a, "update", org, name, func(ctx context.Context, e *tenant.Event) (tenant.Instance, error) {
		in, err := s.store.UpdateInstance(ctx, org, name, func(in *tenant.Instance) error {
			was := *in
			e.TargetID, e.Before = was.ID, noted(ViewInstance(was))
			switch err := c.apply(was.Version, in); {
			case err != nil:
				return err
			case in.URL == was.URL:
				return nil
			case in.URL.Reveal() == pool.RedactURL(was.URL): // as it was shown: the password is not to be "xxxxx"
				in.URL = was.URL
				return nil
			}
			return checkURL(a, in.URL)
		})
		e.After = noted(ViewInstance(in))
		return in, err
	})
}

// Regions are the names of those in which an instance's URL says that it has servers. It has no
// addresses in it.
func Regions(in tenant.Instance) []string {
	b, err := pool.ParseURL(in.URL)
	if err != nil {
		return nil
	}
	return b.Regions.Names()
}

// CompareURL reports whether an instance's URL is that one, to the byte: its password cannot
// be read. For admins, who may not guess it: one that it is not leaves an event, and after
// too many in a row it is a *ThrottledError.
func (s *Service) CompareURL(ctx context.Context, a Actor, org, name string, url tenant.Secret) (bool, error) {
	e := tenant.Event{Action: "instance.compare_url", Target: "instance", Name: name}
	same, err := s.compareURL(ctx, a, org, name, url, &e)
	if !same {
		s.noteGuess(ctx, a, e, err)
	}
	return same, err
}

func (s *Service) compareURL(ctx context.Context, a Actor, org, name string, url tenant.Secret, e *tenant.Event) (bool, error) {
	ctx, _, err := s.organization(ctx, a, org, tenant.Admin, e)
	if err != nil {
		return false, err
	}
	in, err := s.store.Instance(ctx, org, name)
	if err != nil {
		return false, err
	}
	e.TargetID = in.ID
	succeeded, err := s.guesses.tryURL(in.ID, s.cfg.Now())
	if err != nil {
		return false, err
	}
	has, given := sha256.Sum256([]byte(in.URL.Reveal())), sha256.Sum256([]byte(url.Reveal()))
	if subtle.ConstantTimeCompare(has[:], given[:]) == 0 {
		return false, nil
	}
	succeeded()
	return true, nil
}

// DeleteInstance deletes an instance until it is purged or restored. For admins.
func (s *Service) DeleteInstance(ctx context.Context, a Actor, org, name string, d store.Deletion) error {
	_, err := onInstance(ctx, s, a, "delete", org, name, func(ctx context.Context, e *tenant.Event) (none, error) {
		in, err := s.store.Instance(ctx, org, name)
		if err != nil {
			return none{}, err
		}
		e.TargetID, e.Before = in.ID, noted(ViewInstance(in))
		return none{}, s.store.DeleteInstance(ctx, org, name, d)
	})
	return err
}

// DeletedInstances returns by name an organization's that are not purged yet. For members.
// See store.DeletedInstances.
func (s *Service) DeletedInstances(ctx context.Context, a Actor, org string, p store.Page) ([]tenant.Instance, error) {
	ctx, _, err := s.organization(ctx, a, org, tenant.Viewer, &tenant.Event{})
	if err != nil {
		return nil, err
	}
	return s.store.DeletedInstances(ctx, org, p)
}

// RestoreInstance has the deleted instance with that id back. For admins.
func (s *Service) RestoreInstance(ctx context.Context, a Actor, org, id string) (tenant.Instance, error) {
	return onInstance(ctx, s, a, "restore", org, "", func(ctx context.Context, e *tenant.Event) (tenant.Instance, error) {
		e.TargetID = id
		in, err := s.store.RestoreInstance(ctx, org, id)
		if err != nil {
			return tenant.Instance{}, err
		}
		e.Name, e.After = in.Name, noted(ViewInstance(in))
		return in, nil
	})
}

// TestInstance connects to an instance. That it cannot be reached is no error, but said by
// what it returns. For admins; ErrUnavailable where this process cannot.
func (s *Service) TestInstance(ctx context.Context, a Actor, org, name string) (Probe, error) {
	return onInstance(ctx, s, a, "test", org, name, func(ctx context.Context, e *tenant.Event) (Probe, error) {
		in, err := s.store.Instance(ctx, org, name)
		if err != nil {
			return Probe{}, err
		}
		e.TargetID = in.ID
		if s.cfg.Test == nil {
			return Probe{}, problem(ErrUnavailable, "no instance can be tested from here")
		}
		found := s.cfg.Test(ctx, in)
		e.After = noted(found)
		return found, nil
	})
}
