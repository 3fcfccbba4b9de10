package backup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	hashSlots = 16384
	// lookEvery is how often the nodes are asked whose the slots are: a slot takes longer to
	// move away and back.
	lookEvery = 500 * time.Millisecond
	// maxSweeps bounds how often slots are read again that have moved.
	maxSweeps = 100
)

var errRestless = errors.New("slots of the cluster kept moving: try again when they do not")

// moves are the slots of a cluster that change their node during a scan: SCAN of the one may
// have passed a key's place before it comes, and that of the other may not have come to it
// when it goes.
type moves struct {
	redis  *Redis
	pos    *Position
	looked time.Time
	moving []int // those that are half moved
}

// watch begins to look at the slots. Those that have changed their node since the position's
// slots were noted have moved. Of one server there are none.
func (r *Redis) watch(ctx context.Context, pos *Position) (*moves, error) {
	m := &moves{redis: r, pos: pos}
	if r.cluster == nil {
		return m, nil
	}
	return m, m.compare(ctx)
}

// look compares where slots are with where they were, now and then.
func (m *moves) look(ctx context.Context) error {
	if m.redis.cluster == nil || time.Since(m.looked) < lookEvery {
		return nil
	}
	return m.compare(ctx)
}

func (m *moves) compare(ctx context.Context) error {
	slots, moving, err := m.redis.slots(ctx)
	if err != nil {
		return err
	}
	moved := slices.Clone(m.pos.Moved)
	moved = append(moved, moving...)
	if m.pos.Slots != nil {
		moved = append(moved, differing(owners(m.pos.Slots), owners(slots))...)
	}
	slices.Sort(moved)
	m.pos.Slots, m.pos.Moved, m.moving, m.looked = slots, slices.Compact(moved), moving, time.Now()
	return nil
}

// sweep visits all keys of slots that have moved, again until none has.
func (m *moves) sweep(ctx context.Context, match string, visit func(keys []string) error) error {
	if m.redis.cluster == nil {
		return nil
	}
	for range maxSweeps {
		if err := m.compare(ctx); err != nil {
			return err
		}
		if len(m.pos.Moved) == 0 {
			return nil
		}
		wanted := m.pos.Moved
		m.pos.Moved = nil
		nodes, _, err := m.redis.survey(ctx)
		if err != nil {
			return err
		}
		// Twice in the same order: whichever way a slot goes, where it comes from is read
		// before where it goes to.
		for _, n := range slices.Concat(nodes, nodes) {
			err := each(ctx, n.client(0), match, 0, func(keys []string, _ uint64) error {
				keys, err := inSlots(ctx, n.client(0), keys, wanted)
				if err != nil || len(keys) == 0 {
					return err
				}
				return visit(keys)
			})
			if err != nil {
				return fmt.Errorf("SCAN: %w", err)
			}
		}
		still := m.moving
		if err := m.compare(ctx); err != nil {
			return err
		}
		// A slot that was half moved all the time has been read as one that moves.
		if slices.Equal(m.pos.Moved, still) {
			m.pos.Moved = nil
			return nil
		}
	}
	return errRestless
}

// inSlots returns those of the keys that are in one of the slots.
func inSlots(ctx context.Context, c *redis.Client, keys []string, slots []int) ([]string, error) {
	pipe := c.Pipeline()
	asked := make([]*redis.IntCmd, len(keys))
	for i, key := range keys {
		asked[i] = pipe.ClusterKeySlot(ctx, key)
	}
	if _, err := pipe.Exec(ctx); err != nil && len(keys) > 0 {
		return nil, fmt.Errorf("CLUSTER KEYSLOT: %w", err)
	}
	var in []string
	for i, key := range keys {
		if _, ok := slices.BinarySearch(slots, int(asked[i].Val())); ok {
			in = append(in, key)
		}
	}
	return in, nil
}

// slots asks all nodes for their own slots, and for those that are half moved.
func (r *Redis) slots(ctx context.Context) (all map[string]string, moving []int, err error) {
	all = map[string]string{}
	var mu sync.Mutex
	err = r.cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error {
		text, err := c.ClusterNodes(ctx).Result()
		if err != nil {
			return fmt.Errorf("CLUSTER NODES: %w", err)
		}
		id, ranges, half := ownSlots(text)
		mu.Lock()
		defer mu.Unlock()
		all[id] = ranges
		moving = append(moving, half...)
		return nil
	})
	slices.Sort(moving)
	return all, slices.Compact(moving), err
}

// ownSlots reads of a node's answer to CLUSTER NODES the line about itself:
//
//	id addr myself,… primary ping pong epoch state range… [slot->-node]… [slot-<-node]…
func ownSlots(text string) (id, ranges string, moving []int) {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 8 || !strings.Contains(words[2], "myself") {
			continue
		}
		var own []string
		for _, word := range words[8:] {
			half, isHalf := strings.CutPrefix(word, "[")
			if !isHalf {
				own = append(own, word)
				continue
			}
			number, _, _ := strings.Cut(half, "-")
			if slot, err := strconv.Atoi(number); err == nil {
				moving = append(moving, slot)
			}
		}
		return words[0], strings.Join(own, " "), moving
	}
	return "", "", nil
}

// owners are the nodes of all slots, as what CLUSTER NODES calls the ranges.
func owners(slots map[string]string) []string {
	all := make([]string, hashSlots)
	for _, id := range slices.Sorted(maps.Keys(slots)) {
		for r := range strings.FieldsSeq(slots[id]) {
			first, last, several := strings.Cut(r, "-")
			if !several {
				last = first
			}
			from, err := strconv.Atoi(first)
			to, toErr := strconv.Atoi(last)
			if err != nil || toErr != nil {
				continue
			}
			for slot := max(0, from); slot <= min(to, hashSlots-1); slot++ {
				all[slot] = id
			}
		}
	}
	return all
}

func differing(a, b []string) (slots []int) {
	for i := range a {
		if a[i] != b[i] {
			slots = append(slots, i)
		}
	}
	return slots
}
