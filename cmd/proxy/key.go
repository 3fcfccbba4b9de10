package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/auth"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// keyView is a key without its secret.
type keyView struct{ control.KeyView }

func viewKey(k tenant.Key) keyView { return keyView{control.ViewKey(k)} }

func (keyView) columns() []string {
	return []string{"id", "org", "instances", "name", "rate", "burst", "commands", "from", "connections", "certificate", "created", "state"}
}

func (v keyView) cells() []string {
	return []string{v.ID, v.Org, strings.Join(v.Instances, ","), v.Name, shownRate(v.Rate), shownBurst(v.Burst), v.Commands,
		shownNetworks(v.AllowFrom), shownConnections(v.MaxConnections), cmp.Or(v.CertificateName, "none"), shownTime(v.CreatedAt), v.state()}
}

func (v keyView) state() string {
	switch {
	case v.RevokedAt != nil:
		return "revoked " + shownTime(*v.RevokedAt)
	case v.ExpiresAt != nil && v.ExpiresAt.Before(time.Now()):
		return "expired " + shownTime(*v.ExpiresAt)
	case v.ExpiresAt != nil:
		return "until " + shownTime(*v.ExpiresAt)
	}
	return "live"
}

func shownRate(n *int) string {
	switch {
	case n == nil:
		return "default"
	case *n == 0:
		return "unlimited"
	}
	return strconv.Itoa(*n) + "/s"
}

func shownBurst(n *int) string {
	if n == nil || *n == 0 {
		return "as rate"
	}
	return strconv.Itoa(*n)
}

// newKeyView is a key at the one time when its secret is shown.
type newKeyView struct {
	ID        string    `json:"id"`
	Org       string    `json:"org"`
	Instance  string    `json:"instance"`
	Name      string    `json:"name"`
	Key       string    `json:"key"`
	Rate      *int      `json:"rate"`
	Burst     *int      `json:"burst"`
	Commands  string    `json:"commands"`
	CreatedAt time.Time `json:"created_at"`
	Try       string    `json:"-"`
}

// viewNewKey shows k with its secret, and a line to try it at the proxy.
func viewNewKey(k control.NewKey, cfg Config) newKeyView {
	host, port := clientHost(cfg.Listen)
	text := k.Text.Reveal()
	return newKeyView{k.ID, k.Org, k.Instances[0], k.Name, text, k.Limits.Rate, k.Limits.Burst, control.ViewKey(k.Key).Commands, k.CreatedAt.UTC(),
		fmt.Sprintf("redis-cli -u redis://%s:%s@%s:%s/0", k.Instances[0], text, host, port)}
}

func (newKeyView) columns() []string {
	return []string{"key", "id", "instance", "name", "rate", "burst", "commands", "try"}
}

func (v newKeyView) cells() []string {
	return []string{v.Key + "   (shown this once)", v.ID, v.Org + "/" + v.Instance, v.Name, shownRate(v.Rate), shownBurst(v.Burst), v.Commands, v.Try}
}

func (a *app) keyCommand() *cobra.Command {
	return group("key", "Manage API keys: what clients connect with",
		a.keyCreate(), a.keyList(), a.keyShow(), a.keySet(), a.keyDelete(), a.keyRevoke(), a.keyRotate())
}

// keyFlags are what `key create` and `key set` may say of a key.
type keyFlags struct {
	name, rate, burst, commands, expires string
	maxConnections, certificate          string
	instances, allowFrom                 []string
}

