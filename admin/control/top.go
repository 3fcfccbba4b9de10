package control

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/respgate/respgate/tenant"
)

// Insight knows what stands out among the commands of instances at this proxy. It is called
// from several goroutines.
type Insight interface {
	// Slow returns the newest n entries of an instance's slow log, the newest first.
	Slow(instanceID string, n int) []tenant.SlowEntry
	// ResetSlow empties it.
	ResetSlow(instanceID string)
	// Top returns what stands out of late. The error is ctx's.
	Top(ctx context.Context, instanceID string) (tenant.Top, error)
}

// Rates tells how often what happens at this proxy. It is called from several goroutines; the
// errors are ctx's, or ErrUnavailable.
type Rates interface {
	// Commands returns how often each command was sent to an instance in the last second or
	// so, the most frequent first. It waits for that, a second or two.
	Commands(ctx context.Context, in tenant.Instance) ([]HotCommand, error)
	// Tenants returns how all instances do, likewise. Its rows must not be changed.
	Tenants(ctx context.Context) (Tenants, error)
}

// Tenants is how all instances did for about a second, in the eyes of one proxy.
type Tenants struct {
	Proxy string // the proxy's id
	At    time.Time
	Rows  []TenantRow // in no order
}

// TenantRow is how one did.
type TenantRow struct {
	Org      string `json:"org"`
	Instance string `json:"instance"`
	Point
}

// Order is what a list of tenants begins with the most of.
type Order string

// The orders.
const (
	ByRate        Order = "rate"
	ByLatency     Order = "latency" // p99
	ByErrors      Order = "errors"
	ByLimited     Order = "limited"
	ByConnections Order = "connections" // of clients
	ByBytes       Order = "bytes"       // from and to clients
)

// Orders returns all of them.
func Orders() []Order {
	return []Order{ByRate, ByLatency, ByErrors, ByLimited, ByConnections, ByBytes}
}

// of is what is compared.
func (o Order) of(r *TenantRow) float64 {
	switch o {
	case ByLatency:
		if r.P99 == nil {
			return -1
		}
		return *r.P99
	case ByErrors:
		return r.Errors
	case ByLimited:
		return r.Limited
	case ByConnections:
		return float64(r.Clients)
	case ByBytes:
		return r.BytesIn + r.BytesOut
	}
	return r.Commands
}

// TopTenants is a list of tenants as it is shown.
type TopTenants struct {
	Proxy   string      `json:"proxy"`
	At      time.Time   `json:"at"`    // when the second ended, in UTC
	Total   int         `json:"total"` // tenants that there are, of whom the list may have the first
	Tenants []TenantRow `json:"tenants"`
}

// Top returns an organization's instances in an order, limit at most, with how they do at this
// proxy, for members; with org "", all, for operators. ErrUnavailable where this process
// serves no clients.
func (s *Service) Top(ctx context.Context, a Actor, org string, by Order, limit int) (TopTenants, error) {
	ctx, _, err := s.scope(ctx, a, org)
	switch {
	case err != nil:
		return TopTenants{}, err
	case s.cfg.Rates == nil:
		return TopTenants{}, problem(ErrUnavailable, "this process serves no clients")
	}
	all, err := s.cfg.Rates.Tenants(ctx)
	if err != nil {
		return TopTenants{}, err
	}
	rows := slices.Clone(all.Rows)
	if org != "" {
		rows = slices.DeleteFunc(rows, func(r TenantRow) bool { return r.Org != org })
	}
	slices.SortFunc(rows, func(x, y TenantRow) int {
		return cmp.Or(cmp.Compare(by.of(&y), by.of(&x)), cmp.Compare(x.Org, y.Org), cmp.Compare(x.Instance, y.Instance))
	})
	return TopTenants{Proxy: all.Proxy, At: all.At, Total: len(rows), Tenants: slices.Clip(rows[:min(len(rows), limit)])}, nil
}

// InstanceTop is what stands out of an instance at this proxy.
type InstanceTop struct {
	Proxy    string       // the proxy's id
	Commands []HotCommand // of the last second or so, the most frequent first
	tenant.Top
}

// InstanceTop returns what stands out of an instance, for members. ErrUnavailable where this
// process serves no clients.
func (s *Service) InstanceTop(ctx context.Context, a Actor, org, instance string) (top InstanceTop, err error) {
	in, err := s.Instance(ctx, a, org, instance)
	switch {
	case err != nil:
		return top, err
	case s.cfg.Live == nil, s.cfg.Rates == nil, s.cfg.Insight == nil:
		return top, problem(ErrUnavailable, "this process serves no clients")
	}
	top.Proxy = s.cfg.Live.Proxy()
	if top.Commands, err = s.cfg.Rates.Commands(ctx, in); err != nil {
		return top, err
	}
	top.Top, err = s.cfg.Insight.Top(ctx, in.ID)
	return top, err
}

// SlowLog is an instance's at a proxy.
type SlowLog struct {
	Proxy   string             // the proxy's id
	Entries []tenant.SlowEntry // the newest first
}

// SlowLog returns the newest entries of an instance's slow log at this proxy, limit at most,
// for members. ErrUnavailable where this process serves no clients.
func (s *Service) SlowLog(ctx context.Context, a Actor, org, instance string, limit int) (SlowLog, error) {
	in, err := s.Instance(ctx, a, org, instance)
	switch {
	case err != nil:
		return SlowLog{}, err
	case s.cfg.Live == nil, s.cfg.Insight == nil:
		return SlowLog{}, problem(ErrUnavailable, "this process serves no clients")
	}
	return SlowLog{s.cfg.Live.Proxy(), s.cfg.Insight.Slow(in.ID, limit)}, nil
}

// ResetSlowLog empties an instance's slow log at this proxy. For admins; ErrUnavailable where
// this process serves no clients.
func (s *Service) ResetSlowLog(ctx context.Context, a Actor, org, instance string) error {
	e := tenant.Event{Action: "slowlog.reset", Target: "instance", Name: instance}
	_, err := attempt(ctx, s, a, e, func(e *tenant.Event) (none, error) {
		ctx, _, err := s.organization(ctx, a, org, tenant.Admin, e)
		if err != nil {
			return none{}, err
		}
		in, err := s.store.Instance(ctx, org, instance)
		if err != nil {
			return none{}, err
		}
		e.TargetID = in.ID
		if s.cfg.Insight == nil {
			return none{}, problem(ErrUnavailable, "this process serves no clients")
		}
		s.cfg.Insight.ResetSlow(in.ID)
		return none{}, nil
	})
	return err
}
