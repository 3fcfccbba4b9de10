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

// What OWASP recommends for argon2id:
// https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html.
const (
	argonMemory  = 19 << 10 // KiB
	argonTime    = 2
	argonThreads = 1
	saltLength   = 16
	hashLength   = 32
)

const (
	hashesAtOnce = 2  // each takes a core, and argonMemory
	hashesQueued = 64 // more are told to come again
)

// phc is how a hash is written: https://github.com/P-H-C/phc-string-format.
const phc = "$argon2id$v=19$m=%d,t=%d,p=%d$"

// passwords hashes passwords, few at once.
type passwords struct {
	turns, queue chan struct{}
}

func newPasswords() passwords {
	return passwords{make(chan struct{}, hashesAtOnce), make(chan struct{}, hashesQueued)}
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
	sum, err := p.turn(ctx, func() []byte {
		return argon2.IDKey([]byte(text), salt, argonTime, argonMemory, argonThreads, hashLength)
	})
	if err != nil {
		return "", err
	}
	encoded := base64.RawStdEncoding.EncodeToString
	return tenant.Secret(fmt.Sprintf(phc, argonMemory, argonTime, argonThreads) + encoded(salt) + "$" + encoded(sum)), nil
}

// verify reports whether a password is the one with that hash. For a hash "" it says no,
// after the same time.
func (p passwords) verify(ctx context.Context, hash, password tenant.Secret) (bool, error) {
	memory, passes, threads := uint32(argonMemory), uint32(argonTime), uint8(argonThreads)
	salt, want := make([]byte, saltLength), make([]byte, hashLength)
	if hash != "" {
		parts := strings.Split(hash.Reveal(), "$")
		if len(parts) != 6 {
			return false, errHash
		}
		if _, err := fmt.Sscanf(hash.Reveal(), phc, &memory, &passes, &threads); err != nil {
			return false, errHash
		}
		var err error
		if salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil {
			return false, errHash
		}
		if want, err = base64.RawStdEncoding.DecodeString(parts[5]); err != nil || len(want) != hashLength || passes == 0 || threads == 0 {
			return false, errHash
		}
	}
	text := password.Reveal()
	if len(text) > MaxPassword {
		text, hash = "", "" // nobody's
	}
	sum, err := p.turn(ctx, func() []byte {
		return argon2.IDKey([]byte(text), salt, passes, memory, threads, hashLength)
	})
	return err == nil && hash != "" && subtle.ConstantTimeCompare(sum, want) == 1, err
}

var errHash = errors.New("a password's hash is not in the form of argon2id")
