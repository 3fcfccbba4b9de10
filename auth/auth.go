package auth

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"golang.org/x/time/rate"

	"github.com/respgate/respgate/tenant"
)

// What a client is told when it cannot be let in.
var (
	// ErrWrongPass is for a malformed, unknown, revoked or expired key, for one used from
	// elsewhere than it may be, and for an instance that the key does not open: all
	// alike, so that nobody learns which.
	ErrWrongPass = errors.New("invalid key, or not for that instance")
	// ErrUnavailable is for a key that is not cached while the store cannot be asked.
	ErrUnavailable = errors.New("authentication is temporarily unavailable")
)

// Reasons of failures, as told to the Observer.
const (
	ReasonMalformed   = "malformed" // not in the form of a key, or a bad checksum
	ReasonUnknown     = "unknown"   // no such id
	ReasonWrongSecret = "wrong_secret"
	ReasonRevoked     = "revoked"
	ReasonExpired     = "expired"
	ReasonAddress     = "address"  // the key is good, but not from there
	ReasonInstance    = "instance" // the key is good, but not for that instance
	ReasonUnavailable = "unavailable"
)

// Reasons returns every reason that an Observer may be told.
func Reasons() []string {
	return []string{ReasonMalformed, ReasonUnknown, ReasonWrongSecret, ReasonRevoked, ReasonExpired, ReasonAddress, ReasonInstance, ReasonUnavailable}
}

// What client certificates have stood for, as told to the Observer.
const (
	CertificateKey         = "key"
	CertificateUnknown     = "unknown"     // no live key has one of its names
	CertificateUnavailable = "unavailable" // the store could not be asked
)

// CertificateResults returns every result that an Observer may be told.
func CertificateResults() []string {
	return []string{CertificateKey, CertificateUnknown, CertificateUnavailable}
}

// Store is where keys are kept. Its methods are called from several goroutines
// and should return when ctx ends; a call that does not is abandoned, and counts
// against the bound on calls until it returns.
type Store interface {
	// Grant returns the key with the given id, revoked or expired ones too, and an
	// error that is tenant.ErrNotFound if there is none.
	Grant(ctx context.Context, id string) (tenant.Grant, error)
	// Changes returns what has changed after the sequence number after. A Grant
	// asked for later must not be older than the change.
	Changes(ctx context.Context, after int64) (tenant.Changes, error)
	// KeyByCertificate returns the id of the key that the first of the names opens
	// which opens any, and an error that is tenant.ErrNotFound if none does.
	KeyByCertificate(ctx context.Context, names []string) (id string, err error)
}

// Observer counts authentications. It is called from several goroutines.
type Observer interface {
	Request() // someone tried to authenticate
	// Failure: and was not let in, for one of Reasons. throttledBy is ThrottledByKey or
	// ThrottledByAddress where the answer is held back, else "".
	Failure(reason, throttledBy string)
	// Certificate says what became of a client certificate: one of CertificateResults.
	Certificate(result string)
}

// Config bounds the service. A zero value stands for the default.
type Config struct {
	CacheSize     int           // keys in the cache; 100,000, about 1 KB each
	PollInterval  time.Duration // how often the store is asked for changes; 500 ms
	LookupTimeout time.Duration // of one question to the store, waiting for its turn included; 1 s
	MaxLookups    int           // keys looked up at once; 16
	UnknownTTL    time.Duration // an unknown id is remembered for once to twice this; 5 s
}

func (c *Config) setDefaults() {
	setDefault(&c.CacheSize, 100_000)
	setDefault(&c.PollInterval, 500*time.Millisecond)
	setDefault(&c.LookupTimeout, time.Second)
	setDefault(&c.MaxLookups, 16)
	setDefault(&c.UnknownTTL, 5*time.Second)
}

func setDefault[T int | time.Duration](v *T, to T) {
	if *v <= 0 {
		*v = to
	}
}

