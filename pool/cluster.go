package pool

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

var (
	errNoNode     = errors.New("no node of the cluster answers")
	errNoSlots    = errors.New("no node of the cluster has a slot")
	errNotCluster = errors.New("it is no cluster")
)

// askAtOnce is how many nodes are asked at a time.
const askAtOnce = 3

// clusterNodes looks at a Redis Cluster.
type clusterNodes struct {
	asker
	epoch int64 // of the view that was believed last
}

// view is how one node sees the cluster.
type view struct {
	ok     bool  // it serves
	epoch  int64 // of the last change that it knows of
	ranges []redis.ClusterSlot
	from   string // the node
	err    error
}

// find implements finder: it asks some nodes, and believes the one that knows of the last
// change.
func (c *clusterNodes) find(ctx context.Context, last *Layout) (*Layout, error) {
	best := view{err: errNoNode}
	for some := range slices.Chunk(c.candidates(last), askAtOnce) {
		for _, v := range c.views(ctx, some) {
			switch {
			case v.err != nil:
				if best.err != nil && !isTimeout(v.err) {
					best.err = v.err
				}
			case best.err != nil, v.ok && !best.ok, v.ok == best.ok && v.epoch > best.epoch:
				best = v
			}
		}
		if best.err == nil {
			break
		}
	}
	if best.err != nil {
		return nil, best.err
	}
	c.epoch = best.epoch
	layout := c.layout(ctx, best, last)
	if len(layout.Primaries) == 0 {
		return nil, errNoSlots
	}
	return layout, nil
}

// candidates are the nodes to ask, those known to be primaries first, in no order.
func (c *clusterNodes) candidates(last *Layout) []string {
	var addrs []string
	if last != nil {
		for _, p := range last.Primaries {
			addrs = append(addrs, p.Addr)
		}
	}
	rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] }) //nolint:gosec // no secret
	seeds := strings.Split(c.backend.Addr, ",")
	rand.Shuffle(len(seeds), func(i, j int) { seeds[i], seeds[j] = seeds[j], seeds[i] }) //nolint:gosec // no secret
	for _, seed := range seeds {
		if !slices.Contains(addrs, seed) {
			addrs = append(addrs, seed)
		}
	}
	return addrs
}

// views asks nodes, all at once.
func (c *clusterNodes) views(ctx context.Context, addrs []string) []view {
	var asks []func() view
	for _, addr := range addrs {
		client := c.client(addr)
		asks = append(asks, func() view { return look(ctx, client, addr) })
	}
	return gather(ctx, c.asking, asks, func(ask func() view) view { return ask() }, c.recent)
}

// recent reports whether a view is of no earlier change than what was believed last.
func (c *clusterNodes) recent(v view) bool { return v.err == nil && v.epoch >= c.epoch }

func look(ctx context.Context, client *redis.Client, addr string) view {
	pipe := client.Pipeline()
	info, ranges := pipe.ClusterInfo(ctx), pipe.ClusterSlots(ctx)
	_, err := pipe.Exec(ctx)
	var reply redis.Error
	if errors.As(err, &reply) && strings.Contains(reply.Error(), "cluster support disabled") {
		err = errNotCluster
	}
	if err != nil {
		return view{err: err}
	}
	v := view{from: addr, ranges: ranges.Val()}
	for line := range strings.SplitSeq(info.Val(), "\r\n") {
		switch name, value, _ := strings.Cut(line, ":"); name {
		case "cluster_state":
			v.ok = value == "ok"
		case "cluster_current_epoch":
			v.epoch, _ = strconv.ParseInt(value, 10, 64)
		}
	}
	return v
}

// layout makes a view a layout.
func (c *clusterNodes) layout(ctx context.Context, v view, last *Layout) *Layout {
	l := &Layout{slots: new([HashSlots]uint16)}
	slices.SortFunc(v.ranges, func(a, b redis.ClusterSlot) int { return cmp.Compare(a.Start, b.Start) })
	index := map[string]uint16{}
	replicas := [][]string{}
	known := map[string]bool{}
	for _, r := range v.ranges {
		if len(r.Nodes) == 0 || r.Start < 0 || r.Start > r.End || r.End >= HashSlots {
			continue
		}
		addr := at(r.Nodes[0].Addr, v.from)
		i, ok := index[addr]
		if !ok {
			l.Primaries = append(l.Primaries, c.backend.member(addr, AnyRole))
			l.Lowest = append(l.Lowest, r.Start)
			i = uint16(len(l.Primaries)) //nolint:gosec // at most HashSlots
			index[addr] = i
			var others []string
			for _, n := range r.Nodes[1:] {
				others = append(others, at(n.Addr, v.from))
				known[others[len(others)-1]] = true
			}
			replicas = append(replicas, others)
			known[addr] = true
		}
		for slot := r.Start; slot <= r.End; slot++ {
			l.slots[slot] = i
		}
	}
	l.Readers = make([][]Backend, len(l.Primaries))
	for i, p := range l.Primaries {
		l.Readers[i] = c.readers(ctx, p, replicas[i], before(last, p))
	}
	for seed := range strings.SplitSeq(c.backend.Addr, ",") {
		known[seed] = true
	}
	c.keep(known)
	return l
}

// before are the readers of a primary in the layout before.
func before(last *Layout, primary Backend) []Backend {
	if last != nil {
		for i, p := range last.Primaries {
			if p == primary {
				return last.Readers[i]
			}
		}
	}
	return nil
}

// at completes the address of a node that does not know its own host: it is that of the
// node which was asked.
func at(addr, from string) string {
	host, port, err := net.SplitHostPort(addr)
	if err == nil && (host == "" || host == "?") {
		host, _, _ = net.SplitHostPort(from)
		return net.JoinHostPort(host, port)
	}
	return addr
}
