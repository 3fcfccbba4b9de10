package store

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/tenant"
)

func testTokens(t *testing.T, s *Store) {
	ctx := t.Context()
	u := must[tenant.User](t)(s.CreateUser(ctx, tenant.User{Email: "erlich@example.com", PasswordHash: "$argon2id$…"}))
	expires := time.Now().Add(time.Hour)
	made, err := s.CreateToken(ctx, tenant.Token{
		ID: "00000000000a", UserID: u.ID, Kind: tenant.APIToken, Name: "ci", SecretHash: [32]byte{1, 2}, Rate: 5, Burst: 6,
		ExpiresAt: expires, RevokedAt: expires, LastUsedAt: expires, // the last two are not for it
	})
	if err != nil || !made.ExpiresAt.Equal(stored(expires)) || !made.RevokedAt.IsZero() || time.Since(made.CreatedAt).Abs() > time.Minute {
		t.Fatalf("created %+v, %v", made, err)
	}
	if got, of, err := s.Token(ctx, made.ID); err != nil || got != made || of != u {
		t.Errorf("read %+v of %+v, %v, want %+v of %+v", got, of, err, made, u)
	}
	_, err = s.CreateToken(ctx, made)
	wantError(t, err, ErrConflict, "token 00000000000a exists already")
	for _, id := range []string{"00000000000c", "00000000000b"} {
		must[tenant.Token](t)(s.CreateToken(ctx, tenant.Token{ID: id, UserID: u.ID, Kind: tenant.BrowserSign}))
	}
	must[tenant.Token](t)(s.CreateToken(ctx, tenant.Token{ID: "00000000000d", UserID: u.ID, Kind: tenant.Invitation}))
	for kind, want := range map[tenant.TokenKind]string{
		tenant.APIToken: "00000000000a", tenant.BrowserSign: "00000000000b 00000000000c", tenant.Invitation: "00000000000d",
		"": "00000000000a 00000000000b 00000000000c 00000000000d",
	} {
		all, err := s.Tokens(ctx, u.ID, kind, Page{})
		var ids []string
		for _, token := range all {
			ids = append(ids, token.ID)
		}
		slices.Sort(ids) // some are as old as others
		if err != nil || strings.Join(ids, " ") != want {
			t.Errorf("kind %q: %q, %v, want %s", kind, ids, err, want)
		}
	}
	_, err = s.Tokens(ctx, u.ID, "", Page{After: "x"})
	wantError(t, err, ErrInvalid, "tokens after")
	if first, err := s.RevokeToken(ctx, made.ID); err != nil || !first {
		t.Errorf("revoked first %v, %v", first, err)
	}
	revoked, _, err := s.Token(ctx, made.ID)
	if err != nil || revoked.RevokedAt.IsZero() {
		t.Errorf("then %+v, %v", revoked, err)
	}
	if first, err := s.RevokeToken(ctx, made.ID); err != nil || first {
		t.Errorf("revoked first %v, %v, want that it was before", first, err)
	}
	if again, _, err := s.Token(ctx, made.ID); err != nil || again != revoked {
		t.Errorf("revoked twice %+v, %v, want %+v", again, err, revoked)
	}
	wantError(t, second(s.RevokeToken(ctx, "nosuch")), tenant.ErrNotFound, `token "nosuch" not found`)
	// The tokens of who is disabled are there, those of who is deleted are not.
	must[tenant.User](t)(s.UpdateUser(ctx, u.ID, func(u *tenant.User) error { u.DisabledAt = time.Now(); return nil }))
	if _, of, err := s.Token(ctx, "00000000000b"); err != nil || of.DisabledAt.IsZero() {
		t.Errorf("of a disabled user: %+v, %v", of, err)
	}
	if err := s.DeleteUser(ctx, u.ID, 0); err != nil {
		t.Fatal(err)
	}
	_, _, err = s.Token(ctx, "00000000000b")
	wantError(t, err, tenant.ErrNotFound, `token "00000000000b" not found`)
	if err := s.Touch(ctx, nil, map[string]time.Time{"00000000000b": time.Now()}); err != nil {
		t.Errorf("used when it was deleted: %v", err)
	}
}

func testBadTokens(t *testing.T, s *Store) {
	ctx := t.Context()
	u := must[tenant.User](t)(s.CreateUser(ctx, tenant.User{Email: "ann@example.com"}))
	for name, bad := range map[string]func(*tenant.Token){
		"id":    func(t *tenant.Token) { t.ID = "short" },
		"kind":  func(t *tenant.Token) { t.Kind = "cookie" },
		"rate":  func(t *tenant.Token) { t.Rate = -1 },
		"burst": func(t *tenant.Token) { t.Burst = MaxRate + 1 },
		"name":  func(t *tenant.Token) { t.Name = " a" },
	} {
		token := tenant.Token{ID: "00000000000e", UserID: u.ID, Kind: tenant.APIToken}
		bad(&token)
		if _, err := s.CreateToken(ctx, token); err == nil {
			t.Errorf("a bad %s is taken", name)
		} else {
			wantError(t, err, ErrInvalid, "")
		}
	}
	_, err := s.CreateToken(ctx, tenant.Token{ID: "00000000000e", UserID: "nosuch", Kind: tenant.APIToken})
	wantError(t, err, tenant.ErrNotFound, `user "nosuch" not found`)
}

// testTouch: the last use is kept of all, never goes back, and is no change.
func testTouch(t *testing.T, s *Store) {
	ctx := t.Context()
	const key, token = "000000000001", "00000000000a"
	seed(t, s, "acme", key, "cache")
	u := must[tenant.User](t)(s.CreateUser(ctx, tenant.User{Email: "ann@example.com"}))
	must[tenant.Token](t)(s.CreateToken(ctx, tenant.Token{ID: token, UserID: u.ID, Kind: tenant.APIToken}))
	before := must[tenant.Changes](t)(s.Changes(ctx, 0)).Seq
	noon := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	many := map[string]time.Time{}
	for i := range rowsAtOnce + 1 {
		many[strings.Repeat("x", 9)+string(rune('0'+i/100))+string(rune('0'+i/10%10))+string(rune('0'+i%10))] = noon // are not there
	}
	for _, step := range []struct {
		at, want time.Time
	}{{noon, noon}, {noon.Add(-time.Hour), noon}, {noon.Add(time.Minute), noon.Add(time.Minute)}} {
		keys, tokens := maps.Clone(many), maps.Clone(many)
		keys[key], tokens[token] = step.at, step.at
		if err := s.Touch(ctx, keys, tokens); err != nil {
			t.Fatal(err)
		}
		k := must[tenant.Key](t)(s.Key(ctx, key))
		if tok, _, err := s.Token(ctx, token); err != nil || !k.LastUsedAt.Equal(step.want) || !tok.LastUsedAt.Equal(step.want) {
			t.Errorf("used at %v: the key was at %v, the token at %v, %v, want %v", step.at, k.LastUsedAt, tok.LastUsedAt, err, step.want)
		}
	}
	if err := s.Touch(ctx, nil, nil); err != nil {
		t.Error(err)
	}
	if c, err := s.Changes(ctx, before); err != nil || c.Seq != before {
		t.Errorf("changes %+v, %v, want none", c, err)
	}
	must[tenant.Key](t)(s.UpdateKey(ctx, key, func(k *tenant.Key) error { k.Name = "x"; return nil }))
	if k := must[tenant.Key](t)(s.Key(ctx, key)); !k.LastUsedAt.Equal(noon.Add(time.Minute)) {
		t.Errorf("after a change it was last used at %v", k.LastUsedAt)
	}
}
