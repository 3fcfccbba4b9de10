package control

import (
	"context"
	"time"

	"github.com/respgate/respgate/tenant"
)

// UsageQuery says which usage is wanted; what is "" or zero does not matter.
type UsageQuery struct {
	Org      string // the organization's name; "" is all, for operators
	Instance string // the name of one of Org's
	KeyID    string
	From, To time.Time     // from From on, before To
	Step     time.Duration // that a sum is of; 0 is all in one
}

// UsageSum is what was done with a key on an instance in a step of time, which begins at
// At, zero where all is one.
type UsageSum struct {
	tenant.Usage
	Key, Instance string // their names, also those of what is deleted
}

// Usage returns sums by time, key and instance, for members.
func (s *Service) Usage(ctx context.Context, a Actor, q UsageQuery) ([]UsageSum, error) {
	return nil, errTodo
}

// Sessions returns the sessions of an organization's clients with this proxy, for members;
// with org "", of all, for operators. ErrUnavailable where this process serves no clients.
func (s *Service) Sessions(ctx context.Context, a Actor, org string) ([]tenant.Session, error) {
	return nil, errTodo
}

// KillSession ends a client's session, with this proxy at once, with others within a
// second: whether these have such a session is not known here. For admins of an
// organization one of its sessions; with org "", any, for operators.
func (s *Service) KillSession(ctx context.Context, a Actor, org, id string) error {
	return errTodo
}