// Service authenticates clients. It is safe for concurrent use. Run must be running:
// without it no change is seen, and a store that hung once counts as away for good.
type Service struct {
	cfg      Config
	store    Store
	observer Observer
	log      *slog.Logger
	commands *tenant.CommandSet // of the default rules
	guesses  *throttle

	sayThrottled, sayElsewhere rate.Sometimes // log that

	lookups, polls, refreshes slots         // bounds on questions to the store
	kick                      chan struct{} // asks for a poll at once
	maxStale                  atomic.Int64  // see SetMaxStale
	onChange                  func(*Handle)
	onDeleted                 func(label string)
	onSessionEnd              func(id string)
	onBadKey                  func(BadKey)
	onMoves                   func(n int)
	applied                   atomic.Int64 // see Applied

	mu         sync.Mutex
	index      map[string]weak.Pointer[entry] // everything that somebody holds
	recent     list.List                      // of *entry: the cache, the latest used first
	unknown    recentSet
	flights    map[string]*flight
	certified  certified
	nextExpiry time.Time // of all entries; zero: none
	asked      bool      // the store has answered
	answered   time.Time // when it did so last, or when the service was made
	away       error     // why the store cannot be asked now
}

// New returns a service that asks st. observer and log may be nil.
func New(cfg Config, st Store, observer Observer, log *slog.Logger) (*Service, error) {
	cfg.setDefaults()
	commands, err := ParseRules(DefaultRules)
	if err != nil {
		return nil, fmt.Errorf("default command rules: %w", err)
	}
	if observer == nil {
		observer = unobserved{}
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Service{
		cfg: cfg, store: st, observer: observer, log: log, commands: commands,
		guesses: newThrottle(maxGuessers),

		sayThrottled: rate.Sometimes{Interval: throttledInterval},
		sayElsewhere: rate.Sometimes{Interval: elsewhereInterval},

		lookups:   make(slots, cfg.MaxLookups),
		polls:     make(slots, 1),
		refreshes: make(slots, maxRefreshes),
		kick:      make(chan struct{}, 1),
		onChange:  func(*Handle) {},
		onDeleted: func(string) {},

		onSessionEnd: func(string) {},
		onBadKey:     func(BadKey) {},
		onMoves:      func(int) {},

		index:    map[string]weak.Pointer[entry]{},
		unknown:  newRecentSet(maxUnknown, cfg.UnknownTTL),
		answered: time.Now(),
		flights:  map[string]*flight{},
	}, nil
}

// OnChange has fn called after the principal of a handle has been replaced or
// has ended. Call it before Run; fn is called on several goroutines and must not
// block.
func (s *Service) OnChange(fn func(h *Handle)) { s.onChange = fn }

// OnDeleted has fn called with the label of an instance that is gone, after the
// handles on it have ended. Otherwise as OnChange.
func (s *Service) OnDeleted(fn func(label string)) { s.onDeleted = fn }

// OnSessionEnd has fn called with the id of a session that is to end: see
// tenant.Changes. Otherwise as OnChange.
func (s *Service) OnSessionEnd(fn func(id string)) { s.onSessionEnd = fn }

// OnMoves has fn called, whenever the store has said what has changed, with how many
// instances are on their way to another backend. Otherwise as OnChange.
func (s *Service) OnMoves(fn func(n int)) { s.onMoves = fn }

// BadKey is a key, in the form of one, that lets nobody in, or not whoever came with it.
type BadKey struct {
	KeyID   string // as the client gave it
	KeyName string // "" where the key is not known, as for the organization
	OrgID   string
	Org     string
	Addr    netip.Addr // the client's
	Reason  string     // one of Reasons
}

// noted reports whether OnBadKey is told: not of what is no key at all, and not of a good
// one for another instance.
func (b BadKey) noted() bool { return b.Reason != ReasonMalformed && b.Reason != ReasonInstance }

// OnBadKey has fn called for a client that is turned away with a key that is unknown, revoked
// or expired, has another secret, or may not be used from there. Otherwise as OnChange.
func (s *Service) OnBadKey(fn func(b BadKey)) { s.onBadKey = fn }

// How often the log has a line of what may happen all the time: the metrics have all of it.
const (
	throttledInterval = 10 * time.Second
	elsewhereInterval = time.Second
)

// Cached returns the handle of a good key, used from addr, that is in the cache. It does
// not block, and keeps neither user nor key. Otherwise, also for a key known to be bad,
// ok is false: Authenticate then gives the answer, in its time.
func (s *Service) Cached(addr netip.Addr, user, key []byte) (h *Handle, ok bool) {
	if !wellFormed(key) {
		return nil, false
	}
	hash := keyHash(key)
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.find(string(keyID(key)), now)
	if e == nil {
		return nil, false
	}
	h, reason := e.open(addr, string(user), &hash, now)
	if reason != "" {
		return nil, false
	}
	s.observer.Request()
	return h, true
}

// Authenticate returns the handle of a key on the instance that user names; "" and
// "default" are the key's own instance. It may ask the store. A client at addr, the
// zero one when it is not known, that is not let in waits the longer the more guesses
// came from there, of that key or of many, at most 5 s; one with a good key never waits
// for that. ctx should end with the client's connection. The error is or wraps
// ErrWrongPass, ErrUnavailable or ctx's; it never has the key. The handle may have ended
// by the time it is used.
func (s *Service) Authenticate(ctx context.Context, addr netip.Addr, user, key string) (*Handle, error) {
	s.observer.Request()
	id, hash, ok := Parse([]byte(key))
	if !ok {
		return nil, s.turnAway(ctx, BadKey{Addr: addr, Reason: ReasonMalformed})
	}
	h, bad, err := s.verify(ctx, addr, user, id, &hash)
	switch {
	case bad.Reason != "":
		return nil, s.turnAway(ctx, bad)
	case errors.Is(err, ErrUnavailable):
		s.observer.Failure(ReasonUnavailable, "")
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("authenticate: %w", err)
	}
	return h, nil
}

// turnAway returns the error for a bad key, when it may be told.
func (s *Service) turnAway(ctx context.Context, bad BadKey) error {
	addr, id := bad.Addr, bad.KeyID
	delay, by := s.guesses.guess(addr, id, time.Now())
	s.observer.Failure(bad.Reason, by)
	if bad.noted() {
		s.onBadKey(bad)
	}
	if bad.Reason == ReasonAddress {
		s.sayElsewhere.Do(func() {
			s.log.Warn("a key was used from an address that is not on its list", "key", id, "client", addr.String())
		})
	}
	if by != "" {
		s.sayThrottled.Do(func() {
			s.log.Warn("guesses of keys are slowed down", "by", by, "key", id, "client", addr.String(), "reason", bad.Reason, "delay", delay)
		})
	}
	if err := wait(ctx, delay); err != nil {
		return fmt.Errorf("authenticate: %w", err)
	}
	return ErrWrongPass
}

// verify returns a handle, or what is bad about the key (a Reason), or an error when that
// cannot be said.
func (s *Service) verify(ctx context.Context, addr netip.Addr, user, id string, hash *[32]byte) (h *Handle, bad BadKey, err error) {
	bad = BadKey{KeyID: id, Addr: addr}
	for {
		e, err := s.lookup(ctx, id)
		switch {
		case errors.Is(err, tenant.ErrNotFound):
			bad.Reason = ReasonUnknown
			return nil, bad, nil
		case err != nil:
			return nil, bad, err
		}
		s.mu.Lock()
		gone := e.gone
		h, bad.Reason = e.open(addr, user, hash, time.Now())
		bad.KeyName, bad.OrgID, bad.Org = e.owner.name, e.owner.orgID, e.owner.org
		s.mu.Unlock()
		if !gone {
			return h, bad, nil
		}
	}
}

// Status says whether the store can be asked and, if not, why; and how many keys
// are cached.
func (s *Service) Status() (reachable bool, cached int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away == nil && !s.asked {
		return false, s.recent.Len(), errors.New("the store has not answered yet")
	}
	return s.away == nil, s.recent.Len(), s.away
}

type unobserved struct{}

func (unobserved) Request()               {}
func (unobserved) Failure(string, string) {}
func (unobserved) Certificate(string)     {}
