// Package health says whether the process lives, whether it may be given
// clients, and how what it depends on is doing.
package health

import (
	"context"
	"sync"
	"time"
)

// State is where the process is in its life.
type State uint8

// The states: only a ready process may be given clients.
const (
	Starting State = iota
	Ready
	Draining
)

// Status is how well a component does. A higher one is worse.
type Status uint8

// The statuses. A degraded component still serves, though not everybody or not
// for long; with an unhealthy one nobody can be served.
const (
	Healthy Status = iota
	Degraded
	Unhealthy
)

var statusNames = [...]string{"healthy", "degraded", "unhealthy"}

// String returns the status as reports have it.
func (s Status) String() string { return statusNames[s] }

// MarshalText implements encoding.TextMarshaler.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Check looks at one component. It has to return when ctx ends; its message names
// no tenant and no address.
type Check func(ctx context.Context) (Status, string)

// Component is what a report says of one component.
type Component struct {
	Status       Status `json:"status"`
	Message      string `json:"message"`
	ResponseTime int64  `json:"response_time_ms"`
}

// Report is how everything is doing. Its status is its worst component's.
type Report struct {
	Status     Status               `json:"status"`
	Timestamp  time.Time            `json:"timestamp"`
	Uptime     float64              `json:"uptime_seconds"`
	Components map[string]Component `json:"components"`
}

// Health answers load balancers and operators. It is safe for concurrent use.
type Health struct {
	now     func() time.Time
	started time.Time
	timeout time.Duration
	checks  map[string]Check

	mu    sync.Mutex
	state State
}

// New returns the health of a process that is starting. Each check of the
// components, by name, may take as long as timeout; a slower one is unhealthy.
func New(now func() time.Time, timeout time.Duration, checks map[string]Check) *Health {
	return &Health{now: now, started: now(), timeout: timeout, checks: checks}
}

// SetState says where the process is in its life.
func (h *Health) SetState(s State) {
	h.mu.Lock()
	h.state = s
	h.mu.Unlock()
}

// Ready reports whether the process may be given clients: it is in state Ready
// and no component is unhealthy. Otherwise why says what is the matter.
func (h *Health) Ready(ctx context.Context) (ready bool, why string) {
	h.mu.Lock()
	state := h.state
	h.mu.Unlock()
	switch state {
	case Starting:
		return false, "starting"
	case Draining:
		return false, "draining"
	}
	for name, c := range h.Report(ctx).Components {
		if c.Status == Unhealthy {
			return false, name + " is unhealthy"
		}
	}
	return true, ""
}

// Report runs all checks at once.
func (h *Health) Report(ctx context.Context) Report {
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	r := Report{Timestamp: h.now().UTC(), Uptime: h.now().Sub(h.started).Seconds(), Components: map[string]Component{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name, check := range h.checks {
		wg.Go(func() {
			began := h.now()
			status, message := check(ctx)
			if ctx.Err() != nil {
				status, message = Unhealthy, "does not answer in time"
			}
			took := h.now().Sub(began).Milliseconds()
			mu.Lock()
			defer mu.Unlock()
			r.Components[name] = Component{status, message, took}
			r.Status = max(r.Status, status)
		})
	}
	wg.Wait()
	return r
}
