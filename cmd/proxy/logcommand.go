package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	respgate "github.com/respgate/respgate/clients/go"
)

type logRow struct{ respgate.Log }

func (logRow) columns() []string { return []string{"level"} }
func (v logRow) cells() []string { return []string{string(v.Level)} }

func (a *app) logCommand() *cobra.Command {
	level := a.onAPI("level [debug|info|warn|error]", "Show the log's level of the proxy of --server, or change it until its configuration is read again", nil)
	level.ValidArgs = []string{"debug", "info", "warn", "error"}
	level.Args = func(_ *cobra.Command, args []string) error {
		if len(args) > 1 || len(args) == 1 && !slices.Contains(level.ValidArgs, args[0]) {
			return fmt.Errorf("want one of %s", strings.Join(level.ValidArgs, ", "))
		}
		return nil
	}
	level.RunE = func(cmd *cobra.Command, args []string) error {
		return a.withAPI(cmd.Context(), func(c *client) error { return a.logLevel(cmd.Context(), c, args) })
	}
	return group("log", "See and change what a proxy's log tells", level)
}

func (a *app) logLevel(ctx context.Context, c *client, args []string) error {
	ask := func() (respgate.Answer, error) { return c.GetLogWithResponse(ctx) }
	if len(args) == 1 {
		ask = func() (respgate.Answer, error) {
			return c.SetLogWithResponse(ctx, respgate.LogChange{Level: respgate.LogChangeLevel(args[0])})
		}
	}
	log, err := answered[respgate.Log](ask())
	if refusedWith(err, http.StatusNotImplemented) {
		return fmt.Errorf("%w: name a proxy with --server", err)
	}
	if err != nil {
		return err
	}
	return a.one(logRow{log})
}
