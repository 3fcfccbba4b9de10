package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
)

// answer is an answer until it is sent.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// newAnswer is one with the header fields of all: nothing is to be kept, embedded, or taken
// for what it is not. That no field of CORS is among them keeps other sites' scripts out.
func newAnswer() *answer {
	return &answer{header: http.Header{
		"Cache-Control":                {"no-store"},
		"Content-Security-Policy":      {"default-src 'none'; frame-ancestors 'none'"},
		"Cross-Origin-Resource-Policy": {"same-origin"},
		"Referrer-Policy":              {"no-referrer"},
		"X-Content-Type-Options":       {"nosniff"},
		"X-Frame-Options":              {"DENY"},
	}}
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(b)
}

// reset forgets what was to be answered, but for what all answers say.
func (a *answer) reset() {
	a.status = 0
	a.body.Reset()
	for _, name := range []string{"Content-Type", "ETag", "Link", "Location"} {
		a.header.Del(name)
	}
}

// send answers.
func (a *answer) send(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	a.WriteHeader(http.StatusOK)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body.Bytes()) // the client has gone: nobody to tell
}

// tagBytes of the body's hash tell representations apart that are of one version: the name
// of its organization may have changed, or when it was last used.
const tagBytes = 9

// tag completes an entity tag that is a version, and answers 304 to whom has what it is of.
func (a *answer) tag(r *http.Request) {
	version := a.header.Get("ETag")
	if version == "" || a.status >= http.StatusMultipleChoices {
		return
	}
	sum := sha256.Sum256(a.body.Bytes())
	tag := strings.TrimSuffix(version, `"`) + "-" + base64.RawURLEncoding.EncodeToString(sum[:tagBytes]) + `"`
	a.header.Set("ETag", tag)
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return
	}
	a.header.Set("Cache-Control", "private, no-cache") // kept, and asked for each time
	for _, known := range strings.Split(strings.Join(r.Header.Values("If-None-Match"), ","), ",") {
		if known = strings.TrimPrefix(strings.TrimSpace(known), "W/"); known == tag || known == "*" {
			a.status = http.StatusNotModified
			a.body.Reset()
			a.header.Del("Content-Type")
			return
		}
	}
}
