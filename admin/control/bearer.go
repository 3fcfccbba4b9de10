package control

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"sync"
	"time"

	"github.com/respgate/respgate/auth"
	"github.com/respgate/respgate/tenant"
)

const (
	// bearerTTL is how long it is remembered who has a token: it must end within a second.
	bearerTTL = 500 * time.Millisecond
	// maxBearers bounds how many are remembered; about 500 bytes each.
	maxBearers = 4096
	// touchInterval is how often it is noted when a token was last used.
	touchInterval = time.Minute
)

// Authenticate returns who has a bearer token, the operator's too, come from address.
// ErrUnauthenticated when it is not good; it has ended within half a second everywhere
// when it is revoked, and at once where that was done. It leaves no event.
func (s *Service) Authenticate(ctx context.Context, token tenant.Secret, address string) (Actor, error) {
	text := []byte(token.Reveal())
	sum := sha256.Sum256(text)
	if operator := s.operator.Load(); operator != nil && subtle.ConstantTimeCompare(sum[:], operator[:]) == 1 {
		return Actor{Kind: tenant.ByOperator, Address: address}, nil
	}
	id, hash, ok := auth.ParseToken(text)
	if !ok {
		return Actor{}, errToken()
	}
	now := s.cfg.Now()
	b, seen, era := s.bearers.find(sum, now)
	if !seen {
		var err error
		b.token, b.user, err = s.store.Token(ctx, id)
		switch {
		case err == nil:
			b.good = subtle.ConstantTimeCompare(hash[:], b.token.SecretHash[:]) == 1
		case !errors.Is(err, tenant.ErrNotFound):
			return Actor{}, err
		}
		b.token.SecretHash, b.user.PasswordHash = [32]byte{}, ""
		s.bearers.keep(sum, b, now, era)
	}
	if !b.good || !lives(b.token, b.user, now) || b.token.Kind == tenant.Invitation {
		return Actor{}, errToken()
	}
	if !seen && now.Sub(b.token.LastUsedAt) >= touchInterval {
		if err := s.store.Touch(ctx, nil, map[string]time.Time{id: now}); err != nil {
			s.cfg.Log.Warn("when a token was last used could not be noted", "token", id, "error", err)
		}
	}
	return Actor{Kind: tenant.ByUser, User: b.user, Token: b.token, Address: address}, nil
}

func errToken() error { return problem(ErrUnauthenticated, "the token is not valid") }

// lives reports whether a token, and its user, have not ended.
func lives(t tenant.Token, u tenant.User, now time.Time) bool {
	return t.RevokedAt.IsZero() && (t.ExpiresAt.IsZero() || now.Before(t.ExpiresAt)) && u.DisabledAt.IsZero()
}

// bearer is what the store said of a token.
type bearer struct {
	good  bool // it is there and its secret is the one that was given
	token tenant.Token
	user  tenant.User
	until time.Time
}

// bearers remembers for a moment what the store said, by the whole token's hash.
type bearers struct {
	mu  sync.Mutex
	of  map[[sha256.Size]byte]bearer
	era int64 // grows when all are forgotten
}

func newBearers() *bearers { return &bearers{of: map[[sha256.Size]byte]bearer{}} }

// find also returns the era, which keep wants.
func (c *bearers) find(sum [sha256.Size]byte, now time.Time) (b bearer, ok bool, era int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b, ok = c.of[sum]; ok && now.Before(b.until) {
		return b, true, c.era
	}
	return bearer{}, false, c.era
}

// keep keeps what was asked for in an era, unless it is over: it may have been read before
// what ended it.
func (c *bearers) keep(sum [sha256.Size]byte, b bearer, now time.Time, era int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if era != c.era {
		return
	}
	if len(c.of) >= maxBearers {
		clear(c.of)
	}
	b.until = now.Add(bearerTTL)
	c.of[sum] = b
}

// forget has the store asked about all again.
func (c *bearers) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.of)
	c.era++
}
