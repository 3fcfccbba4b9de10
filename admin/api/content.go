package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
)

const (
	maxBody  = 64 << 10
	maxDepth = 16 // of JSON in JSON

	jsonType  = "application/json"
	patchType = "application/merge-patch+json"
)

// content checks what a request says and wants apart from its operation's own rules, and
// returns its body.
func content(op *huma.Operation, r *http.Request) ([]byte, error) {
	if !acceptable(r.Header.Values("Accept")) {
		return nil, refuse(http.StatusNotAcceptable, "answers are "+jsonType)
	}
	if err := checkURL(r.URL); err != nil {
		return nil, err
	}
	changes := op.Method != http.MethodPost && op.Method != http.MethodGet
	if tag := r.Header.Get("If-Match"); changes && !traitsOf(op).versioned && tag != "" && tag != "*" {
		return nil, refuse(http.StatusPreconditionFailed, "there are no versions of this: leave If-Match out")
	}
	if op.RequestBody == nil {
		if n, _ := io.ReadFull(r.Body, make([]byte, 1)); n > 0 {
			throwAway(r)
			return nil, refuse(http.StatusBadRequest, "this takes no body", "Connection", "close").at("body", "want none")
		}
		return nil, nil
	}
	if r.ContentLength > maxBody {
		return nil, tooLarge(r)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "the body did not arrive whole")
	case len(body) > maxBody:
		return nil, tooLarge(r)
	}
	if err := checkType(op, r.Header.Get("Content-Type")); err != nil {
		return nil, err
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, refuse(http.StatusUnsupportedMediaType, fmt.Sprintf("a body of Content-Encoding %.20q: want it as it is", coding), "Accept-Encoding", "identity")
	}
	if err := checkJSON(body); err != nil {
		return nil, refuse(http.StatusBadRequest, "the body is not JSON as it should be").at("body", err.Error())
	}
	return body, nil
}

func tooLarge(r *http.Request) error {
	throwAway(r)
	return refuse(http.StatusRequestEntityTooLarge, fmt.Sprintf("a body has at most %d bytes", maxBody), "Connection", "close")
}

// maxThrownAway bounds how much is read of a body that is not wanted, in bytes.
const maxThrownAway = 16 << 20

// throwAway reads a body that is not wanted. Most clients read the answer when they have sent
// all: if the connection were closed before, they would see that instead.
func throwAway(r *http.Request) {
	if waits := r.ContentLength >= 0 && r.Header.Get("Expect") != ""; !waits {
		_, _ = io.CopyN(io.Discard, r.Body, maxThrownAway) // whatever comes of it
	}
}

// acceptable reports whether answers in JSON may be given to who sent these (RFC 9110, 12.5.1).
func acceptable(accept []string) bool {
	all := strings.Join(accept, ",")
	if strings.TrimSpace(all) == "" {
		return true
	}
	best, quality := -1, 0.0
	for _, entry := range strings.Split(all, ",") {
		media, params, err := mime.ParseMediaType(entry)
		if err != nil {
			continue
		}
		specific := slices.Index([]string{"*/*", "application/*", jsonType}, media)
		if specific < best || specific < 0 {
			continue
		}
		q, err := strconv.ParseFloat(params["q"], 64)
		if err != nil {
			q = 1
		}
		if specific > best || q > quality {
			best, quality = specific, q
		}
	}
	return quality > 0
}

// checkURL refuses what no name, id or cursor has, and databases differ about.
func checkURL(u *url.URL) error {
	bad := func(where string) error {
		return refuse(http.StatusBadRequest, "the URL is wrong").at(where, "want percent-encoded UTF-8 without control characters")
	}
	if !plain(u.Path) {
		return bad("path")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return bad("query")
	}
	for name, values := range query {
		if !plain(name) {
			return bad("query")
		}
		if len(values) > 1 {
			return refuse(http.StatusBadRequest, "the URL is wrong").at("query."+name, "want it once")
		}
		if !plain(values[0]) {
			return bad("query." + name)
		}
	}
	return nil
}

// plain reports whether text is UTF-8 without control characters.
func plain(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// checkType says what a body may be.
func checkType(op *huma.Operation, given string) error {
	media, params, err := mime.ParseMediaType(given)
	_, known := op.RequestBody.Content[media]
	charset, hasCharset := params["charset"]
	if err != nil || !known || hasCharset && !strings.EqualFold(charset, "utf-8") {
		want := slices.Sorted(maps.Keys(op.RequestBody.Content))
		r := refuse(http.StatusUnsupportedMediaType, "want a body of Content-Type "+strings.Join(want, " or "))
		if op.Method == http.MethodPatch {
			r.header.Set("Accept-Patch", strings.Join(want, ", "))
		}
		return r
	}
	return nil
}

// checkJSON refuses what JSON parsers take differently: names that come twice or are not in
// lower case, bytes that are no UTF-8, and NUL, which databases do not keep.
func checkJSON(body []byte) error {
	if len(body) == 0 {
		return nil // huma says that it is missing
	}
	if !utf8.Valid(body) {
		return errors.New("want UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := checkValue(d, 0); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("want one JSON value, and nothing after it")
	}
	return nil
}

// checkValue reads one value.
func checkValue(d *json.Decoder, depth int) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	switch token := token.(type) {
	case string:
		if strings.ContainsRune(token, 0) {
			return errors.New("a string has the character U+0000")
		}
	case json.Delim:
		if depth == maxDepth {
			return fmt.Errorf("want at most %d levels", maxDepth)
		}
		for names := map[string]bool{}; d.More(); {
			if token == '{' {
				if err := checkField(d, names); err != nil {
					return err
				}
			}
			if err := checkValue(d, depth+1); err != nil {
				return err
			}
		}
		_, err = d.Token() // what closes it
	}
	return err
}

// checkField reads a field's name. encoding/json takes names in any case, and the last of
// several.
func checkField(d *json.Decoder, names map[string]bool) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	name, _ := token.(string)
	switch {
	case strings.ContainsFunc(name, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' }):
		return fmt.Errorf("unknown field %.50q: names are of a-z, 0-9 and '_'", name)
	case names[name]:
		return fmt.Errorf("field %q comes twice", name)
	}
	names[name] = true
	return nil
}
