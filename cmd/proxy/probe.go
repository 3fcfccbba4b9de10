package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/tenant"
)

// probe is what `instance test` finds out.
type probe control.Probe

func (probe) columns() []string {
	return []string{"instance", "reachable", "redis", "mode", "role", "primaries", "connect", "ping", "warnings"}
}

func (p probe) cells() []string {
	ms := func(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) + " ms" }
	warnings := "none"
	if len(p.Warnings) > 0 {
		warnings = strings.Join(p.Warnings, "; ")
	}
	return []string{p.Org + "/" + p.Name, strconv.FormatBool(p.Reachable), p.Version, p.Mode, p.Role, strconv.Itoa(max(1, p.Primaries)), ms(p.ConnectMS), ms(p.PingMS), warnings}
}

func (a *app) instanceTest() *cobra.Command {
	var org, name string
	return a.nameFlag(a.orgFlag(a.onAPI("test --org ORGANIZATION --name NAME", "Can the instance be reached, how fast, which Redis is it", func(ctx context.Context, c *client) error {
		answer, err := c.TestInstanceWithResponse(ctx, org, name, nil)
		p, err := answered[probe](answer, err)
		if err != nil {
			return err
		}
		if p.Reachable || a.json {
			if err := show[probe](a)(answer, nil); err != nil {
				return err
			}
		}
		if !p.Reachable {
			return fmt.Errorf("instance %s/%s cannot be reached: %s", p.Org, p.Name, p.Error)
		}
		return nil
	}), &org), &name, "instance")
}

const pings = 5

// test connects as a proxy does, to all primaries of several servers, and then looks at what the user may do.
func test(ctx context.Context, cfg Config, in tenant.Instance) probe {
	p := probe{Org: in.Org, Name: in.Name, Warnings: []string{}}
	backend, err := pool.ParseURL(in.URL)
	if err != nil {
		p.Error = err.Error()
		return p
	}
	dialer := pool.NewDialer(cfg.Pool.dial(), slog.New(slog.DiscardHandler), nil)
	layout, err := dialer.Find(ctx, backend)
	if err != nil {
		p.Error = pool.Reason(err)
		return p
	}
	for i, server := range layout.Primaries {
		began := time.Now()
		nc, hello, err := dialer.Dial(ctx, in.Label(), server, server.DB, 2, 1)
		if err != nil {
			p.Error = pool.Reason(err)
			return p
		}
		_ = nc.Close()
		if i == 0 {
			p.ConnectMS = inMS(time.Since(began))
			p.Version, p.Mode, p.Role = hello.Version, hello.Mode, hello.Role
		}
	}
	p.Reachable = true
	if backend.Group != pool.Single {
		p.Primaries = len(layout.Primaries)
	}
	switch {
	case backend.Group == pool.Sentinel:
		p.Mode = "sentinel"
	case backend.Group == pool.Single && p.Mode == "cluster":
		p.Warnings = append(p.Warnings, "it is a node of a cluster, and what other nodes have is answered MOVED: have its URL begin with redis-cluster:// or rediss-cluster://")
	}
	group := backend.Group
	backend = layout.Primaries[0]
	opts, err := clientOptions(cfg, backend)
	if err != nil {
		p.Error = err.Error()
		return p
	}
	opts.MaxRetries, opts.PoolSize, opts.Protocol = -1, 1, 2
	client := redis.NewClient(opts)
	defer func() { _ = client.Close() }()
	if p.PingMS, err = medianPing(ctx, client); err != nil {
		p.Warnings = append(p.Warnings, "it connects and then does not answer PING")
		return p
	}
	p.Warnings = append(p.Warnings, warnings(ctx, client)...)
	if in.CacheBytes > 0 {
		p.Warnings = append(p.Warnings, cacheWarnings(ctx, group, client)...)
	}
	return p
}

func medianPing(ctx context.Context, client *redis.Client) (ms float64, err error) {
	var took []float64
	if err := client.Ping(ctx).Err(); err != nil { // connects
		return 0, err
	}
	for range pings {
		began := time.Now()
		if err := client.Ping(ctx).Err(); err != nil {
			return 0, err
		}
		took = append(took, inMS(time.Since(began)))
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}

func inMS(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// adminCommands are @admin commands that only read.
var adminCommands = [][]any{
	{"CONFIG", "GET", "maxmemory"}, {"ACL", "LIST"}, {"CLIENT", "LIST", "ID", "1"}, {"SLOWLOG", "LEN"}, {"MODULE", "LIST"},
	{"LATENCY", "LATEST"}, {"CLUSTER", "COUNT-FAILURE-REPORTS", strings.Repeat("0", 40)}, {"DEBUG", "HELP"},
}

// mayNot says whether the backend would not run a command at all. Redis 7 looks whether
// DEBUG is allowed to anybody before it looks at the user.
func mayNot(err error) bool {
	for _, begin := range []string{"NOPERM", "ERR unknown", "ERR DEBUG command not allowed"} {
		if strings.HasPrefix(err.Error(), begin) {
			return true
		}
	}
	return false
}

// warnings tell what the backend's user may do that no tenant should: scripts can call
// what their key may not, so that the backend's own ACL is the outer wall. Only reading
// commands are tried; whatever is not refused for want of permission may be run.
func warnings(ctx context.Context, client *redis.Client) (all []string) {
	var may []string
	for _, args := range adminCommands {
		if err := client.Do(ctx, args...).Err(); err == nil || !mayNot(err) {
			may = append(may, fmt.Sprint(args[0]))
		}
	}
	if len(may) > 0 {
		all = append(all, "its user may run @admin commands ("+strings.Join(may, ", ")+"): give respgate a user without them (ACL SETUSER … -@admin)")
	}
	return all
}
