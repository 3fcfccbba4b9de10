package control

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/respgate/respgate/auth"
	"github.com/respgate/respgate/internal/testbed/stores"
	"github.com/respgate/respgate/tenant"
)

func testAuthenticate(t *testing.T, open stores.Opener) {
	ctx := t.Context()
	w := newWorld(t, open)
	u, gone := w.user(t), w.user(t)
	live, revoked, expired := w.token(t, u, tenant.APIToken), w.token(t, u, tenant.APIToken), auth.GenerateToken()
	must[tenant.Token](t)(w.store.CreateToken(ctx, tenant.Token{ID: expired.ID, SecretHash: expired.Hash, UserID: u.ID, Kind: tenant.APIToken, ExpiresAt: time.Now().Add(-time.Second)}))
	must[bool](t)(w.store.RevokeToken(ctx, revoked.ID))
	disabled := w.token(t, gone, tenant.APIToken)
	must[tenant.User](t)(w.store.UpdateUser(ctx, gone.ID, disable))
	forged := auth.GenerateToken().Text.Reveal()
	otherSecret := "rgt_" + live.ID + auth.GenerateFor(live.ID).Text.Reveal()[len("rg_")+12:] // not the checksum
	for _, tt := range []struct {
		name string
		text tenant.Secret
		want string
	}{
		{"a live one", live.Text, "yes"},
		{"again", live.Text, "yes"},
		{"the operator's", adminToken, "yes"},
		{"none", "", "who"},
		{"the operator's and more", adminToken + "x", "who"},
		{"a revoked one", revoked.Text, "who"},
		{"an expired one", expired.Text, "who"},
		{"a disabled user's", disabled.Text, "who"},
		{"one that nobody made", tenant.Secret(forged), "who"},
		{"another secret", tenant.Secret(otherSecret), "who"},
		{"an API key", auth.Generate().Text, "who"},
	} {
		for range 2 { // asked for, and remembered
			a, err := w.Authenticate(ctx, tt.text, address)
			if answer(err) != tt.want || err != nil && err.Error() != "the token is not valid" {
				t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
			}
			if err == nil && (a.Address != address || tt.text == live.Text && (a.User.ID != u.ID || a.Token.ID != live.ID || a.Token.SecretHash != [32]byte{} || a.User.PasswordHash != "")) {
				t.Errorf("%s: %+v", tt.name, a)
			}
		}
	}
	if kept, _, err := w.store.Token(ctx, live.ID); err != nil || time.Since(kept.LastUsedAt).Abs() > time.Minute {
		t.Errorf("the live one was last used at %v, %v, want now", kept.LastUsedAt, err)
	}
	without := New(Config{}, w.store)
	if _, err := without.Authenticate(ctx, "", address); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("without an operator's token, none lets in: %v", err)
	}
	if n := len(w.events(t)); n != 0 {
		t.Errorf("%d events, want none", n)
	}
}

// testAuthenticateRemembers for half a second what the store said, and no longer, and
// forgets it where it is revoked here.
func testAuthenticateRemembers(t *testing.T, open stores.Opener) {
	ctx := t.Context()
	now := time.Now()
	w := newWorld(t, open, func(c *Config) { c.Now = func() time.Time { return now } })
	made := w.token(t, w.actors["viewer"].User, tenant.APIToken)
	check := func(when, want string) {
		t.Helper()
		if _, err := w.Authenticate(ctx, made.Text, address); answer(err) != want {
			t.Errorf("%s: %v, want %s", when, err, want)
		}
	}
	check("at first", "yes")
	must[bool](t)(w.store.RevokeToken(ctx, made.ID)) // by another process
	now = now.Add(bearerTTL - 1)
	check("before it is asked again", "yes")
	now = now.Add(1)
	check("when it is asked again", "who")

	made = w.token(t, w.actors["viewer"].User, tenant.APIToken)
	check("another", "yes")
	if err := w.RevokeToken(ctx, w.actors["viewer"], "", made.ID); err != nil {
		t.Error(err)
	}
	check("revoked here", "who")

	made = w.token(t, w.actors["viewer"].User, tenant.APIToken)
	check("a third", "yes")
	now = made.ExpiresAt
	check("when it ends", "who")
}

// testAuthenticateIsAway: while the store cannot be asked nobody is told that a token is
// wrong, and it is asked again.
func testAuthenticateIsAway(t *testing.T, open stores.Opener) {
	w := newWorld(t, open)
	made := w.token(t, w.actors["viewer"].User, tenant.APIToken)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Authenticate(ctx, made.Text, address); err == nil || errors.Is(err, ErrUnauthenticated) {
		t.Errorf("got %v, want the store's error", err)
	}
	must[Actor](t)(w.Authenticate(t.Context(), made.Text, address))
}

func TestBearersAreBounded(t *testing.T) {
	c, now := newBearers(), time.Now()
	for i := range 3 * maxBearers {
		var sum [32]byte
		copy(sum[:], fmt.Sprint(i))
		c.keep(sum, bearer{}, now, 0)
	}
	if len(c.of) > maxBearers {
		t.Errorf("%d are remembered, want at most %d", len(c.of), maxBearers)
	}
	_, _, era := c.find([32]byte{}, now)
	c.forget()
	c.keep([32]byte{}, bearer{}, now, era)
	if _, ok, _ := c.find([32]byte{}, now); ok {
		t.Error("what was read before all was forgotten is kept, want it not to be")
	}
}
