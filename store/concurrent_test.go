package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

// testWrittenAtOnce: two stores on one database, as of two processes, never exceed a
// quota, skip a version, lose a use or an organization's last owner.
func testWrittenAtOnce(t *testing.T, pg *testbed.PostgresServer) {
	dsn := pg.Database()
	stores := []*Store{openPostgresAt(t, dsn, nil), openPostgresAt(t, dsn, nil)}
	s, ctx := stores[0], t.Context()
	const room, each = 5, 10
	must[tenant.Organization](t)(s.CreateOrganization(ctx, tenant.Organization{Name: "acme", Quota: tenant.Quota{MaxInstances: room, MaxKeys: room, MaxMembers: room}}))
	cache := must[tenant.Instance](t)(s.CreateInstance(ctx, tenant.Instance{Org: "acme", Name: "cache", URL: testURL}))
	key := must[tenant.Key](t)(s.CreateKey(ctx, tenant.Key{ID: "000000000001", Org: "acme", Name: "web", Instances: []string{"cache"}}))
	var users []tenant.User
	for i := range 2 * each {
		users = append(users, must[tenant.User](t)(s.CreateUser(ctx, tenant.User{Email: fmt.Sprintf("u%d@example.com", i)})))
	}
	for _, u := range users[:2] {
		must[tenant.Membership](t)(s.SetMember(ctx, "acme", u.ID, tenant.Owner))
	}
	invitation := must[tenant.Token](t)(s.CreateToken(ctx, tenant.Token{ID: "00000000000a", UserID: users[0].ID, Kind: tenant.Invitation}))
	minute := time.Now().Truncate(time.Minute)

	var wg sync.WaitGroup
	var made, keys, members, resets, firsts, removed, claimed atomic.Int64
	count := func(n *atomic.Int64, kind, err error) { // a success, or an error of that kind
		switch {
		case err == nil:
			n.Add(1)
		case !errors.Is(err, kind):
			t.Error(err)
		}
	}
	for w, s := range stores {
		wg.Go(func() {
			for i := range each {
				name := fmt.Sprintf("i%d-%d", w, i)
				count(&made, ErrQuota, second(s.CreateInstance(ctx, tenant.Instance{Org: "acme", Name: name, URL: testURL})))
				id := strings.Repeat("0", 9) + fmt.Sprintf("%d%02d", w+1, i)
				count(&keys, ErrQuota, second(s.CreateKey(ctx, tenant.Key{ID: id, Org: "acme", Name: "web", Instances: []string{"cache"}})))
				count(&members, ErrQuota, second(s.SetMember(ctx, "acme", users[2+w*(each-1)+i%(each-1)].ID, tenant.Viewer)))
				count(&resets, nil, second(s.UpdateKey(ctx, key.ID, func(k *tenant.Key) error { k.Limits.Reset++; return nil })))
				count(new(atomic.Int64), nil, s.AddUsage(ctx, []tenant.Usage{{KeyID: key.ID, InstanceID: cache.ID, At: minute, Commands: 1}}))
			}
		})
		wg.Go(func() { count(&removed, ErrConflict, s.RemoveMember(ctx, "acme", users[w].ID)) })
		wg.Go(func() {
			first, err := s.RevokeToken(ctx, invitation.ID)
			if first {
				firsts.Add(1)
			}
			if err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() { count(&claimed, ErrConflict, third(s.Claim(ctx, "ann", "k", [32]byte{1}, minute))) })
	}
	wg.Wait()
	if made.Load() != room-1 || keys.Load() != room-1 {
		t.Errorf("made %d instances and %d keys beside one, want %d", made.Load(), keys.Load(), room-1)
	}
	all := must[[]tenant.Membership](t)(s.Members(ctx, "acme", Page{}))
	if len(all) > room || removed.Load() != 1 || !hasOwner(all) {
		t.Errorf("%d owners went, members are %+v, want an owner and at most %d", removed.Load(), all, room)
	}
	if k := must[tenant.Key](t)(s.Key(ctx, key.ID)); resets.Load() != 2*each || k.Version != 1+2*each || k.Limits.Reset != 2*each {
		t.Errorf("%d changes made %+v, want version %d", resets.Load(), k, 1+2*each)
	}
	if firsts.Load() != 1 || claimed.Load() != 1 {
		t.Errorf("%d used the invitation first and %d claimed the request, want 1", firsts.Load(), claimed.Load())
	}
	if used := must[[]UsageSum](t)(s.Usage(ctx, UsageFilter{})); len(used) != 1 || used[0].Commands != 2*each {
		t.Errorf("usage is %+v, want %d commands", used, 2*each)
	}
}

func third[A, B any](_ A, _ B, err error) error { return err }

func hasOwner(all []tenant.Membership) bool {
	for _, m := range all {
		if m.Role == tenant.Owner {
			return true
		}
	}
	return false
}

// testIndexes: lists of what there is much of read an index, not the table.
func testIndexes(t *testing.T, pg *testbed.PostgresServer) {
	s, ctx := openPostgresAt(t, pg.Database(), nil), t.Context()
	seed(t, s, "acme", "000000000001", "cache")
	for _, fill := range []string{
		`INSERT INTO audit (` + eventColumns + `) SELECT i, '', 'a' || i % 100, '', '', '', 'x' || i % 100, 'o' || i % 100, '', 'key', 't' || i % 1000, '', NULL, NULL, '', '' FROM generate_series(1, 20000) i`,
		`INSERT INTO usage SELECT k.id, i.id, at * 60000, 1, 1, 1, 1, 1 FROM api_keys k, instances i, generate_series(1, 20000) at`,
		`ANALYZE`,
	} {
		if _, err := s.db.ExecContext(ctx, fill); err != nil {
			t.Fatal(err)
		}
	}
	seen := &explained{statements: s.db}
	s.db = seen
	at := time.UnixMilli(600_000)
	for _, c := range []struct {
		name, index string
		list        func() error
	}{
		{"events", "audit_pkey", func() error { return second(s.Events(ctx, EventFilter{}, Page{Limit: 10, After: "9000"})) }},
		{"events of an organization", "audit_org", func() error { return second(s.Events(ctx, EventFilter{OrgID: "o1"}, Page{Limit: 10})) }},
		{"events of an action", "audit_action", func() error { return second(s.Events(ctx, EventFilter{Action: "x1"}, Page{Limit: 10})) }},
		{"events by an actor", "audit_actor", func() error { return second(s.Events(ctx, EventFilter{ActorID: "a1"}, Page{Limit: 10})) }},
		{"events on a target", "audit_target", func() error { return second(s.Events(ctx, EventFilter{TargetID: "t1"}, Page{Limit: 10})) }},
		{"events of a time", "audit_at", func() error {
			return second(s.Events(ctx, EventFilter{From: at, To: at.Add(time.Second)}, Page{Limit: 10}))
		}},
		{"usage of a key", "usage_", func() error {
			return second(s.Usage(ctx, UsageFilter{KeyID: "000000000001", From: at, To: at.Add(time.Hour)}))
		}},
		{"usage of an instance", "usage_", func() error {
			return second(s.Usage(ctx, UsageFilter{InstanceID: "nosuch", From: at, To: at.Add(time.Hour)}))
		}},
		{"usage of a time", "usage_at", func() error { return second(s.Usage(ctx, UsageFilter{From: at, To: at.Add(time.Hour)})) }},
	} {
		if err := c.list(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if !strings.Contains(seen.plan, "using "+c.index) && !strings.Contains(seen.plan, "Bitmap Index Scan on "+c.index) {
			t.Errorf("%s does not read index %s:\n%s", c.name, c.index, seen.plan)
		}
	}
}

// explained notes the plan of the last list.
type explained struct {
	statements
	plan string
}

func (e *explained) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	lines, err := list(ctx, e.statements, func(row scanner) (line string, err error) { return line, row.Scan(&line) }, "EXPLAIN "+query, args...)
	if err != nil {
		return nil, err
	}
	e.plan = strings.Join(lines, "\n")
	return e.statements.QueryContext(ctx, query, args...)
}
