package control

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed/stores"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

func disable(u *tenant.User) error { u.DisabledAt = time.Now(); return nil }

// testSignIn: whatever is wrong, the answer is the same, and only the event says whom it
// concerned.
func testSignIn(t *testing.T, open stores.Opener) {
	ctx := t.Context()
	w := newWorld(t, open)
	good, gone := w.user(t), w.user(t)
	must[tenant.User](t)(w.store.UpdateUser(ctx, gone.ID, disable))
	for _, tt := range []struct {
		name, email, noted string
		password           tenant.Secret
	}{
		{"wrong password", good.Email, good.Email, nextPassword},
		{"no password", good.Email, good.Email, ""},
		{"unknown user", "nobody@example.com", "", userPassword},
		{"a password for the address", nextPassword.Reveal(), "", userPassword},
		{"a disabled user", gone.Email, gone.Email, userPassword},
		{"a user without a password", w.actors["viewer"].User.Email, w.actors["viewer"].User.Email, ""},
	} {
		_, err := w.SignIn(ctx, Actor{Address: address}, Credentials{tt.email, tt.password})
		if !errors.Is(err, ErrUnauthenticated) || err.Error() != "wrong e-mail address or password" {
			t.Errorf("%s: %v, want the words for all", tt.name, err)
		}
		if e := w.last(t); e.Outcome != tenant.Denied || e.Name != tt.noted || e.Actor != tenant.ByNobody || e.Address != address {
			t.Errorf("%s: event %+v, want it denied to nobody, of %q", tt.name, e, tt.noted)
		}
	}
	made, err := w.SignIn(ctx, Actor{Address: address}, Credentials{strings.ToUpper(good.Email), userPassword})
	if err != nil || made.Kind != tenant.BrowserSign || made.SecretHash != [32]byte{} || time.Until(made.ExpiresAt).Round(time.Hour) != 12*time.Hour {
		t.Fatalf("signed in with %+v, %v", made.Token, err)
	}
	w.hide(made.Text, [32]byte{})
	if e := w.last(t); e.Outcome != tenant.Done || e.ActorID != good.ID || e.ActorName != good.Email || e.TokenID != made.ID {
		t.Errorf("event %+v, want the user and the token", e)
	}
	a := must[Actor](t)(w.Authenticate(ctx, made.Text, address))
	if a.User.ID != good.ID || a.Token.ID != made.ID || a.User.PasswordHash != "" {
		t.Errorf("the token is %+v's", a)
	}
	if err := w.SignOut(ctx, a); err != nil {
		t.Error(err)
	}
	if _, err := w.Authenticate(ctx, made.Text, address); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("after signing out: %v, want it to have ended", err)
	}
	w.checkSecrets(t)
}

// testSignInByToken: the token of a user and of the operator let in, and leave an event with
// who has it; others leave one with nobody.
func testSignInByToken(t *testing.T, open stores.Opener) {
	ctx := t.Context()
	w := newWorld(t, open)
	u := w.user(t)
	token := w.token(t, u, tenant.APIToken)
	for name, wrong := range map[string]tenant.Secret{"nonsense": "x", "nothing": "", "another secret": token.Text[:len(token.Text)-6] + "000000", "an invitation": w.token(t, u, tenant.Invitation).Text} {
		if _, err := w.SignInByToken(ctx, Actor{Address: address}, wrong); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%s: %v, want it refused", name, err)
		}
		if e := w.last(t); e.Outcome != tenant.Denied || e.Name != "" || e.Actor != tenant.ByNobody || e.Address != address {
			t.Errorf("%s: event %+v, want it denied to nobody", name, e)
		}
	}
	a := must[Actor](t)(w.SignInByToken(ctx, Actor{Address: address}, token.Text))
	if e := w.last(t); a.User.ID != u.ID || e.Outcome != tenant.Done || e.ActorID != u.ID || e.TokenID != token.ID || e.TargetID != u.ID {
		t.Errorf("%+v has signed in, event %+v; want the user", a, e)
	}
	a = must[Actor](t)(w.SignInByToken(ctx, Actor{Address: address}, adminToken))
	if e := w.last(t); a.Kind != tenant.ByOperator || e.Actor != tenant.ByOperator || e.Address != address {
		t.Errorf("%+v has signed in, event %+v; want the operator", a, e)
	}
	var throttled *ThrottledError
	for range freePerAddress {
		_, err := w.SignInByToken(ctx, Actor{Address: address}, "x")
		errors.As(err, &throttled)
	}
	if throttled == nil {
		t.Error("who guesses on and on is not refused")
	}
	w.checkSecrets(t)
}

// testSignInTakesItsTurn: also who cannot sign in has a password hashed; an answer that
// comes sooner would tell who is a user.
func testSignInTakesItsTurn(t *testing.T, open stores.Opener) {
	w := newWorld(t, open)
	gone := w.user(t)
	must[tenant.User](t)(w.store.UpdateUser(t.Context(), gone.ID, disable))
	emails := []string{w.user(t).Email, gone.Email, w.actors["viewer"].User.Email, "nobody@example.com"}
	for range hashesAtOnce {
		w.passwords.turns <- struct{}{}
	}
	for _, email := range emails {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if _, err := w.SignIn(ctx, Actor{}, Credentials{email, userPassword}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, want to have waited for a turn", email, err)
		}
		cancel()
	}
}

