package control

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

const (
	// maxNoted bounds what an event has of what an actor gave, in bytes: who may do nothing
	// must not fill the log.
	maxNoted = 256
	// noteTimeout bounds how long an event is kept waiting for the store.
	noteTimeout = 5 * time.Second
)

// none is what an attempt returns that returns nothing.
type none = struct{}

// attempt does something and notes what came of it in e, which do completes.
func attempt[T any](ctx context.Context, s *Service, a Actor, e tenant.Event, do func(e *tenant.Event) (T, error)) (T, error) {
	v, err := do(&e)
	s.note(ctx, a, e, err)
	return v, err
}

// note appends an event that ended with err. It does so also when the caller has gone. What
// has been done stays done where the event cannot be kept: the log has it then.
func (s *Service) note(ctx context.Context, a Actor, e tenant.Event, err error) {
	e.At, e.Address = s.cfg.Now(), a.Address
	e.Actor, e.ActorName = a.Kind, a.Name
	switch a.Kind {
	case "":
		e.Actor = tenant.ByNobody
	case tenant.ByUser:
		e.ActorID, e.ActorName, e.TokenID = a.User.ID, a.User.Email, a.Token.ID
	}
	e.Outcome, e.Detail = outcome(err)
	if err != nil {
		e.After = nil
	}
	for _, text := range []*string{&e.Name, &e.TargetID, &e.Org, &e.Detail} {
		*text = clip(*text)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
	defer cancel()
	if err := s.cfg.Audit.AppendEvents(ctx, []tenant.Event{e}); err != nil {
		s.cfg.Log.Error("an audit event could not be kept", "error", err, "action", e.Action, "actor", e.Actor, "actor_id", e.ActorID, "address", e.Address,
			"org", e.Org, "target", e.Target, "target_id", e.TargetID, "name", e.Name, "outcome", e.Outcome)
	}
}

// answers are the kinds of errors whose words are for whoever reads the log: others are the
// store's of itself, such as where it is.
func answers() []error {
	return []error{ErrUnavailable, tenant.ErrNotFound, store.ErrConflict, store.ErrInvalid, store.ErrStale}
}

// outcome is what an error says about what was tried.
func outcome(err error) (tenant.Outcome, string) {
	var h hidden
	var t *ThrottledError
	var data *dataError
	switch {
	case err == nil:
		return tenant.Done, ""
	case errors.As(err, &h):
		return tenant.Denied, "it is not the actor's to see"
	case errors.Is(err, ErrForbidden), errors.Is(err, ErrUnauthenticated), errors.As(err, &t):
		return tenant.Denied, err.Error()
	case slices.ContainsFunc(answers(), func(kind error) bool { return errors.Is(err, kind) }):
		return tenant.Failed, err.Error()
	case errors.Is(err, context.Canceled):
		return tenant.Failed, "who asked has gone"
	case errors.As(err, &data):
		return tenant.Failed, "not all keys could be read, written or compared"
	}
	return tenant.Failed, "the store could not be asked"
}

// clip shortens text that anybody may have written to what any database takes.
func clip(text string) string {
	text = strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "")
	if len(text) <= maxNoted {
		return text
	}
	cut := maxNoted
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// noted is a view as an event has it.
func noted(view any) json.RawMessage {
	raw, err := json.Marshal(view)
	if err != nil {
		return nil // no view has what JSON has not
	}
	return raw
}
