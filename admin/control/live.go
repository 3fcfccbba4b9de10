package control

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// UsageQuery says which usage is wanted; what is "" or zero does not matter.
type UsageQuery struct {
	Org      string // the organization's name; "" is all, for operators
	Instance string // the name of one of Org's
	KeyID    string
	From, To time.Time     // from From on, before To
	Step     time.Duration // that a sum is of, at least a minute; 0 is all in one
}

// UsageSum is what was done with a key on an instance in a step of time.
type UsageSum = store.UsageSum

// Usage returns sums by time, key and instance, for members.
func (s *Service) Usage(ctx context.Context, a Actor, q UsageQuery) ([]UsageSum, error) {
	ctx, orgID, err := s.scope(ctx, a, q.Org)
	if err != nil {
		return nil, err
	}
	f := store.UsageFilter{OrgID: orgID, KeyID: q.KeyID, From: q.From, To: q.To, Step: q.Step}
	if q.Instance != "" {
		in, err := s.store.Instance(ctx, q.Org, q.Instance)
		if err != nil {
			return nil, err
		}
		f.InstanceID = in.ID
	}
	return s.store.Usage(ctx, f)
}

// Sessions returns the sessions of an organization's clients with this proxy, for members;
// with org "", of all, for operators. ErrUnavailable where this process serves no clients.
func (s *Service) Sessions(ctx context.Context, a Actor, org string) ([]tenant.Session, error) {
	ctx, orgID, err := s.scope(ctx, a, org)
	if err != nil {
		return nil, err
	}
	if s.cfg.Live == nil {
		return nil, problem(ErrUnavailable, "this process serves no clients")
	}
	return s.cfg.Live.Sessions(ctx, orgID)
}

// KillSession ends a client's session, with this proxy at once, with others within a
// second: whether these have such a session is not known here. For admins of an
// organization one of its sessions; with org "", any, for operators.
func (s *Service) KillSession(ctx context.Context, a Actor, org, id string) error {
	e := tenant.Event{Action: "session.kill", Target: "session", TargetID: id}
	_, err := attempt(ctx, s, a, e, func(e *tenant.Event) (none, error) {
		err := operator(a)
		if org != "" {
			_, err = s.allowed(ctx, a, org, tenant.Admin, e)
		}
		if err != nil {
			return none{}, err
		}
		proxy, client, _ := strings.Cut(id, "-")
		switch {
		case proxy == "" || client == "" || strings.Contains(client, "-"):
			return none{}, problem(tenant.ErrNotFound, "session %q not found", id)
		case s.cfg.Live == nil || s.cfg.Live.Proxy() != proxy:
			return none{}, s.store.EndSession(ctx, tenant.Ending{ID: id, OrgID: e.OrgID}.String())
		}
		all, err := s.cfg.Live.Sessions(ctx, e.OrgID)
		if err != nil {
			return none{}, err
		}
		if !slices.ContainsFunc(all, func(c tenant.Session) bool { return c.ID == id }) {
			return none{}, problem(tenant.ErrNotFound, "session %q not found", id)
		}
		s.cfg.Live.EndSession(id)
		return none{}, nil
	})
	return err
}
