package console

import (
	"strings"
	"testing"

	"github.com/respgate/respgate/internal/testbed/stores"
)

// testStatic: what pages need is there, and kept for as long as it is the same.
func testStatic(t *testing.T, open stores.Opener) {
	w := newWorld(t, open)
	b := w.browser(t)
	for n := range b.get("/console/sign-in").root.Descendants() {
		for _, link := range []string{attr(n, "src"), attr(n, "href")} {
			if !strings.HasPrefix(link, staticPath) {
				continue
			}
			s := b.get(link).want(200)
			if s.header.Get("Cache-Control") != "max-age=31536000, immutable" || s.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s: %v", link, s.header)
			}
		}
	}
	if got := b.get(staticPath + "console.css").want(200).header.Get("Cache-Control"); got != "no-cache" {
		t.Errorf("without its version it is kept: %s", got)
	}
	b.get(staticPath + "nosuch").want(404)
	b.get(staticPath + "..%2fconsole.go").want(404)
}

// testStoreAway: while the store cannot be asked a page says so, and when to try again.
func testStoreAway(t *testing.T, open stores.Opener) {
	w := newWorld(t, open)
	b := w.as(t, "operator")
	must[struct{}](t)(struct{}{}, w.store.Close())
	s := b.get("/console/").want(503, "The database cannot be asked", "few seconds")
	if s.header.Get("Retry-After") != "5" {
		t.Errorf("Retry-After is %q", s.header.Get("Retry-After"))
	}
}
