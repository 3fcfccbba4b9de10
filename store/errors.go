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
	// ErrStale is for a change that was made for another version than there is.
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
	return errors.Is(err, tenant.ErrNotFound) || errors.Is(err, ErrConflict) || errors.Is(err, ErrInvalid) || errors.Is(err, ErrStale) || errors.As(err, &r)
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

// CheckVersion returns ErrStale unless wanted is the version that there is, or 0.
func CheckVersion(wanted, version int64) error {
	if wanted != 0 && wanted != version {
		return &problem{ErrStale, fmt.Sprintf("it was changed meanwhile: it is version %d, not %d", version, wanted)}
	}
	return nil
}

// Deletion is how an organization or an instance is deleted.
type Deletion struct {
	Version int64 // that is to be deleted, else it is ErrStale; 0 is any
	Force   bool  // also while it has instances and keys, or keys open it
}

func checkName(what, name string) error {
	if err := tenant.ValidateName(what, name); err != nil {
		return invalid("%v", err)
	}
	return nil
}
