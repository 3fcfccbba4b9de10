package console

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/tenant"
)

const (
	sessionCookie = "respgate_session" // who has signed in
	visitorCookie = "respgate_visitor" // who may: binds the forms of the pages for anybody
	themeCookie   = "respgate_theme"   // light or dark

	csrfField = "csrf"
)

// identify finds out who has signed in, if anybody.
func (v *visit) identify() error {
	v.actor = control.Actor{Kind: tenant.ByNobody, Address: v.address()}
	if err := v.session(); err != nil {
		return err
	}
	if v.actor.Kind == tenant.ByNobody && v.route.access == anybody {
		v.visitor()
	}
	return nil
}

// session takes who has a good session's cookie for its user.
func (v *visit) session() error {
	v.secret = ""
	cookie, err := v.r.Cookie(sessionCookie)
	if err != nil || cookie.Value == "" {
		return nil
	}
	if wait := v.cfg.Strangers(v.r, 0); wait > 0 {
		return &control.ThrottledError{After: wait}
	}
	token, kept := v.kept.find(cookie.Value, v.cfg.Now())
	if !kept {
		token = tenant.Secret(cookie.Value)
	}
	actor, err := v.control.Authenticate(v.r.Context(), token, v.address())
	switch {
	case errors.Is(err, control.ErrUnauthenticated):
		_ = v.cfg.Strangers(v.r, 1)
		return nil
	case err != nil:
		return err
	case !kept && actor.Token.Kind != tenant.BrowserSign:
		return nil // it is a token, and nobody has signed in with it
	}
	v.actor, v.secret = actor, cookie.Value
	return nil
}

// visitor gives who has not signed in a cookie for the forms.
func (v *visit) visitor() {
	if cookie, err := v.r.Cookie(visitorCookie); err == nil && len(cookie.Value) == len(random()) {
		v.secret = cookie.Value
		return
	}
	if v.r.Method != http.MethodPost { // whose form is of no use without the cookie it was made with
		v.secret = random()
		v.setCookie(visitorCookie, v.secret, 0)
	}
}

// setCookie sets a cookie for so many seconds, 0 is until the browser ends and -1 drops it.
func (v *visit) setCookie(name, value string, seconds int) {
	http.SetCookie(v.w, &http.Cookie{ //nolint:gosec // without TLS a browser would not send a secure one back
		Name: name, Value: value, Path: Prefix, MaxAge: seconds, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: v.r.TLS != nil})
}

// random is 256 bits that nobody can guess.
func random() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails, says its documentation
	return base64.RawURLEncoding.EncodeToString(b)
}

// csrf is what forms have to send: only who can read the page, or has the cookie, knows it.
func (v *visit) csrf() string {
	if v.secret == "" {
		return ""
	}
	mac := hmac.New(sha256.New, []byte(v.secret))
	_, _ = mac.Write([]byte("a form of respgate's console"))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// checkOrigin refuses a form that is not one of this session's pages.
func (v *visit) checkOrigin() error {
	if err := http.NewCrossOriginProtection().Check(v.r); err != nil {
		return errOrigin
	}
	switch want := v.csrf(); {
	case want == "":
		return errCookies
	case !hmac.Equal([]byte(want), []byte(v.r.PostForm.Get(csrfField))):
		return errForm
	}
	return nil
}

const (
	keptPrefix = "kept_"
	keptTTL    = 12 * time.Hour // as long as a browser stays signed in that has a password
	maxKept    = 1024
	// maxKeptOfOne bounds how many of them one user has, who must not sign out all others.
	maxKeptOfOne = 32
)

// kept are the tokens with which people have signed in, the operator's too: they stay in
// this process, and the browser has the name of a place here. It is safe for concurrent use.
type kept struct {
	mu sync.Mutex
	of map[[sha256.Size]byte]keptToken // by the name's hash: looking it up tells nothing of it
}

type keptToken struct {
	token  tenant.Secret
	userID string // "": the operator without one
	until  time.Time
}

func newKept() *kept { return &kept{of: map[[sha256.Size]byte]keptToken{}} }

// keep returns the name of the place where a user's token is kept from now on. When there is
// no room, the one that ends first goes: of the user's own, else of all.
func (k *kept) keep(token tenant.Secret, userID string, now time.Time) (name string) {
	name = keptPrefix + random()
	k.mu.Lock()
	defer k.mu.Unlock()
	own, n := k.first(func(t keptToken) bool { return t.userID == userID })
	if userID != "" && n >= maxKeptOfOne {
		delete(k.of, own)
	}
	if first, n := k.first(func(keptToken) bool { return true }); n >= maxKept {
		delete(k.of, first)
	}
	k.of[sha256.Sum256([]byte(name))] = keptToken{token, userID, now.Add(keptTTL)}
	return name
}

// first returns the place that ends first, and how many there are, of those wanted.
func (k *kept) first(wanted func(keptToken) bool) (first [sha256.Size]byte, n int) {
	for place, t := range k.of {
		if !wanted(t) {
			continue
		}
		if n++; n == 1 || t.until.Before(k.of[first].until) {
			first = place
		}
	}
	return first, n
}

func (k *kept) find(name string, now time.Time) (token tenant.Secret, ok bool) {
	if !strings.HasPrefix(name, keptPrefix) {
		return "", false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	place := sha256.Sum256([]byte(name))
	t, ok := k.of[place]
	if ok && now.After(t.until) {
		delete(k.of, place)
		return "", false
	}
	return t.token, ok
}

// drop reports whether there was a token in that place.
func (k *kept) drop(name string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	place := sha256.Sum256([]byte(name))
	_, ok := k.of[place]
	delete(k.of, place)
	return ok
}
