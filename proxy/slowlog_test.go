package proxy

import (
	"testing"

	"github.com/respgate/respgate/insight"
)

// newBook returns what a core is made with.
func newBook(t testing.TB) *insight.Book {
	t.Helper()
	book, err := insight.New(insight.Config{Proxy: "proxy1", MaxLen: 128, Sample: 1})
	if err != nil {
		t.Fatal(err)
	}
	return book
}
