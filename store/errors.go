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

func notFound(format string, args ...any) error {
	return &problem{tenant.ErrNotFound, fmt.Sprintf(format, args...) + " not found"}
}

func conflict(format string, args ...any) error {
	return &problem{ErrConflict, fmt.Sprintf(format, args...)}
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
