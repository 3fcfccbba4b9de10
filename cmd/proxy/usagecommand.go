package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	respgate "github.com/respgate/respgate/clients/go"
)

type usageRow struct{ respgate.Usage }

func (usageRow) columns() []string {
	return []string{"at", "key", "name", "instance", "commands", "errors", "limited", "bytes in", "bytes out"}
}

func (v usageRow) cells() []string {
	n := func(n int64) string { return strconv.FormatInt(n, 10) }
	return []string{shownTime(given(v.At)), v.KeyID, cmp.Or(v.Key, "-"), cmp.Or(v.Instance, v.InstanceID), n(v.Commands), n(v.Errors), n(v.Limited), n(v.BytesIn), n(v.BytesOut)}
}

// usageFlags are which usage is wanted.
type usageFlags struct{ org, key, instance, from, to, step string }

func (a *app) usageCommand() *cobra.Command {
	var f usageFlags
	c := a.onAPI("usage [--org ORGANIZATION]", "Sum up what was done with keys: commands, errors, limited commands, bytes", func(ctx context.Context, c *client) error {
		page, err := f.pages(ctx, c)
		if err != nil {
			return err
		}
		return showAll[usageRow](a, 0, page)
	})
	c.Flags().StringVar(&f.key, "key", "", "only with the key that has this `ID`")
	c.Flags().StringVar(&f.instance, "instance", "", "only on the instance with this `NAME`; goes with --org")
	spanFlags(c, &f.from, &f.to)
	c.Flags().StringVar(&f.step, "step", "0s", "a sum for each `STEP` of time, such as 1h; 0s is one for all the time")
	a.onlyOrgFlag(c, &f.org)
	a.completes(c, "key", a.keyIDs)
	a.completes(c, "instance", a.instanceNames)
	return c
}

// maxStep is the longest step, as the API has it.
const maxStep = maxYear + maxDay

// pages returns what asks for the sums, page by page.
func (f *usageFlags) pages(ctx context.Context, c *client) (func(cursor *string) (respgate.Answer, error), error) {
	from, to, err := span(f.from, f.to)
	if err != nil {
		return nil, err
	}
	step, err := time.ParseDuration(f.step)
	switch {
	case err != nil, step < 0, step > maxStep, step%time.Second != 0, step != 0 && step < time.Minute:
		return nil, fmt.Errorf("--step: want 0s, or a duration in whole seconds from 1m to %v, got %s", maxStep, shown(f.step))
	case f.instance != "" && f.org == "":
		return nil, errors.New("--instance: want --org too")
	}
	seconds := new(int64(step / time.Second))
	if f.org != "" {
		p := respgate.GetUsageParams{Limit: pageSize(), From: from, To: to, Key: some(f.key), Instance: some(f.instance), StepSeconds: seconds}
		return func(cursor *string) (respgate.Answer, error) {
			p.Cursor = cursor
			return c.GetUsageWithResponse(ctx, f.org, &p)
		}, nil
	}
	p := respgate.GetAllUsageParams{Limit: pageSize(), From: from, To: to, Key: some(f.key), StepSeconds: seconds}
	return func(cursor *string) (respgate.Answer, error) {
		p.Cursor = cursor
		return c.GetAllUsageWithResponse(ctx, &p)
	}, nil
}