// testSignInIsThrottled: who guesses too often is refused, with the right password too, and
// does not fill the audit log.
func testSignInIsThrottled(t *testing.T, open stores.Opener) {
	ctx := t.Context()
	w := newWorld(t, open)
	for _, email := range []string{w.user(t).Email, "nobody@example.com"} {
		for range freePerAccount {
			_, err := w.SignIn(ctx, Actor{Address: address}, Credentials{email, nextPassword})
			wantError(t, err, ErrUnauthenticated, "wrong e-mail address or password")
		}
		before := len(w.events(t))
		for range 20 {
			var throttled *ThrottledError
			if _, err := w.SignIn(ctx, Actor{Address: address}, Credentials{email, userPassword}); !errors.As(err, &throttled) || throttled.After <= 0 {
				t.Fatalf("%s: one too many: %v, want a *ThrottledError", email, err)
			}
		}
		if n := len(w.events(t)) - before; n > 10 {
			t.Errorf("%s: 20 refused leave %d events, want one a second", email, n)
		}
	}
}

func testInvitations(t *testing.T, open stores.Opener) {
	ctx := t.Context()
	now := time.Now()
	w := newWorld(t, open, func(c *Config) { c.Now = func() time.Time { return now } })
	operator := w.actors["operator"]
	u := must[tenant.User](t)(w.CreateUser(ctx, operator, NewUser{Email: "new@example.com"}))
	invite := func() NewToken {
		made := must[NewToken](t)(w.Invite(ctx, operator, u.ID))
		w.hide(made.Text, [32]byte{})
		return made
	}
	accept := func(invitation, password tenant.Secret) error {
		_, err := w.AcceptInvitation(ctx, Actor{Address: address}, invitation, password)
		return err
	}
	made := invite()
	if _, err := w.Authenticate(ctx, made.Text, address); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("as a bearer token: %v, want it refused", err)
	}
	wantError(t, accept(made.Text, "short"), store.ErrInvalid, "at least 12")
	if err := accept(made.Text, userPassword); err != nil {
		t.Errorf("accepted: %v", err)
	}
	if e := w.last(t); e.ActorID != u.ID || e.TokenID != made.ID || e.Outcome != tenant.Done {
		t.Errorf("event %+v, want the invited user's", e)
	}
	if _, err := w.SignIn(ctx, Actor{}, Credentials{u.Email, userPassword}); err != nil {
		t.Errorf("signing in then: %v", err)
	}
	api := w.token(t, u, tenant.APIToken)
	first, second := invite(), invite()
	if err := accept(second.Text, nextPassword); err != nil {
		t.Error(err)
	}
	late := invite()
	now = now.Add(8 * 24 * time.Hour)
	for name, text := range map[string]tenant.Secret{"a used one": made.Text, "one before another": first.Text, "a late one": late.Text, "an API token": api.Text, "nonsense": "rgt_x", "none": ""} {
		err := accept(text, nextPassword)
		if !errors.Is(err, ErrUnauthenticated) || err.Error() != "the invitation is not valid" {
			t.Errorf("%s: %v, want the words for all", name, err)
		}
		if e := w.last(t); e.Outcome != tenant.Denied || e.Actor != tenant.ByNobody {
			t.Errorf("%s: event %+v, want it denied to nobody", name, e)
		}
	}
	w.checkSecrets(t)
}

// testSetPassword: a browser that was left signed in is not enough, and others of the user
// are signed out.
func testSetPassword(t *testing.T, open stores.Opener) {
	ctx := t.Context()
	w := newWorld(t, open)
	u := w.user(t)
	mine, other, api := w.token(t, u, tenant.BrowserSign), w.token(t, u, tenant.BrowserSign), w.token(t, u, tenant.APIToken)
	a := must[Actor](t)(w.Authenticate(ctx, mine.Text, address))
	wantError(t, w.SetPassword(ctx, a, NewPassword{UserID: u.ID, New: nextPassword}), ErrForbidden, "the old password is wrong")
	wantError(t, w.SetPassword(ctx, a, NewPassword{UserID: u.ID, Old: userPassword, New: "short"}), store.ErrInvalid, "at least 12")
	if err := w.SetPassword(ctx, a, NewPassword{UserID: u.ID, Old: userPassword, New: nextPassword}); err != nil {
		t.Error(err)
	}
	for name, tt := range map[string]struct {
		token NewToken
		want  string
	}{"the browser": {mine, "yes"}, "another browser": {other, "who"}, "an API token": {api, "yes"}} {
		if _, err := w.Authenticate(ctx, tt.token.Text, address); answer(err) != tt.want {
			t.Errorf("%s is answered %v, want %s", name, err, tt.want)
		}
	}
	if _, err := w.SignIn(ctx, Actor{}, Credentials{u.Email, nextPassword}); err != nil {
		t.Errorf("signing in with the new one: %v", err)
	}
	w.checkSecrets(t)
}