func (f *keyFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.name, "name", "", "the key's `NAME`")
	c.Flags().StringArrayVar(&f.instances, "instance", nil, "`NAME` of an instance that it opens; may be repeated: the first is the key's own")
	c.Flags().StringVar(&f.rate, "rate", "", "commands per second: a `NUMBER`, 0 for unlimited, or 'default'")
	c.Flags().StringVar(&f.burst, "burst", "", "commands at once: a `NUMBER`, or 'default' for as many as the rate")
	c.Flags().StringVar(&f.commands, "commands", "", "`RULES` as in Redis's ACL, such as '+@all -@dangerous'; '' for the default")
	c.Flags().StringVar(&f.expires, "expires", "", "`WHEN` it ends: a duration such as 720h, a time such as 2027-01-31T00:00:00Z, or 'never'")
	allowFromFlag(c, &f.allowFrom)
	connectionsFlag(c, &f.maxConnections, "with it")
	c.Flags().StringVar(&f.certificate, "certificate-name", "", "`NAME` of a client certificate that opens the key without AUTH: one of its URIs or DNS names, or its common name; 'none' for no such")
}

// apply changes k as the flags that were given say.
func (f *keyFlags) apply(c *cobra.Command, k *tenant.Key) (err error) {
	given := c.Flags().Changed
	if given("name") {
		k.Name = f.name
	}
	if given("instance") {
		k.Instances = f.instances
	}
	if given("rate") {
		if k.Limits.Rate, err = limitFlag("rate", f.rate); err != nil {
			return err
		}
	}
	if given("burst") {
		if k.Limits.Burst, err = limitFlag("burst", f.burst); err != nil {
			return err
		}
	}
	if given("allow-from") {
		if k.AllowFrom, err = networks(f.allowFrom); err != nil {
			return err
		}
	}
	if given("max-connections") {
		if k.MaxConnections, err = connections(f.maxConnections); err != nil {
			return err
		}
	}
	if given("expires") {
		if k.ExpiresAt, err = expiry(f.expires); err != nil {
			return err
		}
	}
	if given("certificate-name") {
		if f.certificate == "" {
			return errors.New("--certificate-name: want a name such as spiffe://corp/web, or 'none'")
		}
		k.CertificateName = f.certificate
		if f.certificate == "none" {
			k.CertificateName = ""
		}
	}
	if given("commands") {
		k.Commands = strings.TrimSpace(f.commands)
		if _, err := auth.ParseRules(k.Commands); err != nil {
			return fmt.Errorf("--commands: %w", err)
		}
	}
	return nil
}

func limitFlag(name, value string) (*int, error) {
	if value == "default" {
		return nil, nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 || n > maxRate {
		return nil, fmt.Errorf("--%s: want a whole number from 0 to %d or 'default', got %s", name, maxRate, shown(value))
	}
	return &n, nil
}

func expiry(value string) (time.Time, error) {
	if value == "never" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(value); err == nil && d > 0 {
		return time.Now().Add(d), nil
	}
	t, err := time.Parse(time.RFC3339, value)
	if err != nil || t.Before(time.Now()) {
		return t, fmt.Errorf("--expires: want a duration such as 720h, a time to come such as 2027-01-31T00:00:00Z, or 'never', got %s", shown(value))
	}
	return t, nil
}

func (a *app) keyCreate() *cobra.Command {
	var org string
	var flags keyFlags
	c := &cobra.Command{Use: "create --org ORGANIZATION --instance NAME --name NAME", Short: "Create a key and print it, this once", Args: cobra.NoArgs}
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		k := tenant.Key{Org: org}
		if err := flags.apply(cmd, &k); err != nil {
			return err
		}
		return a.withControl(cmd.Context(), func(c *control.Service, who control.Actor) error {
			return a.showNewKey(c.CreateKey(cmd.Context(), who, k))
		})
	}
	flags.add(c)
	required(c, "instance", "name")
	return orgFlag(c, &org)
}

func (a *app) showNewKey(k control.NewKey, err error) error {
	if err != nil {
		return err
	}
	cfg, err := loadConfig(a.configFile)
	if err != nil {
		return err
	}
	return a.one(viewNewKey(k, cfg))
}

func (a *app) keyList() *cobra.Command {
	var org string
	c := a.onControl("list [--org ORGANIZATION]", "List keys", func(ctx context.Context, c *control.Service, who control.Actor) error {
		return showAll(a, viewKey)(c.Keys(ctx, who, org, store.Page{}))
	})
	c.Flags().StringVar(&org, "org", "", "only the `ORGANIZATION`'s")
	return c
}

