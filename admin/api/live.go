package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/tenant"
)

// SessionPath is a session's id in a path.
type SessionPath struct {
	Session string `path:"session" example:"Zb3kQ9-17" doc:"the session's id"`
}

// SpanQuery is a span of time.
type SpanQuery struct {
	From time.Time `query:"from" example:"2026-01-01T00:00:00Z" doc:"from then on"`
	To   time.Time `query:"to" example:"2026-02-01T00:00:00Z" doc:"before then"`
}

// SumQuery is which usage is summed up how.
type SumQuery struct {
	SpanQuery
	Key         string `query:"key" maxLength:"64" doc:"only with the key that has this id"`
	StepSeconds int64  `query:"step_seconds" minimum:"0" maximum:"31622400" doc:"a sum for each step of so many seconds, 60 or more; 0 is one for all the time"`
}

// EventQuery is which events are wanted.
type EventQuery struct {
	SpanQuery
	Action   string `query:"action" maxLength:"64" example:"key.create" doc:"only this action"`
	ActorID  string `query:"actor_id" maxLength:"64" doc:"only by the user or the key that has this id"`
	Target   string `query:"target" maxLength:"64" example:"key" doc:"only done to this kind of thing"`
	TargetID string `query:"target_id" maxLength:"300" doc:"only done to what has this id"`
}

func (q EventQuery) control() control.EventQuery {
	return control.EventQuery{Action: q.Action, ActorID: q.ActorID, Target: q.Target, TargetID: q.TargetID, From: q.From, To: q.To}
}

// sortable is a time as text in the order of time.
const sortable = "2006-01-02T15:04:05.000000000"

type (
	sessionListAll struct{ PageQuery }
	sessionList    struct {
		OrgPath
		PageQuery
	}
	sessionKill struct {
		OrgPath
		SessionPath
	}
	usageAll struct {
		PageQuery
		SumQuery
	}
	usageOf struct {
		OrgPath
		PageQuery
		SumQuery
		Instance string `query:"instance" maxLength:"64" doc:"only on the instance with this name"`
	}
	auditAll struct {
		PageQuery
		EventQuery
		OrgID string `query:"org_id" maxLength:"64" doc:"only of the organization that has this id, which may be deleted"`
	}
	auditOf struct {
		OrgPath
		PageQuery
		EventQuery
	}
)

func sessions(b *builder) {
	const tag = "sessions"
	noClients := []int{http.StatusNotImplemented}
	list := func(ctx context.Context, actor control.Actor, org string, page PageQuery) (*listed[control.SessionView], error) {
		all, err := b.control.Sessions(ctx, actor, org)
		return cut(page, all, func(s tenant.Session) string { return s.ID }, control.ViewSession), err
	}
	register(b, operation{method: http.MethodGet, path: "/sessions", id: "listAllSessions", tag: tag, summary: "List all organizations' clients", errors: noClients,
		description: "Those of the proxy that answers, by id. For operators."},
		func(ctx context.Context, actor control.Actor, in *sessionListAll) (*listed[control.SessionView], error) {
			return list(ctx, actor, "", in.PageQuery)
		})
	register(b, operation{method: http.MethodGet, path: "/organizations/{org}/sessions", id: "listSessions", tag: tag, summary: "List an organization's clients", errors: noClients,
		description: "Those of the proxy that answers, by id."},
		func(ctx context.Context, actor control.Actor, in *sessionList) (*listed[control.SessionView], error) {
			return list(ctx, actor, in.Org, in.PageQuery)
		})
	register(b, operation{method: http.MethodDelete, path: "/sessions/{session}", id: "killAnySession", tag: tag, summary: "Disconnect a client", status: http.StatusNoContent,
		description: "At once where the proxy that answers has it, else within a second. For operators."},
		func(ctx context.Context, actor control.Actor, in *SessionPath) (*none, error) {
			return &none{}, b.control.KillSession(ctx, actor, "", in.Session)
		})
	register(b, operation{method: http.MethodDelete, path: "/organizations/{org}/sessions/{session}", id: "killSession", tag: tag, summary: "Disconnect an organization's client", status: http.StatusNoContent,
		description: "At once where the proxy that answers has it, else within a second. For admins."},
		func(ctx context.Context, actor control.Actor, in *sessionKill) (*none, error) {
			return &none{}, b.control.KillSession(ctx, actor, in.Org, in.Session)
		})
}

func usage(b *builder) {
	const tag = "usage"
	list := func(ctx context.Context, actor control.Actor, org, instance string, page PageQuery, sum SumQuery) (*listed[control.UsageView], error) {
		all, err := b.control.Usage(ctx, actor, control.UsageQuery{Org: org, Instance: instance, KeyID: sum.Key, From: sum.From, To: sum.To, Step: time.Duration(sum.StepSeconds) * time.Second})
		byTime := func(u control.UsageSum) string {
			return u.At.UTC().Format(sortable) + " " + u.KeyID + " " + u.InstanceID
		}
		return cut(page, all, byTime, control.ViewUsage), err
	}
	register(b, operation{method: http.MethodGet, path: "/usage", id: "getAllUsage", tag: tag, summary: "Sum up all organizations' usage", description: "By time, key and instance. For operators."},
		func(ctx context.Context, actor control.Actor, in *usageAll) (*listed[control.UsageView], error) {
			return list(ctx, actor, "", "", in.PageQuery, in.SumQuery)
		})
	register(b, operation{method: http.MethodGet, path: "/organizations/{org}/usage", id: "getUsage", tag: tag, summary: "Sum up an organization's usage", description: "By time, key and instance."},
		func(ctx context.Context, actor control.Actor, in *usageOf) (*listed[control.UsageView], error) {
			return list(ctx, actor, in.Org, in.Instance, in.PageQuery, in.SumQuery)
		})
}

func audit(b *builder) {
	const tag = "audit"
	list := func(ctx context.Context, actor control.Actor, q control.EventQuery, page PageQuery) (*listed[control.EventView], error) {
		events, err := b.control.Events(ctx, actor, q, page.page())
		return pageOf(page, events, func(e tenant.Event) string { return strconv.FormatInt(e.Seq, 10) }, control.ViewEvent), err
	}
	register(b, operation{method: http.MethodGet, path: "/audit", id: "listAllEvents", tag: tag, summary: "List the audit log", description: "The newest first. For operators."},
		func(ctx context.Context, actor control.Actor, in *auditAll) (*listed[control.EventView], error) {
			q := in.control()
			q.OrgID = in.OrgID
			return list(ctx, actor, q, in.PageQuery)
		})
	register(b, operation{method: http.MethodGet, path: "/organizations/{org}/audit", id: "listEvents", tag: tag, summary: "List what was done in an organization", description: "The newest first."},
		func(ctx context.Context, actor control.Actor, in *auditOf) (*listed[control.EventView], error) {
			q := in.control()
			q.Org = in.Org
			return list(ctx, actor, q, in.PageQuery)
		})
}
