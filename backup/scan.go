package backup

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/redis/go-redis/v9"
)

// scanCount is how many keys SCAN is asked to look at: well under a millisecond's work, for
// which the server's clients wait.
const scanCount = 500

// Position is how far a scan has come.
type Position struct {
	Places []Place           `json:"places,omitempty"` // those that have been begun
	Slots  map[string]string `json:"slots,omitempty"`  // of a cluster's nodes, when they were looked at last
	Moved  []int             `json:"moved,omitempty"`  // slots that have moved since the beginning
}

// Place is how far the scan of a node's database has come.
type Place struct {
	Node   string `json:"node,omitempty"` // as its cluster names it
	Run    string `json:"run"`            // of the process that gave the cursor
	DB     int    `json:"db"`
	Cursor uint64 `json:"cursor,omitempty"`
	Done   bool   `json:"done,omitempty"`
}

// place returns that of a node's database. A cursor that another process has given means
// nothing: that scan begins anew.
func (p *Position) place(n node, db int) *Place {
	for i := range p.Places {
		at := &p.Places[i]
		if at.Node != n.id || at.DB != db {
			continue
		}
		if at.Run != n.run && !at.Done {
			at.Cursor = 0
		}
		at.Run = n.run
		return at
	}
	p.Places = append(p.Places, Place{Node: n.id, Run: n.run, DB: db})
	return &p.Places[len(p.Places)-1]
}

// clone is a copy that later steps of the scan do not change.
func (p *Position) clone() Position {
	return Position{Places: slices.Clone(p.Places), Slots: maps.Clone(p.Slots), Moved: slices.Clone(p.Moved)}
}

// scan calls visit for all keys, some at a time, with the position after them. A key that is
// there from the beginning to the end comes at least once, and may come twice: so it is with
// SCAN, and so it is made to be with slots that move meanwhile. pos is where it begins, and
// is moved on.
func (r *Redis) scan(ctx context.Context, match string, databases []int, pos *Position, visit func(db int, keys []string, at Position) error) error {
	nodes, info, err := r.survey(ctx)
	if err != nil {
		return err
	}
	if databases == nil {
		databases = slices.Sorted(maps.Keys(info.Databases))
	}
	moves, err := r.watch(ctx, pos)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		for _, db := range databases {
			at := pos.place(n, db)
			if at.Done {
				continue
			}
			err := each(ctx, n.client(db), match, at.Cursor, func(keys []string, cursor uint64) error {
				if err := moves.look(ctx); err != nil {
					return err
				}
				at := pos.place(n, db)
				at.Cursor, at.Done = cursor, cursor == 0
				return visit(db, keys, pos.clone())
			})
			if err != nil {
				return fmt.Errorf("SCAN: %w", err)
			}
		}
	}
	return moves.sweep(ctx, match, func(keys []string) error { return visit(0, keys, pos.clone()) })
}

// each scans one database of one node from a cursor on.
func each(ctx context.Context, c *redis.Client, match string, cursor uint64, visit func(keys []string, cursor uint64) error) error {
	for {
		keys, next, err := c.Scan(ctx, cursor, match, scanCount).Result()
		if err != nil {
			return err
		}
		if err := visit(keys, next); err != nil {
			return err
		}
		if next == 0 {
			return nil
		}
		cursor = next
	}
}
