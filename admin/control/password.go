package control

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

const (
	// MinPassword bounds a password, in characters. It is between the 8 and the 15 that NIST
	// asks of passwords beside something else, and alone (SP 800-63B-4, 3.1.1.2).
	MinPassword = 12
	// MaxPassword bounds a password, in bytes.
	MaxPassword = 1024
)

const (
	saltLength   = 16
	hashLength   = 32
	hashesAtOnce = 2  // each takes a core, and 19 MiB
	hashesQueued = 64 // more are told to come again
)

// cost is what a hash takes.
type cost struct {
	memory  uint32 // KiB
	passes  uint32
	threads uint8
}

// recommended is what OWASP recommends for argon2id:
// https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html.
func recommended() cost { return cost{19 << 10, 2, 1} }

func (c cost) of(password string, salt []byte) []byte {
	return argon2.IDKey([]byte(password), salt, c.passes, c.memory, c.threads, hashLength)
}

// phc is how a hash is written: https://github.com/P-H-C/phc-string-format.
const phc = "$argon2id$v=19$m=%d,t=%d,p=%d$"

// passwords hashes passwords, few at once.
type passwords struct {
	cost         cost // of new ones
	turns, queue chan struct{}
}

func newPasswords() passwords {
	return passwords{recommended(), make(chan struct{}, hashesAtOnce), make(chan struct{}, hashesQueued)}
}

// turn calls hash when it is its turn.
func (p passwords) turn(ctx context.Context, hash func() []byte) ([]byte, error) {
	select {
	case p.queue <- struct{}{}:
		defer func() { <-p.queue }()
	default:
		return nil, &ThrottledError{After: time.Second}
	}
	select {
	case p.turns <- struct{}{}:
		defer func() { <-p.turns }()
		return hash(), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// hash returns a new password's hash in PHC form. store.ErrInvalid for one that is too
// short or too long.
func (p passwords) hash(ctx context.Context, password tenant.Secret) (tenant.Secret, error) {
	text := password.Reveal()
	if utf8.RuneCountInString(text) < MinPassword || len(text) > MaxPassword {
		return "", problem(store.ErrInvalid, "password: want at least %d characters and at most %d bytes", MinPassword, MaxPassword)
	}
	salt := make([]byte, saltLength)
	_, _ = rand.Read(salt) // never fails, says its documentation
	sum, err := p.turn(ctx, func() []byte { return p.cost.of(text, salt) })
	if err != nil {
		return "", err
	}
	encoded := base64.RawStdEncoding.EncodeToString
	return tenant.Secret(fmt.Sprintf(phc, p.cost.memory, p.cost.passes, p.cost.threads) + encoded(salt) + "$" + encoded(sum)), nil
}

// verify reports whether a password is the one with that hash. For a hash "" it says no,
// after the same time.
func (p passwords) verify(ctx context.Context, hash, password tenant.Secret) (bool, error) {
	c, salt, want := p.cost, make([]byte, saltLength), make([]byte, hashLength)
	if hash != "" {
		var err error
		if c, salt, want, err = parsePHC(hash); err != nil {
			return false, err
		}
	}
	text := password.Reveal()
	if len(text) > MaxPassword {
		text, hash = "", "" // nobody's
	}
	sum, err := p.turn(ctx, func() []byte { return c.of(text, salt) })
	return err == nil && hash != "" && subtle.ConstantTimeCompare(sum, want) == 1, err
}

func parsePHC(hash tenant.Secret) (c cost, salt, sum []byte, err error) {
	parts := strings.Split(hash.Reveal(), "$")
	if _, err := fmt.Sscanf(hash.Reveal(), phc, &c.memory, &c.passes, &c.threads); err != nil || len(parts) != 6 || c.passes == 0 || c.threads == 0 {
		return c, nil, nil, errHash
	}
	salt, saltErr := base64.RawStdEncoding.DecodeString(parts[4])
	sum, sumErr := base64.RawStdEncoding.DecodeString(parts[5])
	if saltErr != nil || sumErr != nil || len(sum) != hashLength {
		return c, nil, nil, errHash
	}
	return c, salt, sum, nil
}

var errHash = errors.New("a password's hash is not in the form of argon2id")
