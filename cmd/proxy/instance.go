package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

type instanceView struct{ control.InstanceView }

func viewInstance(in tenant.Instance) instanceView { return instanceView{control.ViewInstance(in)} }

func (instanceView) columns() []string { return []string{"org", "name", "url", "id", "created"} }
func (v instanceView) cells() []string {
	return []string{v.Org, v.Name, v.URL, v.ID, shownTime(v.CreatedAt)}
}

func (a *app) instanceCommand() *cobra.Command {
	return group("instance", "Manage instances: the Redis servers that an organization's clients reach",
		a.instanceCreate(), a.instanceList(), a.instanceShow(), a.instanceSet(), a.instanceDelete(), a.instanceTest())
}

// orgFlag adds --org to a command, which needs it.
func orgFlag(c *cobra.Command, to *string) *cobra.Command {
	c.Flags().StringVar(to, "org", "", "the `ORGANIZATION`'s name")
	required(c, "org")
	return c
}

const urlHelp = "`URL` of the Redis: redis://[user][:password]@host[:port][/db], unix://…, redis-sentinel://[user][:password]@host[:port],…/primary[/db] or redis-cluster://[user][:password]@host[:port],…; rediss instead of redis is over TLS (with ?ca_file=…&cert_file=…&key_file=…&server_name=… where needed), ?read_from=prefer_replica or nearest reads from replicas; '-' reads it from standard input and env:NAME from the environment, so that no password stands in the process list"

func (a *app) instanceCreate() *cobra.Command {
	var org, name, given string
	c := nameFlag(orgFlag(a.onControl("create --org ORGANIZATION --name NAME --url URL", "Create an instance", func(ctx context.Context, c *control.Service, who control.Actor) error {
		u, err := a.readURL(given)
		if err != nil {
			return err
		}
		return show(a, viewInstance)(c.CreateInstance(ctx, who, tenant.Instance{Org: org, Name: name, URL: u}))
	}), &org), &name, "instance")
	c.Flags().StringVar(&given, "url", "", urlHelp)
	required(c, "url")
	return c
}

// maxURLInput bounds what is read from standard input.
const maxURLInput = 64 << 10

// readURL follows "-" and "env:NAME", and checks the form of what it finds.
func (a *app) readURL(given string) (tenant.Secret, error) {
	text := given
	if name, ok := strings.CutPrefix(given, "env:"); ok {
		if text = os.Getenv(name); text == "" {
			return "", fmt.Errorf("--url: the environment variable %s is not set", name)
		}
	}
	if given == "-" {
		line, err := bufio.NewReader(io.LimitReader(a.stdin, maxURLInput)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("--url: standard input: %w", err)
		}
		text = line
	}
	u := tenant.Secret(strings.TrimSpace(text))
	if _, err := pool.ParseURL(u); err != nil {
		return "", fmt.Errorf("--url: %w", err)
	}
	return u, nil
}

func (a *app) instanceList() *cobra.Command {
	var org string
	c := a.onControl("list [--org ORGANIZATION]", "List instances", func(ctx context.Context, c *control.Service, who control.Actor) error {
		return showAll(a, viewInstance)(c.Instances(ctx, who, org, store.Page{}))
	})
	c.Flags().StringVar(&org, "org", "", "only the `ORGANIZATION`'s")
	return c
}

func (a *app) instanceShow() *cobra.Command {
	var org, name string
	return nameFlag(orgFlag(a.onControl("show --org ORGANIZATION --name NAME", "Show an instance, without its password", func(ctx context.Context, c *control.Service, who control.Actor) error {
		return show(a, viewInstance)(c.Instance(ctx, who, org, name))
	}), &org), &name, "instance")
}

func (a *app) instanceSet() *cobra.Command {
	var org, name, given string
	c := nameFlag(orgFlag(a.onControl("set --org ORGANIZATION --name NAME --url URL", "Change where an instance is: its clients follow at once", func(ctx context.Context, c *control.Service, who control.Actor) error {
		u, err := a.readURL(given)
		if err != nil {
			return err
		}
		return show(a, viewInstance)(c.UpdateInstance(ctx, who, org, name, change(func(in *tenant.Instance) error { in.URL = u; return nil })))
	}), &org), &name, "instance")
	c.Flags().StringVar(&given, "url", "", urlHelp)
	required(c, "url")
	return c
}

func (a *app) instanceDelete() *cobra.Command {
	var org, name string
	var force bool
	c := nameFlag(orgFlag(a.onControl("delete --org ORGANIZATION --name NAME", "Delete an instance; the Redis itself is not touched", func(ctx context.Context, c *control.Service, who control.Actor) error {
		if err := c.DeleteInstance(ctx, who, org, name, store.Deletion{Force: force}); err != nil {
			return forceHint(err)
		}
		return a.done("deleted", org+"/"+name)
	}), &org), &name, "instance")
	c.Flags().BoolVar(&force, "force", false, "with the keys whose own instance it is: their clients are disconnected")
	return c
}

// forceHint says how a refused deletion is meant.
func forceHint(err error) error {
	if errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("%w (--force)", err)
	}
	return err
}
