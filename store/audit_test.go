package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/tenant"
)

// testEvents: what is appended is read as it was, the newest first, by any filter.
func testEvents(t *testing.T, s *Store) {
	ctx := t.Context()
	noon := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	full := tenant.Event{
		At: noon, Actor: tenant.ByUser, ActorID: "ann", ActorName: "ann@example.com", TokenID: "t1", Address: "192.0.2.1", Action: "key.update",
		OrgID: "o1", Org: "acme", Target: "key", TargetID: "k1", Name: "web", Before: json.RawMessage(`{"rate": 1}`), After: json.RawMessage(`{"rate":2}`),
		Outcome: tenant.Done, Detail: "why",
	}
	events := []tenant.Event{
		full,
		{At: noon.Add(time.Minute), Actor: tenant.ByShell, Action: "key.delete", OrgID: "o1", Target: "key", TargetID: "k2", Outcome: tenant.Failed},
		{At: noon.Add(2 * time.Minute), Actor: tenant.ByUser, ActorID: "bob", Action: "key.update", OrgID: "o2", Target: "key", TargetID: "k3", Outcome: tenant.Denied},
		{At: noon.Add(3 * time.Minute), Actor: tenant.BySystem, Action: "instance.test", Target: "instance", TargetID: "k1"},
	}
	if err := errors.Join(s.AppendEvents(ctx, nil), s.AppendEvents(ctx, events[:2]), s.AppendEvents(ctx, events[2:])); err != nil {
		t.Fatal(err)
	}
	minutes := func(all []tenant.Event) (s string) {
		for _, e := range all {
			s += strconv.Itoa(e.At.Minute())
		}
		return s
	}
	for _, c := range []struct {
		name   string
		filter EventFilter
		want   string
	}{
		{"all", EventFilter{}, "3210"},
		{"organization", EventFilter{OrgID: "o1"}, "10"},
		{"action", EventFilter{Action: "key.update"}, "20"},
		{"actor", EventFilter{ActorID: "bob"}, "2"},
		{"kind of target", EventFilter{Target: "key"}, "210"},
		{"target", EventFilter{TargetID: "k1"}, "30"},
		{"from", EventFilter{From: noon.Add(time.Minute)}, "321"},
		{"to", EventFilter{To: noon.Add(time.Minute)}, "0"},
		{"all of them", EventFilter{"o1", "key.update", "ann", "key", "k1", noon, noon.Add(1)}, ""},
		{"with a millisecond", EventFilter{"o1", "key.update", "ann", "key", "k1", noon, noon.Add(time.Millisecond)}, "0"},
		{"none", EventFilter{OrgID: "o' OR '1'='1"}, ""},
	} {
		if all, err := s.Events(ctx, c.filter, Page{}); err != nil || minutes(all) != c.want {
			t.Errorf("%s: minutes %s, %v, want %s", c.name, minutes(all), err, c.want)
		}
		if paged := minutes(oneByOne(t, s, c.filter)); paged != c.want {
			t.Errorf("%s: pages of minutes %s, want %s", c.name, paged, c.want)
		}
	}
	_, err := s.Events(ctx, EventFilter{}, Page{After: "x"})
	wantError(t, err, ErrInvalid, `events after "x"`)
	got := must[[]tenant.Event](t)(s.Events(ctx, EventFilter{ActorID: "ann"}, Page{}))[0]
	if full.Seq = got.Seq; !reflect.DeepEqual(got, full) || got.Seq <= 0 {
		t.Errorf("read %+v, want %+v", got, full)
	}
}

// oneByOne reads events in pages of one.
func oneByOne(t *testing.T, s *Store, f EventFilter) (all []tenant.Event) {
	t.Helper()
	for p := (Page{Limit: 1}); ; p.After = strconv.FormatInt(all[len(all)-1].Seq, 10) {
		part := must[[]tenant.Event](t)(s.Events(t.Context(), f, p))
		if len(part) > 1 {
			t.Fatalf("page %+v has %d events", p, len(part))
		}
		if len(part) == 0 {
			return all
		}
		all = append(all, part...)
	}
}

// testManyEvents: more than one statement writes come in their order.
func testManyEvents(t *testing.T, s *Store) {
	ctx := t.Context()
	many := make([]tenant.Event, 2*rowsAtOnce+1)
	for i := range many {
		many[i] = tenant.Event{Action: "many", Detail: fmt.Sprint(i)}
	}
	if err := s.AppendEvents(ctx, many); err != nil {
		t.Fatal(err)
	}
	all := must[[]tenant.Event](t)(s.Events(ctx, EventFilter{Action: "many"}, Page{}))
	slices.Reverse(all)
	for i, e := range all {
		if e.Detail != fmt.Sprint(i) || time.Since(e.At).Abs() > time.Minute || e.Before != nil {
			t.Fatalf("event %d is %+v", i, e)
		}
	}
	if len(all) != len(many) {
		t.Errorf("%d events, want %d", len(all), len(many))
	}
}

// testOddText: text from clients may be anything, and does not make the store fail.
func testOddText(t *testing.T, s *Store) {
	ctx := t.Context()
	for _, odd := range []string{"a\x00b", "\xff\xfe", "a\xc3"} {
		for what, err := range map[string]error{
			"organization": second(s.Organization(ctx, odd)),
			"instance":     second(s.Instance(ctx, odd, odd)),
			"key":          second(s.Key(ctx, odd)),
			"user":         second(s.User(ctx, odd)),
			"e-mail":       second(s.UserByEmail(ctx, odd)),
			"certificate":  second(s.KeyByCertificate(ctx, []string{odd})),
			"restored":     second(s.RestoreOrganization(ctx, odd)),
		} {
			if !errors.Is(err, tenant.ErrNotFound) {
				t.Errorf("%s %q: %v, want not found", what, odd, err)
			}
		}
		if err := s.AppendEvents(ctx, []tenant.Event{{Action: "odd", Name: odd, Detail: "before " + odd}}); err != nil {
			t.Errorf("an event about %q: %v", odd, err)
		}
		if all, err := s.Organizations(ctx, Page{After: odd}); err != nil || len(all) > 0 {
			t.Errorf("organizations after %q: %v, %v", odd, all, err)
		}
	}
	all, err := s.Events(ctx, EventFilter{Action: "odd"}, Page{})
	if err != nil || len(all) != 3 || !strings.HasPrefix(all[0].Detail, "before ") {
		t.Errorf("events %+v, %v", all, err)
	}
}

func testStats(t *testing.T, s *Store) {
	tx := must[interface{ Rollback() error }](t)(s.raw.BeginTx(t.Context(), nil))
	if got := s.Stats(); got.InUse != 1 {
		t.Errorf("in a transaction: %+v, want one in use", got)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if got := s.Stats(); got.InUse != 0 || got.Idle == 0 {
		t.Errorf("then: %+v, want it idle", got)
	}
}
