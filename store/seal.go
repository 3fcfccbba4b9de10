package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// MinSecret is the least length of a secret, in bytes.
const MinSecret = 32

// sealer encrypts what must not be readable in the store: AES-256-GCM with a random
// nonce, under a key derived from a secret by HKDF-SHA256 (RFC 5869).
type sealer struct{ aead cipher.AEAD }

func newSealer(secret []byte) (sealer, error) {
	if len(secret) < MinSecret {
		return sealer{}, invalid("the secret has %d bytes: want %d or more", len(secret), MinSecret)
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "respgate store 1", 32)
	if err != nil {
		return sealer{}, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return sealer{aead}, err
}

// seal encrypts text; it can be opened for the same purpose only.
func (s sealer) seal(text, purpose string) []byte {
	return s.aead.Seal(nil, nil, []byte(text), []byte(purpose)) //nolint:gosec // the AEAD draws a nonce itself
}

var errSealed = errors.New("sealed with another secret, or damaged: RESPGATE_SECRET_KEY (or the key file) has to be the one that the store was made with")

func (s sealer) open(sealed []byte, purpose string) (string, error) {
	text, err := s.aead.Open(nil, nil, sealed, []byte(purpose))
	if err != nil {
		return "", errSealed
	}
	return string(text), nil
}

// readKeyFile returns the secret in file, which is made when the store is fresh: of one that is
// there it would open nothing. Only its owner may be able to read it. Nobody else may do the same
// at the same time.
func readKeyFile(file string, fresh bool) ([]byte, error) {
	if fresh {
		if err := makeKeyFile(file); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("key file %s: %w", file, pathless(err))
		}
	}
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, invalid("key file %s: it is missing: restore it, or set the RESPGATE_SECRET_KEY that the store was made with", file)
	}
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", file, pathless(err))
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, invalid("key file %s: others may read it (mode %#o): make it 0600", file, info.Mode().Perm())
	}
	text, err := os.ReadFile(file) //nolint:gosec // the operator's file
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", file, pathless(err))
	}
	if len(text) < MinSecret {
		return nil, invalid("key file %s: it is too short: restore it, or set RESPGATE_SECRET_KEY", file)
	}
	return text, nil
}

// makeKeyFile writes a new secret to file, which must not be there.
func makeKeyFile(file string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the operator's file
	if err != nil {
		return err
	}
	var secret [MinSecret]byte
	_, _ = rand.Read(secret[:]) // never fails
	_, err = f.WriteString(hex.EncodeToString(secret[:]) + "\n")
	return errors.Join(err, f.Sync(), f.Close())
}

// pathless is a file's error without the operation and the path, which the caller
// names.
func pathless(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
