package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/oapi-codegen/nullable"
	"github.com/spf13/cobra"

	respgate "github.com/respgate/respgate/clients/go"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/tenant"
)

type instanceView struct{ respgate.Instance }

func (instanceView) columns() []string {
	return []string{"org", "name", "url", "slow log", "cache", "id", "created"}
}
func (v instanceView) cells() []string {
	return []string{v.Org, v.Name, v.URL, shownThreshold(given(v.SlowlogThresholdUs)), shownCache(v.CacheBytes), v.ID, shownTime(&v.CreatedAt)}
}

func (a *app) instanceCommand() *cobra.Command {
	return group("instance", "Manage instances: the Redis servers that an organization's clients reach",
		a.instanceCreate(), a.instanceList(), a.instanceShow(), a.instanceSet(), a.instanceDelete(), a.instanceRestore(), a.instanceTest(), a.instanceMove())
}

const urlHelp = "`URL` of the Redis: redis://[user][:password]@host[:port][/db], unix://…, redis-sentinel://[user][:password]@host[:port],…/primary[/db] or redis-cluster://[user][:password]@host[:port],…; rediss instead of redis is over TLS (with ?ca_file=…&cert_file=…&key_file=…&server_name=… where needed), ?read_from=prefer_replica or nearest reads from replicas; '-' reads it from standard input and env:NAME from the environment, so that no password stands in the process list"

func (a *app) instanceCreate() *cobra.Command {
	var org, name, given, slowlog, cache string
	c := a.nameFlag(a.orgFlag(a.onAPI("create --org ORGANIZATION --name NAME --url URL", "Create an instance", func(ctx context.Context, c *client) error {
		u, err := a.readURL(given)
		if err != nil {
			return err
		}
		threshold, err := thresholdFlag(slowlog)
		if err != nil {
			return err
		}
		size, err := sizeFlag("cache", cache)
		if err != nil {
			return err
		}
		return show[instanceView](a)(c.CreateInstanceWithResponse(ctx, org, nil, respgate.InstanceCreate{Name: name, URL: u.Reveal(), SlowlogThresholdUs: threshold, CacheBytes: &size}))
	}), &org), &name, "instance")
	c.Flags().StringVar(&given, "url", "", urlHelp)
	c.Flags().StringVar(&slowlog, "slowlog-threshold", followsDefault, thresholdHelp)
	c.Flags().StringVar(&cache, "cache", "0", cacheHelp)
	required(c, "url")
	return c
}

const thresholdHelp = "the slow log keeps commands that take so long, or longer: a `DURATION` such as 10ms, 0 for every command, 'off' for none, or 'default' for the proxy's own (slowlog.threshold)"

// thresholdFlag reads --slowlog-threshold; null is the default.
func thresholdFlag(value string) (nullable.Nullable[int64], error) {
	d, err := tenant.ParseSlowlogThreshold(value)
	switch us := tenant.SlowlogMicroseconds(d); {
	case err != nil:
		return nil, fmt.Errorf("--slowlog-threshold: %w, got %s", err, shown(value))
	case us == nil:
		return nullable.NewNullNullable[int64](), nil
	default:
		return nullable.NewNullableWithValue(*us), nil
	}
}

func shownThreshold(us *int64) string {
	return tenant.FormatSlowlogThreshold(tenant.SlowlogThreshold(us))
}

// readURL follows "-" and "env:NAME", and checks the form of what it finds.
func (a *app) readURL(given string) (tenant.Secret, error) {
	u, _, err := a.referred("url", given)
	if err != nil {
		return "", err
	}
	u = tenant.Secret(strings.TrimSpace(u.Reveal()))
	if _, err := pool.ParseURL(u); err != nil {
		return "", fmt.Errorf("--url: %w", err)
	}
	return u, nil
}

