package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/spf13/cobra"

	respgate "github.com/respgate/respgate/clients/go"
)

func (a *app) keyCommand() *cobra.Command {
	return group("key", "Manage API keys: what clients connect with",
		a.keyCreate(), a.keyList(), a.keyShow(), a.keySet(), a.keyDelete(), a.keyRevoke(), a.keyRotate())
}

// aKey is the argument of the commands that take a key's id.
func (a *app) aKey() thing {
	return thing{want: "key ID, the 12 characters after rg_ (respgate key list shows them)", offer: a.keyIDs}
}

func (a *app) keyCreate() *cobra.Command {
	var org string
	var flags keyFlags
	c := &cobra.Command{Use: "create --org ORGANIZATION --instance NAME --name NAME", Short: "Create a key and print it, this once", Args: cobra.NoArgs}
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		p, err := flags.read(cmd)
		if err != nil {
			return err
		}
		body, err := remade[respgate.KeyCreate](p)
		if err != nil {
			return err
		}
		view, err := a.newKeys()
		if err != nil {
			return err
		}
		return a.withAPI(cmd.Context(), func(c *client) error {
			return a.showNewKey(view(answered[respgate.NewKey](c.CreateKeyWithResponse(cmd.Context(), org, nil, body))))
		})
	}
	flags.add(a, c)
	required(c, "instance", "name")
	return a.orgFlag(c, &org)
}

// newKeys returns what views a new key with its secret, and a line to try it at the proxy. It
// is asked for before there is one: a key that could not be shown must not be made.
func (a *app) newKeys() (view func(respgate.NewKey, error) (*newKeyView, error), err error) {
	cfg, err := loadConfig(a.configFile)
	if err != nil {
		return nil, err
	}
	host, port := clientHost(cfg.Listen)
	if server, from := a.serverURL(); server != "" {
		u, err := parseServer(server)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", from, err)
		}
		host = u.Hostname()
	}
	return func(k respgate.NewKey, err error) (*newKeyView, error) {
		if err == nil && len(k.Instances) == 0 {
			err = errors.New("the answer has no key")
		}
		if err != nil {
			return nil, err
		}
		instance := k.Instances[0]
		try := fmt.Sprintf("redis-cli -u redis://%s:%s@%s/0", instance, k.Key, net.JoinHostPort(host, port))
		return &newKeyView{k.ID, k.Org, instance, k.Name, k.Key, given(k.Rate), given(k.Burst), k.Commands, k.CreatedAt, try}, nil
	}, nil
}

// showNewKey shows a key this once.
func (a *app) showNewKey(v *newKeyView, err error) error {
	if err != nil {
		return err
	}
	return a.one(*v)
}

func (a *app) keyList() *cobra.Command {
	var org string
	return a.onlyOrgFlag(a.onAPI("list [--org ORGANIZATION]", "List keys", func(ctx context.Context, c *client) error {
		return showAll[keyRow](a, 0, func(cursor *string) (respgate.Answer, error) {
			if org == "" {
				return c.ListAllKeysWithResponse(ctx, &respgate.ListAllKeysParams{Limit: pageSize(), Cursor: cursor})
			}
			return c.ListKeysWithResponse(ctx, org, &respgate.ListKeysParams{Limit: pageSize(), Cursor: cursor})
		})
	}), &org)
}

func (a *app) keyShow() *cobra.Command {
	return a.onOne("show ID", "Show a key, without its secret", a.aKey(), func(ctx context.Context, c *client, id string) error {
		return show[keyView](a)(c.GetKeyWithResponse(ctx, id, nil))
	})
}

func (a *app) keyDelete() *cobra.Command {
	return a.onOne("delete ID", "Delete a key: its clients are disconnected, and nothing of it is kept", a.aKey(), func(ctx context.Context, c *client, id string) error {
		if err := respgate.Check(c.DeleteKeyWithResponse(ctx, id, nil)); err != nil {
			return err
		}
		return a.done("deleted", id)
	})
}

