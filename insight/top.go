package insight

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/respgate/respgate/tenant"
)

// view is what one loop has of an instance: copies.
type view struct {
	window  int64
	periods []*period
}

// Top returns what stands out of an instance, of all loops together. The error is ctx's.
func (b *Book) Top(ctx context.Context, instance string) (tenant.Top, error) {
	views := make(chan view, len(b.loops))
	asked := 0
	for _, l := range b.loops {
		if l.home.Post(func() { views <- l.view(instance) }) {
			asked++
		}
	}
	var all []view
	for range asked {
		select {
		case v := <-views:
			all = append(all, v)
		case <-ctx.Done():
			return tenant.Top{}, fmt.Errorf("top: %w", ctx.Err())
		}
	}
	return b.merge(all), nil
}

// view copies what the loop has of an instance.
func (l *Loop) view(instance string) view {
	now := l.home.Nanos()
	v := view{window: max(now-max(0, now/minute-1)*minute, int64(time.Second))}
	l.slots.expire(now)
	at := l.slots.watches[instance]
	if at == nil {
		return v
	}
	w := *at.Value.(*watch)
	if now/minute == w.minute && w.before != nil {
		v.periods = append(v.periods, w.before.clone())
	}
	v.periods = append(v.periods, w.now.clone())
	return v
}

func (p *period) clone() *period {
	c := &period{
		keys:    p.keys.clone(),
		clients: p.clients.clone(),
		writes:  biggest{slices.Clone(p.writes.items)},
		replies: biggest{slices.Clone(p.replies.items)},
	}
	for i := range c.keys.items {
		c.keys.items[i].text = bytes.Clone(c.keys.items[i].text)
	}
	for _, list := range [][]big{c.writes.items, c.replies.items} {
		for i := range list {
			list[i].key.text = bytes.Clone(list[i].key.text)
		}
	}
	return c
}

// merge makes one of what the loops have.
func (b *Book) merge(views []view) tenant.Top {
	keys := merger[key]{all: map[uint64]*mergedCount[key]{}}
	clients := merger[client]{all: map[uint64]*mergedCount[client]{}}
	var writes, replies biggestOf
	top := tenant.Top{Every: int(b.sample.Load())}
	for _, v := range views {
		top.Window = max(top.Window, time.Duration(v.window))
		for _, p := range v.periods {
			keys.add(&p.keys)
			clients.add(&p.clients)
			writes.add(p.writes.items)
			replies.add(p.replies.items)
		}
	}
	per := rater{every: float64(max(1, top.Every)), seconds: top.Window.Seconds()}
	for _, r := range frequent(&keys, per) {
		top.HotKeys = append(top.HotKeys, tenant.HotKey{Key: b.veil.show(string(r.item.text)), Cut: r.item.cut, DB: r.item.db, Rate: r.rate, Error: r.off})
	}
	for _, r := range frequent(&clients, per) {
		c := r.item
		top.Clients = append(top.Clients, tenant.BusyClient{SessionID: b.session(c.session), Address: c.addr.String(), Name: c.name, KeyID: c.key, Rate: r.rate, Error: r.off})
	}
	top.BigKeys, top.BigReplies = b.tell(writes), b.tell(replies)
	return top
}

// rater makes rates of counts.
type rater struct {
	every   float64 // one in so many is counted, for as many
	seconds float64
}

// rated is what was counted, with its rate per second and by how much that may be off.
type rated[T any] struct {
	item      T
	hash      uint64
	rate, off float64
}

// rate is the middle of what the true count may be, per second. It may be off by half of
// what the sketch does not know, and by what chance has picked too many or too few of: two
// standard deviations, of a binomial distribution.
func (p rater) rate(c count) (rate, off float64) {
	unsure := float64(c.over) / 2
	middle := float64(c.all) - unsure
	return middle / p.seconds, (unsure + 2*math.Sqrt(middle*(p.every-1))) / p.seconds
}

// frequent are the most frequent, of those of whose count at least half is surely theirs.
func frequent[T any](m *merger[T], per rater) []rated[T] {
	var all []rated[T]
	for hash, c := range m.all {
		total := m.total(c)
		if 2*total.over > total.all {
			continue
		}
		r := rated[T]{item: c.item, hash: hash}
		r.rate, r.off = per.rate(total)
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b rated[T]) int { return cmp.Or(cmp.Compare(b.rate, a.rate), cmp.Compare(a.hash, b.hash)) })
	return all[:min(len(all), tenant.TopLen)]
}

// biggestOf has what several lists have, the largest for each hash.
type biggestOf map[uint64]big

func (m *biggestOf) add(items []big) {
	if *m == nil {
		*m = biggestOf{}
	}
	for _, item := range items {
		if item.bytes > (*m)[item.hash].bytes {
			(*m)[item.hash] = item
		}
	}
}

// tell lists them, the largest first.
func (b *Book) tell(m biggestOf) (list []tenant.BigCommand) {
	for _, item := range m {
		c := tenant.BigCommand{
			Command: item.id.Info().Name, Cut: item.key.cut, DB: item.key.db, Bytes: int64(item.bytes), At: item.at,
			SessionID: b.session(item.client.session), Address: item.client.addr.String(), Name: item.client.name, KeyID: item.client.key,
		}
		if item.key.known {
			c.Key = b.veil.show(string(item.key.text))
		}
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b tenant.BigCommand) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), a.At.Compare(b.At), cmp.Compare(a.Key, b.Key))
	})
	return list[:min(len(list), tenant.TopLen)]
}
