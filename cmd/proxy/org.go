package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	respgate "github.com/respgate/respgate/clients/go"
	"github.com/respgate/respgate/store"
)

// orgRow is an organization in a list.
type orgRow struct{ respgate.Organization }

func (orgRow) columns() []string { return []string{"name", "id", "connections", "created"} }
func (v orgRow) cells() []string {
	return []string{v.Name, v.ID, shownAmount(v.MaxConnections), shownTime(&v.CreatedAt)}
}

// orgView is an organization with its quota.
type orgView struct{ respgate.Organization }

func (orgView) columns() []string {
	return []string{"name", "id", "instances", "keys", "members", "connections", "rate", "burst", "byte rate", "limit mode", "created"}
}

func (v orgView) cells() []string {
	return []string{v.Name, v.ID, shownAmount(v.MaxInstances), shownAmount(v.MaxKeys), shownAmount(v.MaxMembers), shownAmount(v.MaxConnections),
		shownRate(&v.Rate), shownBurst(&v.Burst), shownByteRate(&v.ByteRate), cmp.Or(string(v.LimitMode), followsDefault), shownTime(&v.CreatedAt)}
}

// quota is one of the bounds that an organization has.
type quota struct {
	flag, help string
	most       int
	field      func(*respgate.OrganizationPatch) **int64
}

func quotas() []quota {
	return []quota{
		{"max-instances", "the `NUMBER` of instances that it may have; 0 for unlimited", store.MaxQuota, func(p *respgate.OrganizationPatch) **int64 { return &p.MaxInstances }},
		{"max-keys", "the `NUMBER` of keys that it may have; 0 for unlimited", store.MaxQuota, func(p *respgate.OrganizationPatch) **int64 { return &p.MaxKeys }},
		{"max-members", "the `NUMBER` of members that it may have; 0 for unlimited", store.MaxQuota, func(p *respgate.OrganizationPatch) **int64 { return &p.MaxMembers }},
		{"max-connections", connectionsHelp("with any of its keys"), store.MaxConnections, func(p *respgate.OrganizationPatch) **int64 { return &p.MaxConnections }},
		{"rate", "commands per second with all of its keys, to each proxy or to all that share limits: a `NUMBER`, 0 for unlimited", maxRate, func(p *respgate.OrganizationPatch) **int64 { return &p.Rate }},
		{"burst", "commands at once, with all of its keys: a `NUMBER`, 0 for as many as the rate", maxRate, func(p *respgate.OrganizationPatch) **int64 { return &p.Burst }},
	}
}

// quotaFlags adds the flags of quotas to a command, and returns what reads those that were
// given.
func quotaFlags(c *cobra.Command) func(*respgate.OrganizationPatch) error {
	for _, q := range quotas() {
		c.Flags().String(q.flag, "0", q.help)
	}
	byteRate := c.Flags().String("byte-rate", "0", byteRateHelp("with all of its keys, through each proxy or all that share limits"))
	mode := c.Flags().String("limit-mode", followsDefault, limitModeHelp)
	return func(p *respgate.OrganizationPatch) error {
		for _, q := range quotas() {
			if flag := c.Flags().Lookup(q.flag); flag.Changed {
				n, err := amount(q.flag, flag.Value.String(), q.most)
				if err != nil {
					return err
				}
				*q.field(p) = &n
			}
		}
		if c.Flags().Changed("byte-rate") {
			n, err := sizeFlag("byte-rate", *byteRate)
			if err != nil {
				return err
			}
			p.ByteRate = &n
		}
		if c.Flags().Changed("limit-mode") {
			m, err := limitModeFlag(*mode)
			if err != nil {
				return err
			}
			p.LimitMode = new(respgate.OrganizationPatchLimitMode(m.String()))
		}
		return nil
	}
}

