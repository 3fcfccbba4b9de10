package store

import (
	"errors"
	"fmt"

	"github.com/respgate/respgate/tenant"
)

// Kinds of errors, besides [tenant.ErrNotFound], for errors.Is. The error itself
// says what is the matter.
var (
	ErrConflict = errors.New("conflict") // it exists already, or is still used
	ErrInvalid  = errors.New("invalid")  // such a value cannot be stored
	// ErrQuota is an ErrConflict: an organization has as many as it may have.
	ErrQuota = fmt.Errorf("quota: %w", ErrConflict)
	// ErrReused is an ErrConflict: an idempotency key was another request's.
	ErrReused = fmt.Errorf("reused: %w", ErrConflict)
	// ErrStale is for functions that change a value to return: it is not the version
	// that the change was made for.
	ErrStale = errors.New("it was changed meanwhile")
)

// problem is an error of a kind with words for people.
type problem struct {
	kind error
	text string
}

// Error implements error.
func (p *problem) Error() string { return p.text }

// Unwrap returns the kind.
func (p *problem) Unwrap() error { return p.kind }

// refused is what a caller's function says against a change.
type refused struct{ error }

// Unwrap returns what it says.
func (r refused) Unwrap() error { return r.error }

// refuse marks what a caller's function returns; nil stays nil.
func refuse(err error) error {
	if err == nil {
		return nil
	}
	return refused{err}
}

// answered reports whether an error is the store's answer, and no failure of it.
func answered(err error) bool {
	var r refused
	return errors.Is(err, tenant.ErrNotFound) || errors.Is(err, ErrConflict) || errors.Is(err, ErrInvalid) || errors.As(err, &r)
}

func notFound(format string, args ...any) error {
	return &problem{tenant.ErrNotFound, fmt.Sprintf(format, args...) + " not found"}
}

func conflict(format string, args ...any) error {
	return &problem{ErrConflict, fmt.Sprintf(format, args...)}
}

func quota(format string, args ...any) error {
	return &problem{ErrQuota, fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) error {
	return &problem{ErrInvalid, fmt.Sprintf(format, args...)}
}

func checkName(what, name string) error {
	if err := tenant.ValidateName(what, name); err != nil {
		return invalid("%v", err)
	}
	return nil
}
