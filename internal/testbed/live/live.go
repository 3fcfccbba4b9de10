// Package live stands for the clients of a proxy in tests of what is built on them.
package live

import (
	"context"
	"time"

	"github.com/respgate/respgate/tenant"
)

// Clients are a proxy's clients as the control plane sees them, where a test needs no real
// ones.
type Clients struct {
	All   []tenant.Session
	Ended []string // the ids of those that EndSession was told to end

	SlowLogs map[string][]tenant.SlowEntry // by the instance's id, the newest first
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

// Slow returns the newest of an instance's slow log.
func (l *Clients) Slow(instanceID string, n int) []tenant.SlowEntry {
	slow := l.SlowLogs[instanceID]
	return slow[:min(n, len(slow))]
}

// ResetSlow empties an instance's slow log.
func (l *Clients) ResetSlow(instanceID string) { delete(l.SlowLogs, instanceID) }

// Top has one of everything, and a hot key that is no text.
func (*Clients) Top(_ context.Context, instanceID string) (tenant.Top, error) {
	return tenant.Top{
		Window: time.Minute, Every: 32, HotKeys: []tenant.HotKey{{Key: "hot\xff of " + instanceID, Rate: 5, Error: 1}, {Key: "b", Rate: 1}}, Clients: []tenant.BusyClient{{SessionID: "proxy1-1", Rate: 2}},
		BigKeys: []tenant.BigCommand{{Command: "set", Key: "big", Bytes: 1 << 20}}, BigReplies: []tenant.BigCommand{{Command: "get", Key: "big", Bytes: 2 << 20}},
	}, nil
}
