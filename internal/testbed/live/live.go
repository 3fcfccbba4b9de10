// Package live stands for the clients of a proxy in tests of what is built on them.
package live

import (
	"context"

	"github.com/respgate/respgate/tenant"
)

// Clients are a proxy's clients as the control plane sees them, where a test needs no real
// ones.
type Clients struct {
	All   []tenant.Session
	Ended []string // the ids of those that EndSession was told to end
}

// Proxy is the proxy's id.
func (*Clients) Proxy() string { return "proxy1" }

// Sessions returns those of an organization; with "", all.
func (l *Clients) Sessions(_ context.Context, orgID string) (of []tenant.Session, err error) {
	for _, s := range l.All {
		if orgID == "" || s.OrgID == orgID {
			of = append(of, s)
		}
	}
	return of, nil
}

// EndSession notes which is to end.
func (l *Clients) EndSession(id string) { l.Ended = append(l.Ended, id) }