func (a *app) instanceList() *cobra.Command {
	var org string
	var deleted bool
	c := a.onAPI("list [--org ORGANIZATION]", "List instances", func(ctx context.Context, c *client) error {
		page := func(cursor *string) (respgate.Answer, error) {
			return c.ListInstancesWithResponse(ctx, org, &respgate.ListInstancesParams{Limit: pageSize(), Cursor: cursor, Deleted: &deleted})
		}
		switch {
		case deleted && org == "":
			return errors.New("--deleted: want --org too")
		case deleted:
			return showAll[deletedRow](a, 0, page)
		case org == "":
			page = func(cursor *string) (respgate.Answer, error) {
				return c.ListAllInstancesWithResponse(ctx, &respgate.ListAllInstancesParams{Limit: pageSize(), Cursor: cursor})
			}
		}
		return showAll[instanceView](a, 0, page)
	})
	c.Flags().BoolVar(&deleted, "deleted", false, "those that are deleted and can still be restored")
	return a.onlyOrgFlag(c, &org)
}

func (a *app) instanceShow() *cobra.Command {
	var org, name string
	return a.nameFlag(a.orgFlag(a.onAPI("show --org ORGANIZATION --name NAME", "Show an instance, without its password", func(ctx context.Context, c *client) error {
		return show[instanceView](a)(c.GetInstanceWithResponse(ctx, org, name, nil))
	}), &org), &name, "instance")
}

func (a *app) instanceSet() *cobra.Command {
	var org, name, given, rename, slowlog, cache string
	c := a.nameFlag(a.orgFlag(&cobra.Command{Use: "set --org ORGANIZATION --name NAME", Short: "Change an instance: its clients follow at once", Args: cobra.NoArgs}, &org), &name, "instance")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		var p respgate.InstancePatch
		if cmd.Flags().Changed("rename") {
			p.Name = &rename
		}
		if cmd.Flags().Changed("url") {
			u, err := a.readURL(given)
			if err != nil {
				return err
			}
			p.URL = new(u.Reveal())
		}
		if cmd.Flags().Changed("slowlog-threshold") {
			threshold, err := thresholdFlag(slowlog)
			if err != nil {
				return err
			}
			p.SlowlogThresholdUs = threshold
		}
		if cmd.Flags().Changed("cache") {
			size, err := sizeFlag("cache", cache)
			if err != nil {
				return err
			}
			p.CacheBytes = &size
		}
		if p.Name == nil && p.URL == nil && p.SlowlogThresholdUs == nil && p.CacheBytes == nil {
			return errors.New("nothing to change: see respgate instance set --help")
		}
		return a.withAPI(cmd.Context(), func(c *client) error {
			return show[instanceView](a)(c.UpdateInstanceWithResponse(cmd.Context(), org, name, nil, p))
		})
	}
	c.Flags().StringVar(&given, "url", "", urlHelp)
	c.Flags().StringVar(&rename, "rename", "", "its `NEW` name, which is also AUTH's user name and in metrics")
	c.Flags().StringVar(&slowlog, "slowlog-threshold", "", thresholdHelp)
	c.Flags().StringVar(&cache, "cache", "", cacheHelp)
	return c
}

func (a *app) instanceDelete() *cobra.Command {
	var org, name string
	var force bool
	c := a.nameFlag(a.orgFlag(a.onAPI("delete --org ORGANIZATION --name NAME", "Delete an instance; the Redis itself is not touched", func(ctx context.Context, c *client) error {
		if err := respgate.Check(c.DeleteInstanceWithResponse(ctx, org, name, &respgate.DeleteInstanceParams{Force: &force})); err != nil {
			return forceHint(err)
		}
		return a.done("deleted", org+"/"+name)
	}), &org), &name, "instance")
	c.Flags().BoolVar(&force, "force", false, "with the keys whose own instance it is: their clients are disconnected")
	return c
}

func (a *app) instanceRestore() *cobra.Command {
	var org string
	deleted := thing{want: "ID of a deleted instance (respgate instance list --deleted shows them)", offer: a.deletedInstances}
	return a.orgFlag(a.onOne("restore --org ORGANIZATION ID", "Have a deleted instance back, with its keys", deleted, func(ctx context.Context, c *client, id string) error {
		return show[instanceView](a)(c.RestoreInstanceWithResponse(ctx, org, id, nil))
	}), &org)
}
