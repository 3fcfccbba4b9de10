package api

import (
	"cmp"
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/store"
)

// PageQuery is which part of a list is wanted.
type PageQuery struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"how many items at most"`
	Cursor string `query:"cursor" maxLength:"1024" doc:"next of the page before; none begins"`
	url    url.URL
}

// Resolve implements huma.Resolver.
func (p *PageQuery) Resolve(ctx huma.Context) []error {
	p.url = ctx.URL()
	if _, err := p.after(); err != nil {
		return []error{&huma.ErrorDetail{Location: "query.cursor", Message: err.Error()}}
	}
	return nil
}

// List is a page of a list.
type List[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next"`
}

type listed[T any] struct {
	Link string `header:"Link" doc:"the next page, as rel=\"next\", when there is one"`
	Body List[T]
}

// cursorVersion tells cursors of other forms, which may come, from these.
const cursorVersion = "1."

// after reads the cursor.
func (p *PageQuery) after() (string, error) {
	if p.Cursor == "" {
		return "", nil
	}
	text, ok := strings.CutPrefix(p.Cursor, cursorVersion)
	after, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if !ok || err != nil || len(after) == 0 || !plain(string(after)) {
		return "", errCursor
	}
	return string(after), nil
}

// page is the part as the store takes it, with an item more, which tells whether it is the
// last.
func (p *PageQuery) page() store.Page {
	after, _ := p.after() // Resolve has read it
	return store.Page{After: after, Limit: p.Limit + 1}
}

// pageOf makes a page of items as page asked for them, ordered by key.
func pageOf[T, V any](p PageQuery, items []T, key func(T) string, view func(T) V) *listed[V] {
	more := len(items) > p.Limit
	items = items[:min(len(items), p.Limit)]
	out := &listed[V]{Body: List[V]{Items: control.Views(items, view)}}
	if more {
		out.Body.Next = cursorVersion + base64.RawURLEncoding.EncodeToString([]byte(key(items[len(items)-1])))
		query := p.url.Query()
		query.Set("cursor", out.Body.Next)
		query.Set("limit", strconv.Itoa(p.Limit))
		out.Link = "<" + p.url.EscapedPath() + "?" + query.Encode() + `>; rel="next"`
	}
	return out
}

// cut makes a page of all items, in the order of key.
func cut[T, V any](p PageQuery, all []T, key func(T) string, view func(T) V) *listed[V] {
	after := p.page().After
	slices.SortStableFunc(all, func(a, b T) int { return cmp.Compare(key(a), key(b)) })
	from, _ := slices.BinarySearchFunc(all, after, func(v T, after string) int {
		if key(v) <= after {
			return -1
		}
		return 1
	})
	if after == "" {
		from = 0
	}
	return pageOf(p, all[from:], key, view)
}
