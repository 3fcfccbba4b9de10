package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	respgate "github.com/respgate/respgate/clients/go"
)

type eventRow struct{ respgate.Event }

func (eventRow) columns() []string {
	return []string{"at", "actor", "from", "action", "org", "target", "outcome", "detail"}
}

func (v eventRow) cells() []string {
	actor, target := string(v.Actor), v.Target
	if v.ActorName != "" {
		actor += " " + v.ActorName
	}
	if of := cmp.Or(v.Name, v.TargetID); of != "" {
		target += " " + of
	}
	return []string{shownTime(&v.At), actor, cmp.Or(v.Address, "-"), v.Action, cmp.Or(v.Org, "-"), target, string(v.Outcome), v.Detail}
}

func (a *app) auditCommand() *cobra.Command {
	return group("audit", "Read the audit log: who did what, and what came of it", a.auditList())
}

// auditFlags are which events are wanted.
type auditFlags struct {
	org, orgID, action, actor, target, targetID, from, to string
	limit                                                 int
}

func (a *app) auditList() *cobra.Command {
	var f auditFlags
	c := a.onAPI("list [--org ORGANIZATION]", "List what was done, the newest first", func(ctx context.Context, c *client) error {
		page, err := f.pages(ctx, c)
		if err != nil {
			return err
		}
		return showAll[eventRow](a, f.limit, page)
	})
	c.Flags().StringVar(&f.orgID, "org-id", "", "only of the organization with this `ID`, which may be deleted")
	c.Flags().StringVar(&f.action, "action", "", "only this `ACTION`, such as key.create")
	c.Flags().StringVar(&f.actor, "actor", "", "only by this `USER`, by ID or e-mail address, or by the key with this ID")
	c.Flags().StringVar(&f.target, "target", "", "only done to this `KIND` of thing, such as key")
	c.Flags().StringVar(&f.targetID, "target-id", "", "only done to the thing with this `ID`")
	spanFlags(c, &f.from, &f.to)
	c.Flags().IntVar(&f.limit, "limit", 100, "a `NUMBER` of events at most; 0 for all")
	return a.onlyOrgFlag(c, &f.org)
}

// spanFlags add --from and --to to a command.
func spanFlags(c *cobra.Command, from, to *string) {
	c.Flags().StringVar(from, "from", "", "from `WHEN` on: a time such as 2027-01-31T00:00:00Z, a day such as 2027-01-31 (UTC), or how long ago, such as 24h")
	c.Flags().StringVar(to, "to", "", "before `WHEN`")
}

// span reads them.
func span(from, to string) (begin, end *time.Time, err error) {
	now := time.Now()
	if begin, err = moment("from", from, now); err == nil {
		end, err = moment("to", to, now)
	}
	return begin, end, err
}

// pages returns what asks for the events, page by page.
func (f *auditFlags) pages(ctx context.Context, c *client) (func(cursor *string) (respgate.Answer, error), error) {
	from, to, err := span(f.from, f.to)
	switch {
	case err != nil:
		return nil, err
	case f.limit < 0:
		return nil, fmt.Errorf("--limit: want a whole number, 0 for all, got %d", f.limit)
	case f.org != "" && f.orgID != "":
		return nil, errors.New("--org-id: want it or --org, not both")
	}
	actor, err := userID(ctx, c, f.actor)
	if err != nil {
		return nil, fmt.Errorf("--actor: %w", err)
	}
	size := pageSize()
	if f.limit > 0 && int64(f.limit) < *size {
		size = new(int64(f.limit))
	}
	if f.org != "" {
		p := respgate.ListEventsParams{Limit: size, From: from, To: to, Action: some(f.action), ActorID: some(actor), Target: some(f.target), TargetID: some(f.targetID)}
		return func(cursor *string) (respgate.Answer, error) {
			p.Cursor = cursor
			return c.ListEventsWithResponse(ctx, f.org, &p)
		}, nil
	}
	p := respgate.ListAllEventsParams{Limit: size, From: from, To: to, Action: some(f.action), ActorID: some(actor), Target: some(f.target), TargetID: some(f.targetID), OrgID: some(f.orgID)}
	return func(cursor *string) (respgate.Answer, error) {
		p.Cursor = cursor
		return c.ListAllEventsWithResponse(ctx, &p)
	}, nil
}

// some is a pointer to what was given; nil for "".
func some(value string) *string {
	if value == "" {
		return nil
	}
	return &value
}
