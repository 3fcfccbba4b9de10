package lease

import (
	"context"
	_ "embed" // the scripts
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/tenant"
)

// Every key of ours in the shared Redis begins with prefix; what is in braces says which node of a cluster has it.
const (
	prefix     = "respgate:"
	proxiesKey = prefix + "{proxies}"
)

func bucketKey(name string) string { return prefix + "{" + name + "}" }

var (
	//go:embed bucket.lua
	bucketSource string
	//go:embed proxies.lua
	proxiesSource string
)

var errAnswer = errors.New("its answer is not understood")

// call is a script that runs with one key.
type call struct {
	source string
	key    string
	args   []any
	cmd    *redis.Cmd
}

// exchange sends all requests at once, and counts the proxies where beat says so: proxies is 0 otherwise, and when that
// failed. The error is one of those that there were.
func (c *Client) exchange(ctx context.Context, requests []tenant.LeaseRequest, beat bool) (leases []tenant.Lease, proxies int, err error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	calls := make([]*call, 0, len(requests)+1)
	for _, r := range requests {
		calls = append(calls, &call{source: bucketSource, key: bucketKey(r.Name), args: []any{r.Rate, r.Burst, r.Refills, r.Used, r.Want}})
	}
	if beat {
		calls = append(calls, &call{source: proxiesSource, key: proxiesKey, args: []any{c.cfg.Proxy, beatKept.Microseconds()}})
	}
	c.run(ctx, calls)
	leases = make([]tenant.Lease, len(requests))
	for i := range leases {
		var failed error
		if leases[i], failed = leased(calls[i].cmd); failed != nil {
			err = failed
		}
	}
	if beat {
		n, failed := calls[len(requests)].cmd.Int()
		if failed != nil {
			err = failed
		}
		proxies = n
	}
	return leases, proxies, err
}

// run has a server that does not know a script yet, as after a restart, be sent it whole.
func (c *Client) run(ctx context.Context, calls []*call) {
	hashes := map[string]string{}
	for _, source := range []string{bucketSource, proxiesSource} {
		hashes[source] = redis.NewScript(source).Hash()
	}
	pipe := c.redis.Pipeline()
	for _, l := range calls {
		l.cmd = pipe.EvalSha(ctx, hashes[l.source], []string{l.key}, l.args...)
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	pipe = c.redis.Pipeline()
	for _, l := range calls {
		if redis.HasErrorPrefix(l.cmd.Err(), "NOSCRIPT") {
			l.cmd = pipe.Eval(ctx, l.source, []string{l.key}, l.args...)
		}
	}
	if pipe.Len() > 0 {
		_, _ = pipe.Exec(ctx)
	}
}

// leased reads the answer of bucket.lua.
func leased(cmd *redis.Cmd) (tenant.Lease, error) {
	answer, err := cmd.Int64Slice()
	if err == nil && len(answer) != 2 {
		err = errAnswer
	}
	if err != nil {
		return tenant.Lease{Failed: true}, err
	}
	return tenant.Lease{Granted: answer[0], Left: float64(answer[1]) / 1000}, nil
}
