package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"time"
)

const staticPath = Prefix + "/static/"

//go:embed static
var staticFiles embed.FS

// static are the style, the scripts and the icon, by name.
type static map[string]staticFile

type staticFile struct {
	text    []byte
	version string // of what is in it, in its URL: a new one is fetched, and an old one kept
}

// loadStatic reads what is part of the program.
func loadStatic() static {
	all := static{}
	entries, err := staticFiles.ReadDir("static")
	if err != nil {
		panic(err)
	}
	for _, e := range entries {
		text, err := staticFiles.ReadFile("static/" + e.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(text)
		all[e.Name()] = staticFile{text, hex.EncodeToString(sum[:6])}
	}
	return all
}

// url is where a file is.
func (s static) url(name string) string { return staticPath + name + "?v=" + s[name].version }

// ServeHTTP implements http.Handler.
func (s static) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, ok := s[r.PathValue("file")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("ETag", `"`+f.version+`"`)
	h.Set("Cache-Control", "no-cache")
	if r.URL.Query().Get("v") == f.version {
		h.Set("Cache-Control", "max-age=31536000, immutable")
	}
	http.ServeContent(w, r, r.PathValue("file"), time.Time{}, bytes.NewReader(f.text))
}
