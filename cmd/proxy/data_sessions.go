package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

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

// EndSession ends the session that a tenant.Ending says at once, where it is one of this
// proxy's, and the organization's.
func (d *dataPlane) EndSession(text string) {
	ending := tenant.ParseEnding(text)
	home, client, _ := strings.Cut(ending.ID, "-")
	number, err := strconv.ParseInt(client, 10, 64)
	if err != nil || home != d.id {
		return
	}
	d.everywhere(func(l *lane) {
		if l.core.Kill(number, ending.OrgID) {
			d.log.Info("client's session ended by request", "session", ending.ID)
		}
	}, func() {})
}

// sessionsTimeout bounds how long the loops are waited for.
const sessionsTimeout = 2 * time.Second

// liveSessions are a proxy's clients as the control plane sees them.
type liveSessions struct{ data *dataPlane }

// Proxy implements control.Live.
func (l liveSessions) Proxy() string { return l.data.id }

// Sessions implements control.Live. None are returned when the loops do not answer.
func (l liveSessions) Sessions(orgID string) []tenant.Session {
	ctx, cancel := context.WithTimeout(context.Background(), sessionsTimeout)
	defer cancel()
	all, err := l.data.Sessions(ctx, orgID)
	if err != nil {
		l.data.log.Error("the clients' sessions cannot be listed", "error", err)
	}
	return all
}

// End implements control.Live.
func (l liveSessions) End(id string) { l.data.EndSession(id) }
