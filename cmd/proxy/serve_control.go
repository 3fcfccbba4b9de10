package main

import (
	"context"

	"github.com/respgate/respgate/admin/api"
	"github.com/respgate/respgate/admin/console"
	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/admin/picture"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// manage has the control plane served, now that there is a store.
func (s *server) manage(st *store.Store, data *dataPlane, events *trail, sampler *picture.Sampler) {
	s.control = control.New(control.Config{
		Audit:      events,
		AdminToken: s.cfg.HTTP.AdminToken,
		Live:       data,
		LogLevel:   s.level,
		Pictures:   sampler,
		Rates:      sampler,
		Insight:    data.book,
		Test:       s.testInstance,
		Log:        s.log,
	}, st)
	s.api = api.New(api.Config{Rate: s.cfg.HTTP.Rate, Burst: s.cfg.HTTP.Burst}, s.control, st, s.log)
	s.console = console.New(console.Config{Reachable: s.checks.answered, Strangers: s.api.Strangers}, s.control, s.log)
	s.handler.set(s.newHandler(s.cfg))
}

// testInstance connects to an instance, as `respgate instance test` does.
func (s *server) testInstance(ctx context.Context, in tenant.Instance) control.Probe {
	return control.Probe(test(ctx, *s.config.Load(), in))
}

// remanage has the control plane follow a change of the configuration.
func (s *server) remanage(next Config) {
	s.control.SetAdminToken(next.HTTP.AdminToken)
	s.api.SetLimits(next.HTTP.Rate, next.HTTP.Burst)
	s.handler.set(s.newHandler(next))
}
