package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/respgate/respgate/tenant"
)

const (
	eventColumns = "at, actor, actor_id, actor_name, token_id, address, action, org_id, org, target, target_id, name, before, after, outcome, detail"
	eventRow     = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

// AppendEvents adds events to the audit log, all or none, in their order. Those without a
// time happened now. Their Seq is not read.
func (s *Store) AppendEvents(ctx context.Context, events []tenant.Event) error {
	if len(events) == 0 {
		return nil
	}
	return s.write(ctx, "append_events", func(tx statements) error {
		for part := range slices.Chunk(events, rowsAtOnce) {
			var args []any
			for _, e := range part {
				if e.At.IsZero() {
					e.At = now()
				}
				args = append(args, millis(e.At), string(e.Actor), e.ActorID, e.ActorName, e.TokenID, e.Address, e.Action, e.OrgID, e.Org,
					e.Target, e.TargetID, e.Name, rawText(e.Before), rawText(e.After), string(e.Outcome), e.Detail)
			}
			if _, err := tx.ExecContext(ctx, "INSERT INTO audit ("+eventColumns+") VALUES "+values(eventRow, len(part)), args...); err != nil {
				return err
			}
		}
		return nil
	})
}

// rawText is how JSON is stored; nil stands for none.
func rawText(raw json.RawMessage) *string {
	if raw == nil {
		return nil
	}
	text := string(raw)
	return &text
}

// EventFilter says which events are wanted; what is zero does not matter.
type EventFilter struct {
	OrgID    string
	Action   string
	ActorID  string
	Target   string // the kind of what it was done to
	TargetID string
	From, To time.Time // from From on, before To
}

// Events returns events, the newest first; a page is after the Seq of one, in decimal.
func (s *Store) Events(ctx context.Context, f EventFilter, p Page) (all []tenant.Event, err error) {
	var w where
	w.equal("org_id", f.OrgID)
	w.equal("action", f.Action)
	w.equal("actor_id", f.ActorID)
	w.equal("target", f.Target)
	w.equal("target_id", f.TargetID)
	w.between("at", f.From, f.To)
	if p.After != "" {
		after, err := strconv.ParseInt(p.After, 10, 64)
		if err != nil {
			return nil, invalid("events after %.40q: want the number of one", p.After)
		}
		w.add("seq < ?", after)
	}
	err = s.read(ctx, "events", func() (err error) {
		all, err = list(ctx, s.db, scanEvent, "SELECT seq, "+eventColumns+" FROM audit"+w.String()+" ORDER BY seq DESC LIMIT ?", append(w.args, p.limit())...)
		return err
	})
	return all, err
}

func scanEvent(row scanner) (e tenant.Event, err error) {
	var at sql.NullInt64
	var actor, outcome string
	var before, after []byte
	err = row.Scan(&e.Seq, &at, &actor, &e.ActorID, &e.ActorName, &e.TokenID, &e.Address, &e.Action, &e.OrgID, &e.Org,
		&e.Target, &e.TargetID, &e.Name, &before, &after, &outcome, &e.Detail)
	e.At, e.Actor, e.Outcome, e.Before, e.After = fromMillis(at), tenant.ActorKind(actor), tenant.Outcome(outcome), before, after
	return e, err
}

// where is a condition that grows.
type where struct {
	all  []string
	args []any
}

func (w *where) add(condition string, arg any) {
	w.all, w.args = append(w.all, condition), append(w.args, arg)
}

// equal wants a value; "" does not matter.
func (w *where) equal(column, value string) {
	if value != "" {
		w.add(column+" = ?", value)
	}
}

// between wants a time from from on, before to, where these are not zero.
func (w *where) between(column string, from, to time.Time) {
	if !from.IsZero() {
		w.add(column+" >= ?", millis(from))
	}
	if !to.IsZero() {
		w.add(column+" < ?", millis(to))
	}
}

// String is the condition with the word WHERE, "" where there is none.
func (w *where) String() string {
	if len(w.all) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.all, " AND ")
}
