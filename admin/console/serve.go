package console

import (
	"errors"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// maxForm bounds a form, in bytes: the longest thing in one is a key's rules.
const maxForm = 64 << 10

// policy lets a page have what this server serves and nothing else, inline scripts and
// styles neither.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// visit is a request that is being answered.
type visit struct {
	*Console
	w       http.ResponseWriter
	r       *http.Request
	route   route
	secret  string // what forms' tokens are made of: the cookie of who has signed in, or of who may
	actor   control.Actor
	problem string // what is wrong with what was sent, on the page that is shown again
	stale   bool   // it was changed meanwhile: the page shows what it is now, not what was sent
}

// form is what was sent in a field.
func (v *visit) form(name string) string { return strings.TrimSpace(v.r.PostForm.Get(name)) }

// page is an answer: a page, or where to go instead.
type page struct {
	name     string // of its template
	title    string
	data     any
	org      *orgView // whose page it is; nil: no organization's
	tab      string   // which of its
	status   int      // 0: 200
	redirect string   // a path; "": none
}

func redirect(path string) *page { return &page{redirect: path} }

// serve answers what comes for a route.
func (c *Console) serve(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", policy)
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "same-origin") // without a referrer a form's origin would be "null"
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		v := &visit{Console: c, w: w, r: r, route: rt}
		defer func() {
			if p := recover(); p != nil {
				c.log.ErrorContext(r.Context(), "panic in the console", "path", rt.path, "panic", p, "stack", string(debug.Stack()))
				v.render(v.failed(errBroken))
			}
		}()
		v.render(v.answer())
	})
}

// answer judges a request and does what it asks for.
func (v *visit) answer() *page {
	if err := v.admit(); err != nil {
		return v.failed(err)
	}
	if v.actor.Kind == tenant.ByNobody && v.route.access == signedIn {
		if v.r.Header.Get("Sec-Fetch-Site") == "cross-site" {
			// Who follows another site's link has not been let send the cookie: asking from
			// here, they are.
			v.w.Header().Set("Refresh", "0; url="+v.r.URL.RequestURI())
			return &page{name: "problem", title: "One moment", data: failure{What: "You come from another site.", Next: "The page follows."}}
		}
		return redirect(Prefix + "/sign-in?next=" + url.QueryEscape(v.r.URL.RequestURI()))
	}
	p, err := v.route.do(v)
	if err != nil {
		return v.refused(err)
	}
	return p
}

// admit finds out who sends a request, and refuses forms that are not their pages'.
func (v *visit) admit() error {
	form := v.route.method == http.MethodPost
	if form {
		if err := v.read(); err != nil {
			return err
		}
	}
	if err := v.identify(); err != nil {
		return err
	}
	switch {
	case !v.readable():
		return errUnreadable
	case !form:
		return nil
	}
	if v.actor.Kind == tenant.ByNobody && v.route.access == signedIn {
		return errSignedOut
	}
	return v.checkOrigin()
}

// read reads the form, within bounds.
func (v *visit) read() error {
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxForm)
	if t, _, err := mime.ParseMediaType(v.r.Header.Get("Content-Type")); err != nil || t != "application/x-www-form-urlencoded" {
		return errContentType
	}
	var tooLarge *http.MaxBytesError
	switch err := v.r.ParseForm(); {
	case errors.As(err, &tooLarge):
		return errTooLarge
	case err != nil:
		return errUnreadable
	}
	return nil
}

// readable reports whether all that was sent is text, as the store takes it.
func (v *visit) readable() bool {
	for _, values := range []url.Values{v.r.URL.Query(), v.r.PostForm} {
		for name, all := range values {
			if !plain(name) || slices.ContainsFunc(all, func(value string) bool { return !plain(value) }) {
				return false
			}
		}
	}
	return plain(v.r.URL.Path)
}

// plain reports whether text is UTF-8 without control characters.
func plain(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

// refused is the page that says why something was not done: the one with the form, where
// there is one and what was sent can be corrected.
func (v *visit) refused(err error) *page {
	failed := v.failed(err)
	f, _ := failed.data.(failure)
	if v.route.back == nil || !correctable(f.status) {
		return failed
	}
	v.problem, v.stale = f.words(), errors.Is(err, store.ErrStale)
	again, backErr := v.route.back(v)
	if backErr != nil {
		v.problem = ""
		return v.failed(backErr)
	}
	again.status = failed.status
	return again
}

// address is where the request came from, without the port.
func (v *visit) address() string {
	host, _, err := net.SplitHostPort(v.r.RemoteAddr)
	if err != nil {
		return v.r.RemoteAddr
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().WithZone("").String()
	}
	return host
}