// onKey is a command about one key.
func (a *app) onKey(use, short string, run func(ctx context.Context, c *control.Service, who control.Actor, id string) error) *cobra.Command {
	return &cobra.Command{Use: use + " ID", Short: short, Args: oneID, RunE: func(cmd *cobra.Command, args []string) error {
		return a.withControl(cmd.Context(), func(c *control.Service, who control.Actor) error {
			return run(cmd.Context(), c, who, args[0])
		})
	}}
}

func (a *app) keyShow() *cobra.Command {
	return a.onKey("show", "Show a key, without its secret", func(ctx context.Context, c *control.Service, who control.Actor, id string) error {
		return show(a, viewKey)(c.Key(ctx, who, id))
	})
}

func (a *app) keyDelete() *cobra.Command {
	return a.onKey("delete", "Delete a key: its clients are disconnected, and nothing of it is kept", func(ctx context.Context, c *control.Service, who control.Actor, id string) error {
		if err := c.DeleteKey(ctx, who, id, 0); err != nil {
			return err
		}
		return a.done("deleted", id)
	})
}

func (a *app) keyRevoke() *cobra.Command {
	return a.onKey("revoke", "Revoke a key for good: its clients are disconnected", func(ctx context.Context, c *control.Service, who control.Actor, id string) error {
		return show(a, viewKey)(c.RevokeKey(ctx, who, id, 0))
	})
}

func (a *app) keyRotate() *cobra.Command {
	return a.onKey("rotate", "Give a key a new secret and print it, this once: the old one ends at once", func(ctx context.Context, c *control.Service, who control.Actor, id string) error {
		k, err := c.RotateKey(ctx, who, id, 0, 0)
		if err == nil && !k.ExpiresAt.IsZero() && k.ExpiresAt.Before(time.Now()) {
			_, _ = fmt.Fprintln(a.stderr, "warning: this key expired at", k.ExpiresAt.Format(time.RFC3339)+": nobody can use it")
		}
		return a.showNewKey(k, err)
	})
}

func (a *app) keySet() *cobra.Command {
	var flags keyFlags
	var reset, all bool
	c := &cobra.Command{Use: "set ID", Short: "Change a key, or refill its limit: running proxies follow within two seconds", Args: func(_ *cobra.Command, args []string) error {
		if all && len(args) == 0 {
			return nil
		}
		return oneID(nil, args)
	}}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if all && (!reset || cmd.Flags().NFlag() > setFlags(cmd, "all", "reset-limit", "config", "json")) {
			return errors.New("--all goes with --reset-limit only")
		}
		if all && len(args) > 0 {
			return errors.New("want a key ID or --all, not both")
		}
		return a.withControl(cmd.Context(), func(c *control.Service, who control.Actor) error {
			if all {
				n, err := c.ResetLimits(cmd.Context(), who, "")
				if err != nil {
					return err
				}
				return a.done("reset", n)
			}
			return a.setKey(cmd, c, who, args[0], &flags, reset)
		})
	}
	flags.add(c)
	c.Flags().BoolVar(&reset, "reset-limit", false, "refill the key's limit")
	c.Flags().BoolVar(&all, "all", false, "with --reset-limit: every key's")
	return c
}

// setFlags counts which of the flags were given.
func setFlags(cmd *cobra.Command, names ...string) (n int) {
	for _, name := range names {
		if cmd.Flags().Changed(name) {
			n++
		}
	}
	return n
}

func (a *app) setKey(cmd *cobra.Command, c *control.Service, who control.Actor, id string, flags *keyFlags, reset bool) error {
	if cmd.Flags().NFlag() == setFlags(cmd, "config", "json") {
		return errors.New("nothing to change: see respgate key set --help")
	}
	return show(a, viewKey)(c.UpdateKey(cmd.Context(), who, id, change(func(k *tenant.Key) error {
		if reset {
			k.Limits.Reset++
		}
		return flags.apply(cmd, k)
	})))
}