func (a *app) orgCommand() *cobra.Command {
	return group("org", "Manage organizations: the customers, who own instances and keys",
		a.orgCreate(), a.orgList(), a.orgShow(), a.orgSet(), a.orgDelete(), a.orgRestore())
}

func (a *app) orgCreate() *cobra.Command {
	var name string
	var read func(*respgate.OrganizationPatch) error
	c := a.nameFlag(a.onAPI("create --name NAME", "Create an organization", func(ctx context.Context, c *client) error {
		p := respgate.OrganizationPatch{Name: &name}
		if err := read(&p); err != nil {
			return err
		}
		body, err := remade[respgate.OrganizationCreate](p)
		if err != nil {
			return err
		}
		return show[orgView](a)(c.CreateOrganizationWithResponse(ctx, nil, body))
	}), &name, "organization")
	read = quotaFlags(c)
	return c
}

func (a *app) orgList() *cobra.Command {
	var deleted bool
	c := a.onAPI("list", "List organizations", func(ctx context.Context, c *client) error {
		page := func(cursor *string) (respgate.Answer, error) {
			return c.ListOrganizationsWithResponse(ctx, &respgate.ListOrganizationsParams{Limit: pageSize(), Cursor: cursor, Deleted: &deleted})
		}
		if deleted {
			return showAll[deletedRow](a, 0, page)
		}
		return showAll[orgRow](a, 0, page)
	})
	c.Flags().BoolVar(&deleted, "deleted", false, "those that are deleted and can still be restored")
	return c
}

func (a *app) orgShow() *cobra.Command {
	var name string
	return a.nameFlag(a.onAPI("show --name NAME", "Show an organization", func(ctx context.Context, c *client) error {
		return show[orgView](a)(c.GetOrganizationWithResponse(ctx, name, nil))
	}), &name, "organization")
}

func (a *app) orgSet() *cobra.Command {
	var name, rename string
	var read func(*respgate.OrganizationPatch) error
	c := &cobra.Command{Use: "set --name NAME", Short: "Change an organization: running proxies follow within two seconds", Args: cobra.NoArgs}
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		var p respgate.OrganizationPatch
		if err := read(&p); err != nil {
			return err
		}
		if cmd.Flags().Changed("rename") {
			p.Name = &rename
		}
		if p == (respgate.OrganizationPatch{}) {
			return errors.New("nothing to change: see respgate org set --help")
		}
		return a.withAPI(cmd.Context(), func(c *client) error {
			return show[orgView](a)(c.UpdateOrganizationWithResponse(cmd.Context(), name, nil, p))
		})
	}
	c.Flags().StringVar(&rename, "rename", "", "its `NEW` name, which its instances' metrics get too")
	read = quotaFlags(c)
	return a.nameFlag(c, &name, "organization")
}

func (a *app) orgDelete() *cobra.Command {
	var name string
	var force bool
	c := a.nameFlag(a.onAPI("delete --name NAME", "Delete an organization", func(ctx context.Context, c *client) error {
		if err := respgate.Check(c.DeleteOrganizationWithResponse(ctx, name, &respgate.DeleteOrganizationParams{Force: &force})); err != nil {
			return forceHint(err)
		}
		return a.done("deleted", name)
	}), &name, "organization")
	c.Flags().BoolVar(&force, "force", false, "with its instances and keys: their clients are disconnected")
	return c
}

func (a *app) orgRestore() *cobra.Command {
	deleted := thing{want: "ID of a deleted organization (respgate org list --deleted shows them)", offer: a.deletedOrgs}
	return a.onOne("restore ID", "Have a deleted organization back, with its instances and keys", deleted, func(ctx context.Context, c *client, id string) error {
		return show[orgView](a)(c.RestoreOrganizationWithResponse(ctx, id, nil))
	})
}

// forceHint says how a refused deletion is meant.
func forceHint(err error) error {
	if refusedWith(err, http.StatusConflict) {
		return fmt.Errorf("%w (--force)", err)
	}
	return err
}
