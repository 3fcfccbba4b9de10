package store

import (
	"slices"
	"testing"
	"time"

	"github.com/respgate/respgate/tenant"
)

// testMoves has proxies hear of a move and say that they hold, and its mover switch.
func testMoves(t *testing.T, s *Store) {
	ctx := t.Context()
	const key = "000000000001"
	seed(t, s, "acme", key, "cache", "queue")
	before := must[tenant.Changes](t)(s.Changes(ctx, 0))
	east, west := tenant.Proxy{ID: "east01", Region: "eu", StartedAt: now(), SeenAt: now()}, tenant.Proxy{ID: "west01", StartedAt: now(), SeenAt: now()}
	for _, p := range []tenant.Proxy{east, west} {
		if m, err := s.ReportProxy(ctx, p, map[string]bool{"no such move": true}); err != nil || len(m.All) > 0 || m.Seq != before.Seq {
			t.Errorf("before a move a proxy is told %+v, %v", m, err)
		}
	}
	m, in, err := s.BeginMove(ctx, "acme", "cache", "new:6379")
	if err != nil || m.InstanceID != in.ID || m.Label != "acme/cache" || m.Token == "" || in.URL != testURL {
		t.Fatalf("the move is %+v of %+v, %v", m, in, err)
	}
	_, _, err = s.BeginMove(ctx, "acme", "cache", "new:6379")
	wantError(t, err, ErrConflict, "is being moved already")
	_, _, err = s.BeginMove(ctx, "acme", "nothing", "other:6379")
	wantError(t, err, tenant.ErrNotFound, "nothing")
	_, _, err = s.BeginMove(ctx, "acme", "queue", "new:6379")
	wantError(t, err, ErrInvalid, "is being moved to the same backend")
	if c, err := s.Changes(ctx, before.Seq); err != nil || c.Moves != 1 || c.Seq <= before.Seq || len(c.Keys) > 0 {
		t.Errorf("changes tell %+v, %v, want one move and no key", c, err)
	}
	told := must[tenant.Moves](t)(s.ReportProxy(ctx, east, map[string]bool{m.Token: false}))
	if !slices.Equal(told.All, []tenant.Move{m}) {
		t.Errorf("a proxy is told %+v, want %+v", told.All, m)
	}
	_, err = s.FinishMove(ctx, m.Token, in.Version, "redis://new")
	wantError(t, err, tenant.ErrNotFound, "it is over") // it does not hold
	if err := s.HoldMove(ctx, m.Token); err != nil {
		t.Fatal(err)
	}
	if told = must[tenant.Moves](t)(s.ReportProxy(ctx, east, map[string]bool{m.Token: true})); !told.All[0].Holding {
		t.Errorf("a proxy is told %+v, want that it holds", told.All)
	}
	r := must[tenant.MoveReports](t)(s.WatchMove(ctx, m.Token))
	east.Beat, west.Beat = 3, 1
	if !slices.Equal(r.Proxies, []tenant.Proxy{east, west}) || len(r.Holding) != 1 || !r.Holding["east01"] {
		t.Errorf("the mover sees %+v", r)
	}
	if err := s.ForgetProxy(ctx, "east01"); err != nil {
		t.Fatal(err)
	}
	if r = must[tenant.MoveReports](t)(s.WatchMove(ctx, m.Token)); len(r.Proxies) != 1 || len(r.Holding) != 0 {
		t.Errorf("of a proxy that has ended the mover sees %+v", r)
	}
	_, err = s.FinishMove(ctx, m.Token, in.Version+1, "redis://new")
	wantError(t, err, ErrStale, "")
	_, err = s.FinishMove(ctx, m.Token, in.Version, "")
	wantError(t, err, ErrInvalid, "instance URL")
	seq, err := s.FinishMove(ctx, m.Token, in.Version, "redis://new")
	if err != nil {
		t.Fatal(err)
	}
	c := must[tenant.Changes](t)(s.Changes(ctx, before.Seq))
	if c.Moves != 0 || c.Seq != seq || !slices.Equal(c.Keys, []string{key}) {
		t.Errorf("after the switch, number %d, changes are %+v", seq, c)
	}
	if g := must[tenant.Grant](t)(s.Grant(ctx, key)); g.Routes[0].URL != "redis://new" || g.Routes[1].URL != testURL {
		t.Errorf("the key opens %+v", g.Routes)
	}
	_, err = s.WatchMove(ctx, m.Token)
	wantError(t, err, tenant.ErrNotFound, "it is over")
	if got := must[tenant.Instance](t)(s.Instance(ctx, "acme", "cache")); got.Version != in.Version+1 {
		t.Errorf("the instance's version is %d, want %d", got.Version, in.Version+1)
	}
}

// testMoveEnds: a move ends when its mover says so, or has not been heard of; what was
// about to be switched is not.
func testMoveEnds(t *testing.T, s *Store) {
	ctx := t.Context()
	seed(t, s, "acme", "000000000001", "cache")
	begin := func() tenant.Move {
		t.Helper()
		m, _, err := s.BeginMove(ctx, "acme", "cache", "new:6379")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.HoldMove(ctx, m.Token); err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := begin()
	must[tenant.MoveReports](t)(s.WatchMove(ctx, m.Token))
	if ended, err := s.EndMove(ctx, m.Token, m.Beat); err != nil || ended {
		t.Errorf("a move whose mover was heard of since has ended: %v, %v", ended, err)
	}
	if ended, err := s.EndMove(ctx, m.Token, m.Beat+1); err != nil || !ended {
		t.Errorf("a move whose mover is silent has not ended: %v, %v", ended, err)
	}
	_, err := s.FinishMove(ctx, m.Token, 1, "redis://new")
	wantError(t, err, tenant.ErrNotFound, "it is over")
	if in := must[tenant.Instance](t)(s.Instance(ctx, "acme", "cache")); in.URL != testURL || in.Version != 1 {
		t.Errorf("the instance is %+v", in)
	}
	m = begin()
	if all := must[[]tenant.Move](t)(s.Moves(ctx)); len(all) != 1 || all[0].Token != m.Token || !all[0].Holding {
		t.Errorf("moves are %+v", all)
	}
	if err := s.DeleteInstance(ctx, "acme", "cache", Deletion{Force: true}); err != nil {
		t.Fatal(err)
	}
	_, err = s.FinishMove(ctx, m.Token, 1, "redis://new")
	wantError(t, err, tenant.ErrNotFound, "the instance")
	if ended, err := s.EndMove(ctx, m.Token, 0); err != nil || !ended {
		t.Errorf("a move of what is deleted has not ended: %v, %v", ended, err)
	}
	if ended, err := s.EndMove(ctx, m.Token, 0); err != nil || ended {
		t.Errorf("a move that is over has ended: %v, %v", ended, err)
	}
}

// testProxies: a proxy that has ended without a word is purged.
func testProxies(t *testing.T, s *Store) {
	ctx := t.Context()
	for id, ago := range map[string]time.Duration{"old001": 25 * time.Hour, "new001": time.Hour} {
		if _, err := s.ReportProxy(ctx, tenant.Proxy{ID: id, StartedAt: now().Add(-ago), SeenAt: now().Add(-ago)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if p := must[Purged](t)(s.Purge(ctx, PurgeBefore{Proxies: now().Add(-24 * time.Hour)})); p.Proxies != 1 {
		t.Errorf("purged %+v, want one proxy", p)
	}
	if all := must[[]tenant.Proxy](t)(s.Proxies(ctx)); len(all) != 1 || all[0].ID != "new001" {
		t.Errorf("left are %+v", all)
	}
}
