// Package control decides what may be done by whom to organizations, instances, keys and
// users, has it done, and notes it in the audit log. The management API, the console and the
// command line are thin over it, so that all of them allow and note alike.
//
// Every method takes who acts. What that actor may not see is [tenant.ErrNotFound], in the
// words for what is not there; what it may see and not do is [ErrForbidden]. Every method
// that changes something, or tries to, leaves one event, also when that is denied or fails.
// Reading leaves none.
package control

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// Kinds of errors, besides those of the store and [tenant.ErrNotFound], for errors.Is. The
// error itself says what is the matter.
var (
	// ErrForbidden is for what an actor sees and may not do.
	ErrForbidden = errors.New("forbidden")
	// ErrUnauthenticated is for who has not said who they are, or not truly: there is no
	// such token, or it has ended, or e-mail address and password are not a user's.
	ErrUnauthenticated = errors.New("unauthenticated")
	// ErrUnavailable is for what this process cannot do: it serves no clients.
	ErrUnavailable = errors.New("unavailable")
)

// ThrottledError is for who has guessed too often.
type ThrottledError struct {
	After time.Duration // when to try again
}

// Error implements error.
func (e *ThrottledError) Error() string { return "too many attempts: try again later" }

// Actor is who does something, and from where. The zero Actor is nobody.
type Actor struct {
	Kind    tenant.ActorKind // ByNobody, or "", may sign in
	User    tenant.User      // of ByUser, without the password's hash
	Token   tenant.Token     // that the user came with, without its hash
	Name    string           // of ByShell: the operating system's user
	Address string           // where from; "" is not known
}

// Operator reports whether the actor may do everything in all organizations.
func (a Actor) Operator() bool {
	switch a.Kind {
	case tenant.ByOperator, tenant.ByShell:
		return true
	case tenant.ByUser:
		return a.User.Operator
	}
	return false
}

// Change is how something is changed.
type Change[T any] struct {
	// Version is the one that is to be changed, else it is store.ErrStale; 0 is any.
	Version int64
	// Apply alters what is there; its error is returned as it is and nothing changed. It may
	// be called more than once. What is not for the caller to change stays as it was.
	Apply func(*T) error
}

// apply alters v, which has that version.
func (c Change[T]) apply(version int64, v *T) error {
	if err := store.CheckVersion(c.Version, version); err != nil {
		return err
	}
	return c.Apply(v)
}

// Audit keeps events. They are kept when it returns.
type Audit interface {
	AppendEvents(ctx context.Context, events []tenant.Event) error
}

// Live knows the clients of this proxy. It is called from several goroutines.
type Live interface {
	// Proxy is the id that the proxy's sessions begin with, before the '-'.
	Proxy() string
	// Sessions returns an organization's, of all with orgID "". The error is ctx's.
	Sessions(ctx context.Context, orgID string) ([]tenant.Session, error)
	// EndSession ends a session of this proxy's at once.
	EndSession(id string)
}

// Config is what a Service needs besides its store. What is zero is left out, or has the
// default.
type Config struct {
	AdminToken    tenant.Secret // of the operator; "" lets nobody in as one
	InvitationTTL time.Duration // how long an invitation is good; 7 days
	SessionTTL    time.Duration // how long a browser stays signed in; 12 h
	TokenTTL      time.Duration // how long a token is good for which nobody says; 90 days

	Audit    Audit                                               // where events are kept; the store
	Live     Live                                                // nil: this process serves no clients
	Pictures Pictures                                            // likewise
	LogLevel *slog.LevelVar                                      // of this process's log; likewise
	Rates    Rates                                               // likewise
	Insight  Insight                                             // likewise
	Test     func(ctx context.Context, in tenant.Instance) Probe // connects to an instance; nil: this process cannot
	Log      *slog.Logger                                        // nil: none
	Now      func() time.Time                                    // time.Now
}

func (c *Config) setDefaults(st *store.Store) {
	c.InvitationTTL = cmp.Or(c.InvitationTTL, 7*24*time.Hour)
	c.SessionTTL = cmp.Or(c.SessionTTL, 12*time.Hour)
	c.TokenTTL = cmp.Or(c.TokenTTL, 90*24*time.Hour)
	if c.Audit == nil {
		c.Audit = st
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}

// Service is the control plane. It is safe for concurrent use.
type Service struct {
	cfg       Config
	store     *store.Store
	operator  atomic.Pointer[[sha256.Size]byte] // the hash of the operator's token; nil: there is none
	bearers   *bearers
	passwords passwords
	guesses   *guesses

	sayThrottled rate.Sometimes
}

// New returns the control plane over a store.
func New(cfg Config, st *store.Store) *Service {
	cfg.setDefaults(st)
	s := &Service{
		cfg: cfg, store: st,
		bearers: newBearers(), passwords: newPasswords(), guesses: newGuesses(),
		sayThrottled: rate.Sometimes{Interval: throttledInterval},
	}
	s.SetAdminToken(cfg.AdminToken)
	return s
}

// SetAdminToken changes the operator's token, at once; "" lets nobody in as one.
func (s *Service) SetAdminToken(token tenant.Secret) {
	if token == "" {
		s.operator.Store(nil)
		return
	}
	sum := sha256.Sum256([]byte(token.Reveal()))
	s.operator.Store(&sum)
}
