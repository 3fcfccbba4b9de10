package control

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// knownHash was computed apart from this package, with OpenSSL's argon2id through Python's
// cryptography.
const (
	knownPassword = tenant.Secret("correct horse battery")
	knownHash     = tenant.Secret("$argon2id$v=19$m=19456,t=2,p=1$c2l4dGVlbiBieXRlcyBvaw$RJ1sY/uLSiHi0TP1oW8rw19AvL2Hwpt7ELvhU4n7eXg")
)

func TestPasswords(t *testing.T) {
	ctx := t.Context()
	p := newPasswords()
	hash := must[tenant.Secret](t)(p.hash(ctx, userPassword))
	if again := must[tenant.Secret](t)(p.hash(ctx, userPassword)); again == hash || !strings.HasPrefix(hash.Reveal(), "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hashed %s and %s, want two of OWASP's parameters with salts of their own", hash.Reveal(), again.Reveal())
	}
	for _, tt := range []struct {
		name     string
		hash     tenant.Secret
		password tenant.Secret
		want     bool
	}{
		{"the password", hash, userPassword, true},
		{"another's", knownHash, knownPassword, true},
		{"another", hash, nextPassword, false},
		{"none", hash, "", false},
		{"longer than any", hash, tenant.Secret(strings.Repeat("x", 1<<20)), false},
		{"a user without one", "", userPassword, false},
		{"none, of a user without one", "", "", false},
	} {
		if got, err := p.verify(ctx, tt.hash, tt.password); err != nil || got != tt.want {
			t.Errorf("%s: %v, %v, want %v", tt.name, got, err, tt.want)
		}
	}
	for _, bad := range []tenant.Secret{"x", "$argon2i$v=19$m=19456,t=2,p=1$AAAA$AAAA", "$argon2id$v=19$m=19456,t=0,p=1$AAAA$AAAA", "$argon2id$v=19$m=19456,t=2,p=1$AAAA", "$argon2id$v=19$m=19456,t=2,p=1$!$!"} {
		if ok, err := p.verify(ctx, bad, userPassword); ok || err == nil || strings.Contains(err.Error(), bad.Reveal()) {
			t.Errorf("hash %q: %v, %v, want an error without it", bad.Reveal(), ok, err)
		}
	}
	for _, bad := range []tenant.Secret{"", "elevenchars", "ÄÖÜäöü", tenant.Secret(strings.Repeat("x", MaxPassword+1))} {
		_, err := p.hash(ctx, bad)
		wantError(t, err, store.ErrInvalid, "at least 12 characters and at most 1024 bytes")
	}
}

// TestPasswordsAreBounded: a turn is waited for, as long as there is room to wait.
func TestPasswordsAreBounded(t *testing.T) {
	p := newPasswords()
	for range hashesAtOnce {
		p.turns <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.hash(ctx, userPassword); !errors.Is(err, context.Canceled) {
		t.Errorf("with all turns taken: %v, want it to wait until its context ends", err)
	}
	for range hashesQueued {
		p.queue <- struct{}{}
	}
	var throttled *ThrottledError
	if _, err := p.hash(t.Context(), userPassword); !errors.As(err, &throttled) || throttled.After <= 0 {
		t.Errorf("with the queue full: %v, want a *ThrottledError", err)
	}
}
