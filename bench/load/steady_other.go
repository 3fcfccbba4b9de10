//go:build !linux

package load

import (
	"context"
	"errors"
)

// run needs timers that are good to microseconds.
func (r *steadyRun) run(context.Context, Conns) error { return errors.ErrUnsupported }
