package control

import (
	"context"
	"time"

	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// EventQuery says which events are wanted; what is "" or zero does not matter.
type EventQuery struct {
	Org      string // the organization's name; "" is the whole log, for operators
	OrgID    string // where Org is "": of an organization that may be deleted
	Action   string // such as key.create
	ActorID  string // a user's or a key's
	Target   string // the kind of what it was done to: organization, instance, key, …
	TargetID string
	From, To time.Time // from From on, before To
}

// Events returns events of the audit log, the newest first; a page is after the Seq of
// one, in decimal. For members of Org.
func (s *Service) Events(ctx context.Context, a Actor, q EventQuery, p store.Page) ([]tenant.Event, error) {
	ctx, orgID, err := s.scope(ctx, a, q.Org)
	if err != nil {
		return nil, err
	}
	if orgID == "" {
		orgID = q.OrgID
	}
	return s.store.Events(ctx, store.EventFilter{
		OrgID: orgID, Action: q.Action, ActorID: q.ActorID, Target: q.Target, TargetID: q.TargetID, From: q.From, To: q.To,
	}, p)
}