func (a *app) keyRevoke() *cobra.Command {
	return a.onOne("revoke ID", "Revoke a key for good: its clients are disconnected", a.aKey(), func(ctx context.Context, c *client, id string) error {
		return show[keyView](a)(c.RevokeKeyWithResponse(ctx, id, nil))
	})
}

// maxOverlap is the longest overlap of a rotation, as the API has it.
const maxOverlap = 30 * maxDay

func (a *app) keyRotate() *cobra.Command {
	var overlap string
	c := a.onOne("rotate ID", "Give a key a new secret and print it, this once: the old one ends at once, or after --overlap", a.aKey(), func(ctx context.Context, c *client, id string) error {
		d, err := time.ParseDuration(overlap)
		if err != nil || d < 0 || d > maxOverlap || d%time.Second != 0 {
			return fmt.Errorf("--overlap: want a duration in whole seconds such as 1h, from 0s to %v, got %s", maxOverlap, shown(overlap))
		}
		view, err := a.newKeys()
		if err != nil {
			return err
		}
		k, err := answered[respgate.NewKey](c.RotateKeyWithResponse(ctx, id, nil, respgate.KeyRotate{OverlapSeconds: int64(d / time.Second)}))
		if end := given(k.ExpiresAt); err == nil && end != nil && end.Before(time.Now()) {
			a.note("warning: this key expired at %s: nobody can use it", end.Format(time.RFC3339))
		}
		return a.showNewKey(view(k, err))
	})
	c.Flags().StringVar(&overlap, "overlap", "0s", "for how `LONG` the old secret is good too, such as 1h")
	return c
}

func (a *app) keySet() *cobra.Command {
	var flags keyFlags
	var reset, all bool
	one := a.aKey()
	c := &cobra.Command{Use: "set ID", Short: "Change a key, or refill its limit: running proxies follow within two seconds", ValidArgsFunction: a.offering(one.offer)}
	c.Args = func(cmd *cobra.Command, args []string) error {
		switch changes := flags.given(cmd); {
		case all && (!reset || len(changes) > 0):
			return errors.New("--all goes with --reset-limit only")
		case all && len(args) > 0:
			return errors.New("want a key ID or --all, not both")
		case all:
			return nil
		}
		return one.check(cmd, args)
	}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		p, err := flags.read(cmd)
		if err != nil {
			return err
		}
		changes := len(flags.given(cmd)) > 0
		if !changes && !reset {
			return errors.New("nothing to change: see respgate key set --help")
		}
		return a.withAPI(cmd.Context(), func(c *client) error {
			if all {
				return a.resetAll(cmd.Context(), c)
			}
			return a.setKey(cmd.Context(), c, args[0], p, changes, reset)
		})
	}
	flags.add(a, c)
	c.Flags().BoolVar(&reset, "reset-limit", false, "refill the key's limit")
	c.Flags().BoolVar(&all, "all", false, "with --reset-limit: every key's")
	return c
}

func (a *app) resetAll(ctx context.Context, c *client) error {
	said, err := answered[respgate.LimitReset](c.ResetAllLimitsWithResponse(ctx, nil))
	if err != nil {
		return err
	}
	return a.done("reset", said.Keys)
}

// setKey changes a key, refills its limit, or both.
func (a *app) setKey(ctx context.Context, c *client, id string, p respgate.KeyPatch, changes, reset bool) error {
	var changed respgate.Answer
	var err error
	if changes {
		changed, err = c.UpdateKeyWithResponse(ctx, id, nil, p)
		err = respgate.Check(changed, err)
	}
	if reset && err == nil {
		if err = respgate.Check(c.ResetLimitWithResponse(ctx, id, nil)); err == nil {
			changed, err = c.GetKeyWithResponse(ctx, id, nil)
		}
	}
	return show[keyView](a)(changed, err)
}
