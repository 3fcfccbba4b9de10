package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/respgate/respgate/tenant"
)

// maxSessions bounds how many sessions are listed at once.
const maxSessions = 10_000

// Sessions returns the authenticated sessions of the organization with that id, of all with
// "", the oldest first; of more than maxSessions any so many. The error is ctx's.
func (d *dataPlane) Sessions(ctx context.Context, org string) ([]tenant.Session, error) {
	var mu sync.Mutex
	var all []tenant.Session
	left := len(d.lanes)
	done := make(chan struct{})
	add := func(some []tenant.Session) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, some...)
		if left--; left == 0 {
			close(done)
		}
	}
	for _, l := range d.lanes {
		if !l.loop.Post(func() { l.core.Sessions(org, maxSessions, add) }) {
			add(nil)
		}
	}
	select {
	case <-done:
	case <-ctx.Done():
		return nil, fmt.Errorf("sessions: %w", ctx.Err())
	}
	slices.SortFunc(all, func(a, b tenant.Session) int {
		return cmp.Or(cmp.Compare(len(a.ID), len(b.ID)), cmp.Compare(a.ID, b.ID))
	})
	all = all[:min(len(all), maxSessions)]
	for i := range all {
		all[i].ID = d.id + "-" + all[i].ID
	}
	return all, nil
}

// Proxy returns what the ids of this proxy's sessions begin with, before the '-'.
func (d *dataPlane) Proxy() string { return d.id }

// EndSession ends a session at once, where it is one of this proxy's: told is its id, or what
// the store's changes say of it, which may name whose it must be.
func (d *dataPlane) EndSession(told string) {
	ending := tenant.ParseEnding(told)
	home, client, ok := strings.Cut(ending.ID, "-")
	number, err := strconv.ParseInt(client, 10, 64)
	if !ok || err != nil || home != d.id {
		return
	}
	d.everywhere(func(l *lane) { l.core.Kill(number, ending.OrgID) }, func() {})
}
