package pool

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// much is how much sooner another server must answer to be taken for the nearest one: a
// layout that changes to and fro would cost more than it gains.
const much = 0.7

// readers returns who may be read from in place of primary, the best first: those that are
// fit of its replicas, or the nearest of all. A replica that loads its data, or has lost
// its primary, is not fit. Where some are known to be in the proxy's own region it is those,
// and where none is fit, the nearest of the others.
func (a *asker) readers(ctx context.Context, primary Backend, replicas []string, last []Backend) []Backend {
	if a.backend.ReadFrom == Primary {
		return nil
	}
	candidates := []Backend{}
	for _, addr := range replicas {
		candidates = append(candidates, a.backend.member(addr, ReaderRole))
	}
	if a.backend.ReadFrom == Nearest {
		candidates = append(candidates, primary)
	}
	took := a.fitness(ctx, candidates)
	fit := slices.DeleteFunc(candidates, func(b Backend) bool { return took[b] == 0 })
	all := a.backend.ReadFrom == PreferReplica
	if a.region != "" && a.backend.Regions != "" {
		own := slices.DeleteFunc(slices.Clone(fit), func(b Backend) bool { return a.backend.Regions.Of(b.Addr) != a.region })
		if len(own) > 0 {
			fit = own
		} else {
			all = false
		}
	}
	if all {
		slices.SortFunc(fit, func(x, y Backend) int { return strings.Compare(x.Addr, y.Addr) })
		return fit
	}
	slices.SortFunc(fit, func(x, y Backend) int { return int(took[x] - took[y]) })
	if len(last) > 0 && slices.Contains(fit, last[0]) && float64(took[fit[0]]) > much*float64(took[last[0]]) {
		return last[:1]
	}
	return fit[:min(1, len(fit))]
}

// fitTime is how long a server may take to say how it is.
const fitTime = time.Second

// fitness asks servers how they are, all at once; those that are fit are in the answer,
// with how long the sooner of two answers took.
func (a *asker) fitness(ctx context.Context, servers []Backend) map[Backend]time.Duration {
	ctx, cancel := context.WithTimeout(ctx, fitTime)
	defer cancel()
	type pulse struct {
		of   Backend
		took time.Duration // 0: it is not fit
	}
	var asks []func() pulse
	for _, b := range servers {
		c := a.client(b.Addr)
		asks = append(asks, func() pulse { return pulse{b, feel(ctx, c)} })
	}
	took := map[Backend]time.Duration{}
	for _, p := range gather(ctx, a.asking, asks, func(ask func() pulse) pulse { return ask() }, func(pulse) bool { return false }) {
		if p.took > 0 {
			took[p.of] = p.took
		}
	}
	return took
}

// feel returns how long the sooner of two answers took; 0 is that the server is not fit.
func feel(ctx context.Context, c *redis.Client) (best time.Duration) {
	for range 2 { // the first may have to connect
		begun := time.Now()
		info, err := c.Info(ctx, "everything").Result()
		if err != nil || !fit(info) {
			return 0
		}
		if d := max(1, time.Since(begun)); best == 0 || d < best {
			best = d
		}
	}
	return best
}

// fit reports whether a server that answers INFO so may be read from.
func fit(info string) bool {
	return !strings.Contains(info, "\nloading:1") && !strings.Contains(info, "\nasync_loading:1") &&
		(strings.Contains(info, "\nrole:master") || strings.Contains(info, "\nmaster_link_status:up"))
}

// replicated looks at a primary that knows its replicas.
type replicated struct{ asker }

// find implements finder. The primary is where the URL says; without its answer it is all
// that there is.
func (r *replicated) find(ctx context.Context, last *Layout) (*Layout, error) {
	primary := r.backend
	primary.Group, primary.ReadFrom, primary.Regions = Single, Primary, ""
	layout := &Layout{Primaries: []Backend{primary}, Readers: [][]Backend{nil}}
	replicas, err := replicasOf(r.client(primary.Addr).Do(ctx, "ROLE").Slice())
	if err != nil {
		if last == nil {
			return layout, nil // its links say what is wrong
		}
		return nil, err
	}
	var before []Backend
	if last != nil {
		before = last.Readers[0]
	}
	layout.Readers[0] = r.readers(ctx, primary, replicas, before)
	known := map[string]bool{primary.Addr: true}
	for _, addr := range replicas {
		known[addr] = true
	}
	r.keep(known)
	return layout, nil
}

// replicasOf reads a primary's answer to ROLE.
func replicasOf(role []any, err error) ([]string, error) {
	if err != nil {
		return nil, err
	}
	if len(role) < 3 || role[0] != "master" {
		return nil, errNotPrimary
	}
	list, _ := role[2].([]any)
	var addrs []string
	for _, item := range list {
		if r, ok := item.([]any); ok && len(r) >= 2 {
			addrs = append(addrs, net.JoinHostPort(fmt.Sprint(r[0]), fmt.Sprint(r[1])))
		}
	}
	return addrs, nil
}
