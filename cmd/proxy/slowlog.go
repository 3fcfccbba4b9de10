package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/respgate/respgate/admin/control"
	respgate "github.com/respgate/respgate/clients/go"
)

// slowRow is an entry of a slow log.
type slowRow control.SlowEntryView

func (slowRow) columns() []string {
	return []string{"id", "at", "took", "limited", "total", "command", "client", "key", "error"}
}

func (v slowRow) cells() []string {
	limited := "-"
	if v.Limited > 0 {
		limited = shownMicroseconds(float64(v.Limited))
	}
	return []string{strconv.FormatInt(v.ID, 10), v.At.UTC().Format("2006-01-02T15:04:05.000Z"), shownMicroseconds(float64(v.Took)), limited, shownMicroseconds(float64(v.Total)),
		shownCommand(v.Args), strings.TrimSpace(v.Address + " " + v.Name), v.KeyID, cmp.Or(v.ErrorWas, "-")}
}

// shownCommand is a command as it might be typed.
func shownCommand(args []string) string {
	words := make([]string, len(args))
	for i, arg := range args {
		words[i] = arg
		if arg == "" || strings.ContainsAny(arg, " \t\r\n\"'") {
			words[i] = strconv.Quote(arg)
		}
	}
	return strings.Join(words, " ")
}

func (a *app) slowlogCommand() *cobra.Command {
	return group("slowlog", "See and empty the slow logs of a proxy", a.slowlogGet(), a.slowlogReset())
}

func (a *app) slowlogGet() *cobra.Command {
	var org, instance string
	var number int64
	c := a.slowlogFlags(a.onAPI("get --org ORGANIZATION --instance NAME", "List the slow commands of an instance's clients at the proxy of --server, the newest first", func(ctx context.Context, c *client) error {
		if number < 1 || number > 1000 {
			return fmt.Errorf("--number: want a whole number from 1 to 1000, got %d", number)
		}
		answer, err := c.GetSlowLogWithResponse(ctx, org, instance, &respgate.GetSlowLogParams{Limit: &number})
		log, err := answered[control.SlowLogView](answer, err)
		switch {
		case err != nil:
			return wantsProxy(err)
		case a.json:
			return a.encode(json.RawMessage(answer.Bytes()))
		}
		rows := make([]slowRow, len(log.Entries))
		for i, e := range log.Entries {
			rows[i] = slowRow(e)
		}
		return many(a, rows)
	}), &org, &instance)
	c.Flags().Int64VarP(&number, "number", "n", 10, "how many entries at most, up to 1000")
	return c
}

func (a *app) slowlogReset() *cobra.Command {
	var org, instance string
	return a.slowlogFlags(a.onAPI("reset --org ORGANIZATION --instance NAME", "Empty an instance's slow log at the proxy of --server", func(ctx context.Context, c *client) error {
		if err := respgate.Check(c.ResetSlowLogWithResponse(ctx, org, instance)); err != nil {
			return wantsProxy(err)
		}
		return a.done("reset", org+"/"+instance)
	}), &org, &instance)
}

// slowlogFlags adds what says whose slow log it is.
func (a *app) slowlogFlags(c *cobra.Command, org, instance *string) *cobra.Command {
	c.Flags().Var((*pathWord)(instance), "instance", "the instance's `NAME`")
	required(c, "instance")
	a.completes(c, "instance", a.instanceNames)
	return a.orgFlag(c, org)
}
