package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/term"
	"github.com/spf13/cobra"

	"github.com/respgate/respgate/admin/control"
	respgate "github.com/respgate/respgate/clients/go"
)

const (
	// topTenants is how many tenants are asked for: more than a screen has lines.
	topTenants = 200
	// topSlow is how many entries of its slow log an instance's page has.
	topSlow = 20
	// minTopInterval is how often a proxy has something new to tell.
	minTopInterval = time.Second
)

// topOrder is --sort.
type topOrder control.Order

// Set implements pflag.Value.
func (o *topOrder) Set(value string) error {
	if !slices.Contains(control.Orders(), control.Order(value)) {
		return errors.New("want " + orderNames())
	}
	*o = topOrder(value)
	return nil
}

// String implements pflag.Value.
func (o *topOrder) String() string { return string(*o) }

// Type implements pflag.Value.
func (*topOrder) Type() string { return "string" }

func orderNames() string {
	var names []string
	for _, o := range control.Orders() {
		names = append(names, string(o))
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

// topSource is where the figures come from.
type topSource struct {
	tenants  func(control.Order) (control.TopTenants, error)
	instance func(org, name string) (topPage, error)
}

// topPage is what stands out of an instance.
type topPage struct {
	org, name string
	top       control.InstanceTopView
	slow      []control.SlowEntryView
}

func (a *app) topCommand() *cobra.Command {
	var org string
	order := topOrder(control.ByRate)
	var interval time.Duration
	var once bool
	c := a.onAPI("top [--org ORGANIZATION]", "Watch which tenants do most at the proxy of --server", func(ctx context.Context, c *client) error {
		if interval < minTopInterval {
			return fmt.Errorf("--interval: want %v or more: a proxy counts for so long", minTopInterval)
		}
		source := topOf(ctx, c, org)
		in, out := a.terminal()
		if once || a.json || in == nil {
			return a.topOnce(ctx, c, org, control.Order(order))
		}
		first, err := source.tenants(control.Order(order))
		if err != nil {
			return err
		}
		return watchTop(ctx, newTopScreen(source, first, control.Order(order), interval), in, out)
	})
	c.Long = `Watch which tenants do most at the proxy of --server, and what one of them does: its
most frequent commands, hot keys, clients, big keys and replies, and its slow log.

  q        leave                     1 2 3 4  sort by rate, latency, errors, limited
  j k ↑ ↓  select a tenant           s        sort by the next of all six
  enter    what it does; esc: back`
	c.Flags().Var(&order, "sort", "`WHAT` the first have most of: "+orderNames())
	c.Flags().DurationVar(&interval, "interval", 2*time.Second, "how often to look, 1s or more")
	c.Flags().BoolVar(&once, "once", false, "print one table; so it is where there is no terminal")
	return a.onlyOrgFlag(c, &org)
}

// terminal returns what to read keys from and to draw on, nil where it is no terminal, or one
// that cannot move its cursor.
func (a *app) terminal() (in, out *os.File) {
	in, isIn := a.stdin.(*os.File)
	out, isOut := a.stdout.(*os.File)
	if !isIn || !isOut || os.Getenv("TERM") == "dumb" || !term.IsTerminal(in.Fd()) || !term.IsTerminal(out.Fd()) {
		return nil, nil
	}
	return in, out
}

// topOf asks a proxy for figures, until ctx ends.
func topOf(ctx context.Context, c *client, org string) topSource {
	return topSource{
		tenants: func(order control.Order) (control.TopTenants, error) {
			return answered[control.TopTenants](askTop(ctx, c, org, order))
		},
		instance: func(org, name string) (topPage, error) {
			top, err := answered[control.InstanceTopView](c.GetInstanceTopWithResponse(ctx, org, name, nil))
			if err != nil {
				return topPage{}, err
			}
			slow, err := answered[control.SlowLogView](c.GetSlowLogWithResponse(ctx, org, name, &respgate.GetSlowLogParams{Limit: new(int64(topSlow))}))
			return topPage{org, name, top, slow.Entries}, err
		},
	}
}

func askTop(ctx context.Context, c *client, org string, order control.Order) (respgate.Answer, error) {
	var answer respgate.Answer
	var err error
	if org == "" {
		by := respgate.GetTopParamsSort(order)
		answer, err = c.GetTopWithResponse(ctx, &respgate.GetTopParams{Sort: &by, Limit: new(int64(topTenants))})
	} else {
		by := respgate.GetOrganizationTopParamsSort(order)
		answer, err = c.GetOrganizationTopWithResponse(ctx, org, &respgate.GetOrganizationTopParams{Sort: &by, Limit: new(int64(topTenants))})
	}
	return answer, wantsProxy(respgate.Check(answer, err))
}

// wantsProxy says what to do about an error of a process that serves no clients.
func wantsProxy(err error) error {
	if refusedWith(err, http.StatusNotImplemented) {
		return fmt.Errorf("%w: name a proxy with --server", err)
	}
	return err
}

// topOnce prints one table.
func (a *app) topOnce(ctx context.Context, c *client, org string, order control.Order) error {
	answer, err := askTop(ctx, c, org, order)
	top, err := answered[control.TopTenants](answer, err)
	switch {
	case err != nil:
		return err
	case a.json:
		return a.encode(json.RawMessage(answer.Bytes()))
	}
	rows := make([]topRow, len(top.Tenants))
	for i, r := range top.Tenants {
		rows[i] = topRow(r)
	}
	return many(a, rows)
}

// topRow is a tenant in a table.
type topRow control.TenantRow

func (topRow) columns() []string {
	return []string{"tenant", "cmd/s", "p50", "p99", "err/s", "lim/s", "clients", "links", "in/s", "out/s"}
}

func (r topRow) cells() []string {
	return []string{r.Org + "/" + r.Instance, shownPerSecond(r.Commands), shownLatency(r.P50), shownLatency(r.P99), shownPerSecond(r.Errors), shownPerSecond(r.Limited),
		fmt.Sprint(r.Clients), fmt.Sprint(r.Links.Shared + r.Links.Pinned + r.Links.Subscriber), shownBytes(r.BytesIn), shownBytes(r.BytesOut)}
}

// shownPerSecond is a rate in at most six characters.
func shownPerSecond(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 9.95:
		return fmt.Sprintf("%.1f", v)
	case v < 99_999.5:
		return fmt.Sprintf("%.0f", v)
	case v < 9_999_500:
		return fmt.Sprintf("%.0fk", v/1e3)
	}
	return fmt.Sprintf("%.0fM", v/1e6)
}

// shownLatency is seconds as people say them; nil is none.
func shownLatency(seconds *float64) string {
	if seconds == nil {
		return "-"
	}
	return shownMicroseconds(*seconds * 1e6)
}

func shownMicroseconds(us float64) string {
	switch {
	case us < 999.5:
		return fmt.Sprintf("%.0fµs", us)
	case us < 9_995:
		return fmt.Sprintf("%.2fms", us/1e3)
	case us < 999_500:
		return fmt.Sprintf("%.0fms", us/1e3)
	}
	return fmt.Sprintf("%.2fs", us/1e6)
}

// shownBytes is a number of bytes.
func shownBytes(n float64) string {
	unit := "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if n < 1023.5 {
			break
		}
		n, unit = n/1024, next
	}
	if unit != "B" && n < 9.95 {
		return fmt.Sprintf("%.1f%s", n, unit)
	}
	return fmt.Sprintf("%.0f%s", n, unit)
}
