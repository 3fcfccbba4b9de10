// Package auth knows clients by their API keys: the format of keys, who they
// belong to, which of them are good now, and how guesses are slowed down.
package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"log/slog"

	"github.com/respgate/respgate/tenant"
)

// A key is rg_<id>_<secret>, all base62; the secret's last characters are the
// checksum of everything before them. A token for the management API is rgt_<id>_<secret>.
const (
	keyPrefix    = "rg_"
	tokenPrefix  = "rgt_"
	idLength     = 12
	secretLength = 32
	sumLength    = 6                                  // 62^6 > 2^32
	tailLength   = idLength + len("_") + secretLength // of what follows the prefix
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// Key is a new API key, or token. Only ID and Hash are ever stored.
type Key struct {
	ID   string        // 12 characters of base62
	Hash [32]byte      // SHA-256 of the 32 characters of the secret
	Text tenant.Secret // what the client sends: rg_<ID>_<secret>, or rgt_<ID>_<secret>

	prefix string
}

// Generate makes a key from crypto/rand: its secret has 154 random bits, which
// is why a fast hash of it is enough.
func Generate() Key { return GenerateFor(RandomText(idLength)) }

// GenerateFor makes a new secret for the key with the given id, as in rotating
// it. The id must be 12 characters of base62.
func GenerateFor(id string) Key { return generate(keyPrefix, id) }

// GenerateToken makes a token, as random as a key, for who manages organizations.
func GenerateToken() Key { return generate(tokenPrefix, RandomText(idLength)) }

func generate(prefix, id string) Key {
	text := prefix + id + "_" + RandomText(secretLength-sumLength)
	sum := checksum([]byte(text))
	text += string(sum[:])
	return Key{ID: id, Hash: keyHash([]byte(text)), Text: tenant.Secret(text), prefix: prefix}
}

// Parse splits a key as a client sent it into its id and its secret's SHA-256.
// ok is false, without asking any store, when it is not in the form of a key or
// its checksum is wrong. text is not kept.
func Parse(text []byte) (id string, hash [32]byte, ok bool) {
	return parse(keyPrefix, text)
}

// ParseToken is Parse for tokens.
func ParseToken(text []byte) (id string, hash [32]byte, ok bool) {
	return parse(tokenPrefix, text)
}

func parse(prefix string, text []byte) (id string, hash [32]byte, ok bool) {
	if !formed(prefix, text) {
		return "", hash, false
	}
	return string(keyID(text)), keyHash(text), true
}

// String shows the key without its secret.
func (k Key) String() string {
	return k.prefix + k.ID + "_" + k.Text.String()
}

// GoString implements fmt.GoStringer without the secret.
func (k Key) GoString() string { return fmt.Sprintf("auth.Key(%s)", k) }

// LogValue implements slog.LogValuer without the secret.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// keyID and keyHash are of text that is formed.
func keyID(text []byte) []byte {
	tail := text[len(text)-tailLength:]
	return tail[:idLength]
}

func keyHash(text []byte) [32]byte { return sha256.Sum256(text[len(text)-secretLength:]) }

func wellFormed(text []byte) bool { return formed(keyPrefix, text) }

func formed(prefix string, text []byte) bool {
	if len(text) != len(prefix)+tailLength || string(text[:len(prefix)]) != prefix || text[len(prefix)+idLength] != '_' {
		return false
	}
	for i, c := range text[len(prefix):] {
		if !isBase62(c) && i != idLength {
			return false
		}
	}
	sumStart := len(text) - sumLength
	sum := checksum(text[:sumStart])
	return string(sum[:]) == string(text[sumStart:])
}

func isBase62(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

func checksum(b []byte) (sum [sumLength]byte) {
	n := crc32.ChecksumIEEE(b)
	for i := sumLength - 1; i >= 0; i-- {
		sum[i] = base62[n%62]
		n /= 62
	}
	return sum
}

// RandomText returns n characters of base62 from crypto/rand.
func RandomText(n int) string {
	// Bytes from 248 on are thrown away: 256 is not a multiple of 62, and the
	// first characters would come up more often.
	const fair = 256 - 256%62
	text := make([]byte, 0, n)
	var b [64]byte
	for len(text) < n {
		_, _ = rand.Read(b[:]) // never fails, says its documentation
		for _, c := range b[:min(len(b), n-len(text))] {
			if c < fair {
				text = append(text, base62[c%62])
			}
		}
	}
	return string(text)
}
