package control

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/respgate/respgate/tenant"
)

// throttledInterval is how often it is noted that somebody guesses too often.
const throttledInterval = time.Second

// Credentials are what a person signs in with.
type Credentials struct {
	Email    string
	Password tenant.Secret
}

// SignIn makes a token for the browser of who has a user's password. Else it is
// ErrUnauthenticated, in the same words after the same time whatever is wrong, or a
// *ThrottledError for who has guessed too often, from that address or for that user: of
// these one a second leaves an event.
func (s *Service) SignIn(ctx context.Context, a Actor, c Credentials) (NewToken, error) {
	a = Actor{Address: a.Address} // whoever it was before
	e := tenant.Event{Action: "session.sign_in", Target: "user"}
	made, err := s.signIn(ctx, &a, c, &e)
	s.noteGuess(ctx, a, e, err)
	return made, err
}

// noteGuess is note for what anybody may try: who guesses too often must not fill the log.
func (s *Service) noteGuess(ctx context.Context, a Actor, e tenant.Event, err error) {
	var throttled *ThrottledError
	if errors.As(err, &throttled) {
		s.sayThrottled.Do(func() { s.note(ctx, a, e, err) })
		return
	}
	s.note(ctx, a, e, err)
}

func (s *Service) signIn(ctx context.Context, a *Actor, c Credentials, e *tenant.Event) (NewToken, error) {
	succeeded, err := s.guesses.try(a.Address, c.Email, s.cfg.Now())
	if err != nil {
		return NewToken{}, err
	}
	u, err := s.store.UserByEmail(ctx, c.Email)
	if err != nil && !errors.Is(err, tenant.ErrNotFound) {
		return NewToken{}, err
	}
	// What was given is noted only when it is a user's: people type passwords there.
	e.TargetID, e.Name = u.ID, u.Email
	hash := u.PasswordHash
	if !u.DisabledAt.IsZero() {
		hash = ""
	}
	good, err := s.passwords.verify(ctx, hash, c.Password)
	if err != nil {
		return NewToken{}, err
	}
	if !good {
		return NewToken{}, errCredentials()
	}
	succeeded()
	made, err := s.sessionOf(ctx, u)
	if err != nil {
		return NewToken{}, err
	}
	a.Kind, a.User, a.Token = tenant.ByUser, u, made.Token
	return made, nil
}

func errCredentials() error {
	return problem(ErrUnauthenticated, "wrong e-mail address or password")
}

// sessionOf makes a token for the browser of who had u's password. A change of it ends the
// tokens that there are: of one that was made meanwhile it knows nothing.
func (s *Service) sessionOf(ctx context.Context, u tenant.User) (NewToken, error) {
	made, err := s.createToken(ctx, tenant.Token{UserID: u.ID, Kind: tenant.BrowserSign, ExpiresAt: s.cfg.Now().Add(s.cfg.SessionTTL)})
	var now tenant.User
	if err == nil {
		now, err = s.store.User(ctx, u.ID)
	}
	switch {
	case errors.Is(err, tenant.ErrNotFound):
		return NewToken{}, errCredentials()
	case err != nil:
		return NewToken{}, err
	case now.PasswordHash != u.PasswordHash:
		_, err := s.store.RevokeToken(ctx, made.ID)
		return NewToken{}, cmp.Or(err, errCredentials())
	}
	return made, nil
}

// SignInByToken returns who has a token, the operator's too, as Authenticate does, and leaves
// an event. Who has guessed too often from that address is refused as by SignIn.
func (s *Service) SignInByToken(ctx context.Context, a Actor, token tenant.Secret) (Actor, error) {
	a = Actor{Address: a.Address} // whoever it was before
	e := tenant.Event{Action: "session.sign_in", Target: "user"}
	who, err := s.authenticateOnce(ctx, a, token)
	if err == nil {
		a = who
		e.TargetID, e.Name = who.User.ID, who.User.Email
	}
	s.noteGuess(ctx, a, e, err)
	return who, err
}

func (s *Service) authenticateOnce(ctx context.Context, a Actor, token tenant.Secret) (Actor, error) {
	succeeded, err := s.guesses.try(a.Address, "", s.cfg.Now())
	if err != nil {
		return Actor{}, err
	}
	who, err := s.Authenticate(ctx, token, a.Address)
	if err == nil {
		succeeded()
	}
	return who, err
}

// SignOut ends the token that the actor signed in with.
func (s *Service) SignOut(ctx context.Context, a Actor) error {
	e := tenant.Event{Action: "session.sign_out", Target: "user", TargetID: a.User.ID, Name: a.User.Email}
	_, err := attempt(ctx, s, a, e, func(*tenant.Event) (none, error) {
		switch {
		case known(a) != nil:
			return none{}, known(a)
		case a.Token.Kind != tenant.BrowserSign:
			return none{}, forbidden("only who has signed in signs out: revoke a token")
		}
		_, err := s.store.RevokeToken(ctx, a.Token.ID)
		s.bearers.forget()
		return none{}, err
	})
	return err
}
