package main

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	respgate "github.com/respgate/respgate/clients/go"
)

// completionTimeout bounds how long a shell waits for what might be meant.
const completionTimeout = 2 * time.Second

// completes has the shell offer what list returns for a flag.
func (a *app) completes(c *cobra.Command, flag string, list lister) {
	if err := c.RegisterFlagCompletionFunc(flag, a.offering(list)); err != nil {
		panic(err) // the flag is not defined, or twice: a mistake in this package
	}
}

// offering is what cobra asks for what might be meant. What cannot be had is not offered:
// nobody wants to read errors in a half-typed line.
func (a *app) offering(list lister) cobra.CompletionFunc {
	if list == nil {
		return cobra.NoFileCompletions
	}
	return func(cmd *cobra.Command, args []string, _ string) (all []string, _ cobra.ShellCompDirective) {
		if len(args) > 0 || !a.canList() {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
		defer cancel()
		_ = a.withAPI(ctx, func(c *client) (err error) {
			all, err = list(ctx, c, cmd)
			return err
		})
		return all, cobra.ShellCompDirectiveNoFileComp
	}
}

// canList reports whether there is something to ask: completing a line must not make a store.
func (a *app) canList() bool {
	if server, _ := a.serverURL(); server != "" {
		return true
	}
	cfg, err := loadConfig(a.configFile)
	if err != nil || cfg.Store.Driver != "sqlite" {
		return err == nil
	}
	file, _, _ := strings.Cut(strings.TrimPrefix(cfg.Store.DSN.Reveal(), "file:"), "?")
	_, err = os.Stat(file)
	return err == nil
}

// listed are the words of a list's items.
func listed[T any](word func(T) string, page func(cursor *string) (respgate.Answer, error)) (all []string, err error) {
	for item, err := range respgate.All[T](page) {
		if err != nil {
			return nil, err
		}
		all = append(all, word(item))
	}
	return all, nil
}

func (a *app) orgNames(ctx context.Context, c *client, _ *cobra.Command) ([]string, error) {
	return listed(func(o respgate.Organization) string { return o.Name }, func(cursor *string) (respgate.Answer, error) {
		return c.ListOrganizationsWithResponse(ctx, &respgate.ListOrganizationsParams{Limit: pageSize(), Cursor: cursor})
	})
}

func (a *app) deletedOrgs(ctx context.Context, c *client, _ *cobra.Command) ([]string, error) {
	return listed(func(o respgate.Organization) string { return o.ID + "\t" + o.Name }, func(cursor *string) (respgate.Answer, error) {
		return c.ListOrganizationsWithResponse(ctx, &respgate.ListOrganizationsParams{Limit: pageSize(), Cursor: cursor, Deleted: new(true)})
	})
}

// instanceNames are those of --org.
func (a *app) instanceNames(ctx context.Context, c *client, cmd *cobra.Command) ([]string, error) {
	return a.instancesOf(ctx, c, cmd, false, func(i respgate.Instance) string { return i.Name })
}

func (a *app) deletedInstances(ctx context.Context, c *client, cmd *cobra.Command) ([]string, error) {
	return a.instancesOf(ctx, c, cmd, true, func(i respgate.Instance) string { return i.ID + "\t" + i.Name })
}

func (a *app) instancesOf(ctx context.Context, c *client, cmd *cobra.Command, deleted bool, word func(respgate.Instance) string) ([]string, error) {
	org := cmd.Flag("org")
	if org == nil || org.Value.String() == "" {
		return nil, nil
	}
	return listed(word, func(cursor *string) (respgate.Answer, error) {
		return c.ListInstancesWithResponse(ctx, org.Value.String(), &respgate.ListInstancesParams{Limit: pageSize(), Cursor: cursor, Deleted: &deleted})
	})
}

func (a *app) keyIDs(ctx context.Context, c *client, _ *cobra.Command) ([]string, error) {
	return listed(func(k respgate.Key) string { return k.ID + "\t" + k.Org + " " + k.Name }, func(cursor *string) (respgate.Answer, error) {
		return c.ListAllKeysWithResponse(ctx, &respgate.ListAllKeysParams{Limit: pageSize(), Cursor: cursor})
	})
}

func (a *app) emails(ctx context.Context, c *client, _ *cobra.Command) ([]string, error) {
	return listed(func(u respgate.User) string { return u.Email }, func(cursor *string) (respgate.Answer, error) {
		return c.ListUsersWithResponse(ctx, &respgate.ListUsersParams{Limit: pageSize(), Cursor: cursor})
	})
}
