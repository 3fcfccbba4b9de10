package store

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/respgate/respgate/tenant"
)

func testKeys(t *testing.T, s *Store) {
	ctx := t.Context()
	made := seed(t, s, "acme", "000000000001", "cache", "queue")
	if got, err := s.Key(ctx, made.ID); err != nil || got.Limits.Rate != nil || got.SecretHash != made.SecretHash || !slices.Equal(got.Instances, made.Instances) || !got.CreatedAt.Equal(made.CreatedAt) {
		t.Errorf("read %+v, %v, want %+v", got, err, made)
	}
	_, err := s.CreateKey(ctx, made)
	wantError(t, err, ErrConflict, "key 000000000001 exists already")
	rate, burst, expires := 5, 0, time.Now().Add(time.Hour)
	changed, err := s.UpdateKey(ctx, made.ID, func(k *tenant.Key) error {
		k.Name, k.Limits.Rate, k.Limits.Burst, k.Commands, k.Instances, k.ExpiresAt = "api", &rate, &burst, "+get", []string{"queue"}, expires
		k.SecretHash, k.Org, k.ID, k.RevokedAt = [32]byte{9}, "other", "other", expires // are not for it to change
		return nil
	})
	if err != nil || changed.SecretHash != made.SecretHash || changed.Org != "acme" || !changed.RevokedAt.IsZero() {
		t.Errorf("changed %+v, %v", changed, err)
	}
	got := must[tenant.Key](t)(s.Key(ctx, made.ID))
	if got.Name != "api" || *got.Limits.Rate != 5 || *got.Limits.Burst != 0 || got.Commands != "+get" || !slices.Equal(got.Instances, []string{"queue"}) || !got.ExpiresAt.Equal(expires.UTC().Truncate(time.Millisecond)) {
		t.Errorf("after the change: %+v", got)
	}
	no := errors.New("no")
	if _, err := s.UpdateKey(ctx, made.ID, func(k *tenant.Key) error { k.Name = "x"; return no }); !errors.Is(err, no) {
		t.Errorf("a refused change: %v", err)
	}
	if got := must[tenant.Key](t)(s.Key(ctx, made.ID)); got.Name != "api" {
		t.Errorf("after a refused change: %+v", got)
	}
	in := func(k *tenant.Key) error { *k.Limits.Rate++; k.Instances[0] = "cache"; return nil }
	if got, err := s.UpdateKey(ctx, made.ID, in); err != nil || *got.Limits.Rate != 6 || *must[tenant.Key](t)(s.Key(ctx, made.ID)).Limits.Rate != 6 {
		t.Errorf("changed in place: %+v, %v", got, err)
	}
	if got, err := s.RotateKey(ctx, made.ID, [32]byte{7}, 0, 0); err != nil || got.SecretHash != [32]byte{7} {
		t.Errorf("rotated %+v, %v", got, err)
	}
	seed(t, s, "globex", "000000000002", "cache")
	if n, err := s.ResetLimits(ctx, ""); err != nil || n != 2 {
		t.Errorf("reset %d keys, %v, want 2", n, err)
	}
	if n, err := s.ResetLimits(ctx, made.ID); err != nil || n != 1 || must[tenant.Key](t)(s.Key(ctx, made.ID)).Limits.Reset != 2 {
		t.Errorf("reset %d, %v", n, err)
	}
	revoked, err := s.RevokeKey(ctx, made.ID, 0)
	if err != nil || revoked.RevokedAt.IsZero() {
		t.Errorf("revoked %+v, %v", revoked, err)
	}
	if again, err := s.RevokeKey(ctx, made.ID, 0); err != nil || !again.RevokedAt.Equal(revoked.RevokedAt) {
		t.Errorf("revoked again %+v, %v", again, err)
	}
	_, err = s.RotateKey(ctx, made.ID, [32]byte{8}, 0, 0)
	wantError(t, err, ErrConflict, "is revoked")
	id := func(k tenant.Key) string { return k.ID }
	if all, err := s.Keys(ctx, "", Page{}); err != nil || names(all, id) != "000000000001 000000000002" {
		t.Errorf("all: %s, %v", names(all, id), err)
	}
	if all, err := s.Keys(ctx, "acme", Page{}); err != nil || names(all, id) != made.ID {
		t.Errorf("acme's: %s, %v", names(all, id), err)
	}
	if got, err := s.Counts(ctx); err != nil || got != (tenant.Counts{Organizations: 2, Instances: 3, Keys: 1}) {
		t.Errorf("counts %+v, %v", got, err)
	}
	if err := s.DeleteKey(ctx, made.ID, 0); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{
		"delete": s.DeleteKey(ctx, made.ID, 0),
		"reset":  second(s.ResetLimits(ctx, made.ID)),
		"revoke": second(s.RevokeKey(ctx, made.ID, 0)),
		"rotate": second(s.RotateKey(ctx, made.ID, [32]byte{}, 0, 0)),
		"update": second(s.UpdateKey(ctx, made.ID, func(*tenant.Key) error { return nil })),
	} {
		if !errors.Is(err, tenant.ErrNotFound) {
			t.Errorf("%s of a key that is not there: %v", what, err)
		}
	}
}

func testGrants(t *testing.T, s *Store) {
	ctx := t.Context()
	k := seed(t, s, "acme", "000000000001", "zeta", "alpha")
	g, err := s.Grant(ctx, k.ID)
	label := func(r tenant.Route) string { return r.Label + "=" + r.Instance + "=" + r.URL.Reveal() }
	want := "acme/zeta=zeta=" + testURL.Reveal() + " acme/alpha=alpha=" + testURL.Reveal()
	if err != nil || names(g.Routes, label) != want || g.Key.ID != k.ID || g.Key.SecretHash != k.SecretHash {
		t.Errorf("got %+v, routes %s, %v, want routes %s", g.Key, names(g.Routes, label), err, want)
	}
	_, err = s.Grant(ctx, "nosuch")
	wantError(t, err, tenant.ErrNotFound, `key "nosuch" not found`)
	must[tenant.Key](t)(s.RevokeKey(ctx, k.ID, 0))
	if g, err := s.Grant(ctx, k.ID); err != nil || g.Key.RevokedAt.IsZero() {
		t.Errorf("a revoked key: %+v, %v", g, err)
	}
}
