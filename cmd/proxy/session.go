package main

import (
	"cmp"
	"context"
	"strings"

	"github.com/spf13/cobra"

	respgate "github.com/respgate/respgate/clients/go"
)

type sessionRow struct{ respgate.Session }

func (sessionRow) columns() []string {
	return []string{"id", "org", "instance", "key", "address", "name", "command", "connected", "active", "state"}
}

func (v sessionRow) cells() []string {
	return []string{v.ID, v.Org, v.Instance, v.Key, v.Address, cmp.Or(v.Name, "-"), cmp.Or(v.Command, "-"), shownTime(&v.ConnectedAt), shownTime(&v.ActiveAt), cmp.Or(strings.Join(v.State, ","), "-")}
}

func (a *app) sessionCommand() *cobra.Command {
	return group("session", "See and disconnect the Redis clients of a proxy", a.sessionList(), a.sessionKill())
}

func (a *app) sessionList() *cobra.Command {
	var org string
	return a.onlyOrgFlag(a.onAPI("list [--org ORGANIZATION]", "List the clients that are connected to the proxy of --server", func(ctx context.Context, c *client) error {
		err := showAll[sessionRow](a, 0, func(cursor *string) (respgate.Answer, error) {
			if org == "" {
				return c.ListAllSessionsWithResponse(ctx, &respgate.ListAllSessionsParams{Limit: pageSize(), Cursor: cursor})
			}
			return c.ListSessionsWithResponse(ctx, org, &respgate.ListSessionsParams{Limit: pageSize(), Cursor: cursor})
		})
		return wantsProxy(err)
	}), &org)
}

func (a *app) sessionKill() *cobra.Command {
	var org string
	one := thing{want: "session ID (respgate session list shows them)"}
	return a.onlyOrgFlag(a.onOne("kill ID", "Disconnect a client, whichever proxy it is connected to, within a second", one, func(ctx context.Context, c *client, id string) error {
		kill := func() (respgate.Answer, error) { return c.KillAnySessionWithResponse(ctx, id) }
		if org != "" {
			kill = func() (respgate.Answer, error) { return c.KillSessionWithResponse(ctx, org, id) }
		}
		if err := respgate.Check(kill()); err != nil {
			return err
		}
		return a.done("killed", id)
	}), &org)
}
