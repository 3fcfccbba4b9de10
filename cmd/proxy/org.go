package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

type orgView struct{ control.OrganizationView }

func viewOrg(o tenant.Organization) orgView { return orgView{control.ViewOrganization(o)} }

func (orgView) columns() []string { return []string{"name", "id", "connections", "created"} }
func (v orgView) cells() []string {
	return []string{v.Name, v.ID, shownConnections(v.MaxConnections), shownTime(v.CreatedAt)}
}

func (a *app) orgCommand() *cobra.Command {
	return group("org", "Manage organizations: the customers, who own instances and keys",
		a.orgCreate(), a.orgList(), a.orgShow(), a.orgSet(), a.orgDelete())
}

// onControl is a command that works on the control plane and takes flags only.
func (a *app) onControl(use, short string, run func(ctx context.Context, c *control.Service, who control.Actor) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return a.withControl(cmd.Context(), func(c *control.Service, who control.Actor) error { return run(cmd.Context(), c, who) })
	}}
}

// change changes whatever version there is.
func change[T any](apply func(*T) error) control.Change[T] { return control.Change[T]{Apply: apply} }

// nameFlag adds --name to a command, which needs it.
func nameFlag(c *cobra.Command, to *string, what string) *cobra.Command {
	c.Flags().StringVar(to, "name", "", "the "+what+"'s `NAME`")
	required(c, "name")
	return c
}

func (a *app) orgCreate() *cobra.Command {
	var name, allowed string
	c := nameFlag(a.onControl("create --name NAME", "Create an organization", func(ctx context.Context, c *control.Service, who control.Actor) error {
		most, err := connections(allowed)
		if err != nil {
			return err
		}
		return show(a, viewOrg)(c.CreateOrganization(ctx, who, tenant.Organization{Name: name, Quota: tenant.Quota{MaxConnections: most}}))
	}), &name, "organization")
	connectionsFlag(c, &allowed, "with any of its keys")
	return c
}

func (a *app) orgList() *cobra.Command {
	return a.onControl("list", "List organizations", func(ctx context.Context, c *control.Service, who control.Actor) error {
		return showAll(a, viewOrg)(c.Organizations(ctx, who, store.Page{}))
	})
}

func (a *app) orgShow() *cobra.Command {
	var name string
	return nameFlag(a.onControl("show --name NAME", "Show an organization", func(ctx context.Context, c *control.Service, who control.Actor) error {
		return show(a, viewOrg)(c.Organization(ctx, who, name))
	}), &name, "organization")
}

func (a *app) orgSet() *cobra.Command {
	var name, rename, allowed string
	c := &cobra.Command{Use: "set --name NAME", Short: "Change an organization: running proxies follow within two seconds", Args: cobra.NoArgs}
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if setFlags(cmd, "rename", "max-connections") == 0 {
			return errors.New("nothing to change: see respgate org set --help")
		}
		most, err := connections(allowed)
		if err != nil {
			return err
		}
		return a.withControl(cmd.Context(), func(c *control.Service, who control.Actor) error {
			return show(a, viewOrg)(c.UpdateOrganization(cmd.Context(), who, name, change(func(o *tenant.Organization) error {
				if cmd.Flags().Changed("rename") {
					o.Name = rename
				}
				if cmd.Flags().Changed("max-connections") {
					o.MaxConnections = most
				}
				return nil
			})))
		})
	}
	c.Flags().StringVar(&rename, "rename", "", "its `NEW` name, which its instances' metrics get too")
	connectionsFlag(c, &allowed, "with any of its keys")
	return nameFlag(c, &name, "organization")
}

func (a *app) orgDelete() *cobra.Command {
	var name string
	var force bool
	c := nameFlag(a.onControl("delete --name NAME", "Delete an organization", func(ctx context.Context, c *control.Service, who control.Actor) error {
		if err := c.DeleteOrganization(ctx, who, name, store.Deletion{Force: force}); err != nil {
			return forceHint(err)
		}
		return a.done("deleted", name)
	}), &name, "organization")
	c.Flags().BoolVar(&force, "force", false, "with its instances and keys: their clients are disconnected")
	return c
}
