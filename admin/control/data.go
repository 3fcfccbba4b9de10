package control

import (
	"context"

	"github.com/respgate/respgate/tenant"
)

// BackUpInstance has do back an instance's keys up, or compare them with a backup. What do
// returns is in the event, as JSON. For operators: do gets the URL with its password.
func (s *Service) BackUpInstance(ctx context.Context, a Actor, org, name string, do func(ctx context.Context, in tenant.Instance) (any, error)) error {
	return s.withData(ctx, a, "backup", org, name, do)
}

// LoadInstance is BackUpInstance for keys that are restored from a backup. That is another
// event than that of an instance which was deleted and is restored.
func (s *Service) LoadInstance(ctx context.Context, a Actor, org, name string, do func(ctx context.Context, in tenant.Instance) (any, error)) error {
	return s.withData(ctx, a, "load", org, name, do)
}

func (s *Service) withData(ctx context.Context, a Actor, action, org, name string, do func(ctx context.Context, in tenant.Instance) (any, error)) error {
	_, err := onInstance(ctx, s, a, action, org, name, func(ctx context.Context, e *tenant.Event) (none, error) {
		if !a.Operator() {
			return none{}, forbidden("an instance's keys are for operators to read and write")
		}
		in, err := s.store.Instance(ctx, org, name)
		if err != nil {
			return none{}, err
		}
		e.TargetID = in.ID
		done, err := do(ctx, in)
		e.After = noted(done)
		// Else the event would say that the store could not be asked. What the Redis has said
		// is for who asked: it may have addresses.
		if err != nil {
			err = &dataError{err}
		}
		return none{}, err
	})
	return err
}

// dataError is what has become of work on an instance's keys.
type dataError struct{ error }

// Unwrap returns what was said.
func (e *dataError) Unwrap() error { return e.error }
