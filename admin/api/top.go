package api

import (
	"context"
	"net/http"

	"github.com/respgate/respgate/admin/control"
)

// TopQuery is which tenants are wanted.
type TopQuery struct {
	Sort  control.Order `query:"sort" enum:"rate,latency,errors,limited,connections,bytes" default:"rate" doc:"what they are listed by, the most first; latency is p99"`
	Limit int           `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"how many at most"`
}

type (
	topOfAll struct{ TopQuery }
	topOfOrg struct {
		OrgPath
		TopQuery
	}
	topOfInstance struct {
		InstancePath
		Limit int `query:"limit" minimum:"1" maximum:"16" default:"16" doc:"how many items a list has at most"`
	}
	slowlogGet struct {
		InstancePath
		Limit int `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"how many entries at most"`
	}
	logged   struct{ Body control.SlowLogView }
	ranked   struct{ Body control.TopTenants }
	stoodOut struct{ Body control.InstanceTopView }
)

// tops are the operations that show what happens most, and what is slow.
func tops(b *builder) {
	const tag = "top"
	noClients := []int{http.StatusNotImplemented}
	top := func(ctx context.Context, actor control.Actor, org string, q TopQuery) (*ranked, error) {
		found, err := b.control.Top(ctx, actor, org, q.Sort, q.Limit)
		return &ranked{found}, err
	}
	register(b, operation{method: http.MethodGet, path: "/top", id: "getTop", tag: tag, summary: "Show which tenants do most", errors: noClients,
		description: "How the instances of all organizations did in the last second or so at the proxy that answers. They are sampled while somebody asks, and a minute longer; the first answer takes a second. For operators."},
		func(ctx context.Context, actor control.Actor, in *topOfAll) (*ranked, error) {
			return top(ctx, actor, "", in.TopQuery)
		})
	register(b, operation{method: http.MethodGet, path: "/organizations/{org}/top", id: "getOrganizationTop", tag: tag, summary: "Show which of an organization's instances do most", errors: noClients,
		description: "How they did in the last second or so at the proxy that answers. They are sampled while somebody asks, and a minute longer; the first answer takes a second."},
		func(ctx context.Context, actor control.Actor, in *topOfOrg) (*ranked, error) {
			return top(ctx, actor, in.Org, in.TopQuery)
		})
	const instance = "/organizations/{org}/instances/{instance}"
	register(b, operation{method: http.MethodGet, path: instance + "/top", id: "getInstanceTop", tag: tag, summary: "Show what stands out of an instance", errors: noClients,
		description: "The most frequent commands of the last second or so, hot keys, the clients that send most, and the biggest commands and replies of the last minute or two, at the proxy that answers. Hot keys and clients are estimates, of one command in so many. The first answer takes a second."},
		func(ctx context.Context, actor control.Actor, in *topOfInstance) (*stoodOut, error) {
			found, err := b.control.InstanceTop(ctx, actor, in.Org, in.Instance)
			return &stoodOut{control.ViewInstanceTop(found, in.Limit)}, err
		})
	register(b, operation{method: http.MethodGet, path: instance + "/slowlog", id: "getSlowLog", tag: tag, summary: "Show an instance's slow log", errors: noClients,
		description: "The commands of its clients at the proxy that answers which took its threshold or longer, the newest first. SLOWLOG GET says the same to its clients."},
		func(ctx context.Context, actor control.Actor, in *slowlogGet) (*logged, error) {
			found, err := b.control.SlowLog(ctx, actor, in.Org, in.Instance, in.Limit)
			return &logged{control.ViewSlowLog(found)}, err
		})
	register(b, operation{method: http.MethodDelete, path: instance + "/slowlog", id: "resetSlowLog", tag: tag, summary: "Empty an instance's slow log", status: http.StatusNoContent, errors: noClients,
		description: "At the proxy that answers. For admins."},
		func(ctx context.Context, actor control.Actor, in *InstancePath) (*none, error) {
			return &none{}, b.control.ResetSlowLog(ctx, actor, in.Org, in.Instance)
		})
}
