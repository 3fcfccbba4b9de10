package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

var errCursor = errors.New("want next of a page of this list")

// Optional is a field of a merge patch (RFC 7396).
type Optional[T any] struct {
	Sent  bool // else the field stays as it is
	Value T    // the zero value for null
}

// UnmarshalJSON implements json.Unmarshaler.
func (o *Optional[T]) UnmarshalJSON(text []byte) error {
	o.Sent = true
	if bytes.Equal(text, []byte("null")) {
		return nil
	}
	return json.Unmarshal(text, &o.Value)
}

// Schema implements huma.SchemaProvider.
func (o *Optional[T]) Schema(r huma.Registry) *huma.Schema {
	s := *r.Schema(reflect.TypeFor[T](), true, "")
	return &s
}

// to sets what is to be changed.
func (o *Optional[T]) to(field *T) {
	if o.Sent {
		*field = o.Value
	}
}

// Matching is which version is to be changed.
type Matching struct {
	IfMatch string `header:"If-Match" example:"\"3-3q2-7wAAAAAA\"" doc:"ETag of what is to be changed: 412 when it was changed meanwhile"`
}

// version reads the entity tag; 0 is any.
func (m Matching) version() (int64, error) {
	tag := strings.TrimSpace(m.IfMatch)
	if tag == "" || tag == "*" {
		return 0, nil
	}
	stale := refuse(http.StatusPreconditionFailed, "it is not what If-Match says: get it again")
	if strings.HasPrefix(tag, "W/") {
		return 0, stale // never the same (RFC 9110, 13.1.1)
	}
	tag, opened := strings.CutPrefix(tag, `"`)
	tag, closed := strings.CutSuffix(tag, `"`)
	if !opened || !closed || strings.Contains(tag, `"`) {
		return 0, refuse(http.StatusBadRequest, "a header field is wrong").at("header.If-Match", `want one entity tag in quotes, as ETag has it, or "*"`)
	}
	number, _, _ := strings.Cut(tag, "-")
	version, err := strconv.ParseInt(number, 10, 64)
	if err != nil || version <= 0 {
		return 0, stale
	}
	return version, nil
}

// NoneMatching is what who asks has already.
type NoneMatching struct {
	IfNoneMatch string `header:"If-None-Match" doc:"ETag of what is known: 304 when it is still that"`
}

// found answers with a single thing.
type found[V any] struct {
	ETag string `header:"ETag" doc:"its version, for If-Match and If-None-Match"`
	Body V
}

// made answers with a thing that is new.
type made[V any] struct {
	Location string `header:"Location" doc:"where it is"`
	ETag     string `header:"ETag" doc:"its version, for If-Match and If-None-Match"`
	Body     V
}

// none answers with nothing.
type none struct{}

// etag begins an entity tag; answer.tag completes it.
func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// at is the path of a thing.
func at(parts ...string) string {
	path := Prefix
	for _, p := range parts {
		path += "/" + url.PathEscape(p)
	}
	return path
}
