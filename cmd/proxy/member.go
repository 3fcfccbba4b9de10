package main

import (
	"context"

	"github.com/spf13/cobra"

	respgate "github.com/respgate/respgate/clients/go"
)

type memberView struct{ respgate.Member }

func (memberView) columns() []string { return []string{"org", "email", "user", "role", "since"} }
func (v memberView) cells() []string {
	return []string{v.Org, v.Email, v.UserID, string(v.Role), shownTime(&v.CreatedAt)}
}

func (a *app) memberCommand() *cobra.Command {
	return group("member", "Manage members: what users may do in an organization",
		a.memberList(), a.memberSet(), a.memberRemove())
}

// userFlag adds --user to a command, which needs it.
func (a *app) userFlag(c *cobra.Command, to *string) *cobra.Command {
	c.Flags().Var((*pathWord)(to), "user", "the `USER`, by ID or e-mail address")
	required(c, "user")
	a.completes(c, "user", a.emails)
	return c
}

func (a *app) memberList() *cobra.Command {
	var org string
	return a.orgFlag(a.onAPI("list --org ORGANIZATION", "List an organization's members", func(ctx context.Context, c *client) error {
		return showAll[memberView](a, 0, func(cursor *string) (respgate.Answer, error) {
			return c.ListMembersWithResponse(ctx, org, &respgate.ListMembersParams{Limit: pageSize(), Cursor: cursor})
		})
	}), &org)
}

func (a *app) memberSet() *cobra.Command {
	var org, user, role string
	c := a.userFlag(a.orgFlag(a.onAPI("set --org ORGANIZATION --user USER --role ROLE", "Make a user a member, or change a member's role", func(ctx context.Context, c *client) error {
		return show[memberView](a)(c.SetMemberWithResponse(ctx, org, user, respgate.MemberSet{Role: respgate.MemberSetRole(role)}))
	}), &org), &user)
	c.Flags().StringVar(&role, "role", "", "`ROLE`: viewer sees the organization, admin changes its instances and keys too, owner also its members and itself")
	required(c, "role")
	if err := c.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]string{"viewer", "admin", "owner"}, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // as in completes
	}
	return c
}

func (a *app) memberRemove() *cobra.Command {
	var org, user string
	return a.userFlag(a.orgFlag(a.onAPI("remove --org ORGANIZATION --user USER", "Take a user's role in an organization", func(ctx context.Context, c *client) error {
		if err := respgate.Check(c.RemoveMemberWithResponse(ctx, org, user)); err != nil {
			return err
		}
		return a.done("removed", user)
	}), &org), &user)
}
