package api

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/store"
)

// maxIdempotencyKey bounds an idempotency key, in bytes.
const maxIdempotencyKey = 255

// kept is an answer as it is kept for who asks again.
type kept struct {
	Status int         `json:"status"`
	Header http.Header `json:"header"` // as far as it is of the answer, not of the request
	Body   []byte      `json:"body"`
}

// keptFields are the header fields of a kept answer.
func keptFields() []string { return []string{"Content-Type", "ETag", "Location"} }

// once has a request with an idempotency key done once, and answered alike each time
// (draft-ietf-httpapi-idempotency-key-header). What was refused or has failed is no answer to
// keep: it may be tried again.
func (a *API) once(op *huma.Operation, actor control.Actor, r *http.Request, body []byte, out *answer, run func(*answer)) error {
	given := r.Header.Get("Idempotency-Key")
	if given == "" || !traitsOf(op).once() {
		run(out)
		return nil
	}
	key, err := idempotencyKey(given)
	if err != nil {
		return err
	}
	owner := string(actor.Kind) + ":" + actor.User.ID
	sum := sha256.New()
	_, _ = fmt.Fprintf(sum, "%s %s\n%s", r.Method, r.URL.RequestURI(), body)
	before, done, err := a.answers.Claim(r.Context(), owner, key, [sha256.Size]byte(sum.Sum(nil)), a.now())
	switch {
	case errors.Is(err, store.ErrReused):
		return refuse(http.StatusUnprocessableEntity, err.Error()).at("header.Idempotency-Key", "want another for another request")
	case err != nil:
		return err
	case done:
		return replay(before, out)
	}
	settle := func(do func(ctx context.Context) error) error { // it is done, though the client may have gone
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), a.wait)
		defer cancel()
		return do(ctx)
	}
	release := func() {
		if err := settle(func(ctx context.Context) error { return a.answers.Release(ctx, owner, key) }); err != nil {
			a.log.ErrorContext(r.Context(), "an idempotency key is not released", "operation", op.OperationID, "error", err)
		}
	}
	finished := false
	defer func() {
		if !finished { // a panic
			release()
		}
	}()
	run(out)
	finished = true
	if out.status >= http.StatusMultipleChoices {
		release()
		return nil
	}
	err = settle(func(ctx context.Context) error { return a.keep(ctx, owner, key, out) })
	if err != nil { // it is given all the same: it has been done
		a.log.ErrorContext(r.Context(), "an answer is not kept for its idempotency key", "operation", op.OperationID, "error", err)
	}
	return nil
}

// keep stores an answer.
func (a *API) keep(ctx context.Context, owner, key string, out *answer) error {
	k := kept{out.status, http.Header{}, out.body.Bytes()}
	for _, name := range keptFields() {
		if v := out.header.Values(name); len(v) > 0 {
			k.Header[http.CanonicalHeaderKey(name)] = v
		}
	}
	text, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return a.answers.Answer(ctx, owner, key, text)
}

// replay gives an answer again.
func replay(before []byte, out *answer) error {
	var k kept
	if err := json.Unmarshal(before, &k); err != nil {
		return err
	}
	for name, values := range k.Header {
		out.header[name] = values
	}
	out.header.Set("Idempotency-Replayed", "true")
	out.WriteHeader(k.Status)
	_, err := out.Write(k.Body)
	return err
}

// idempotencyKey reads the header field: a string as structured fields have it, in quotes,
// or without them.
func idempotencyKey(given string) (string, error) {
	key := given
	if unquoted, ok := strings.CutPrefix(given, `"`); ok {
		key, ok = strings.CutSuffix(unquoted, `"`)
		if !ok {
			key = ""
		}
	}
	if key == "" || len(key) > maxIdempotencyKey || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
		return "", refuse(http.StatusBadRequest, "the idempotency key is wrong").at("header.Idempotency-Key",
			fmt.Sprintf("want 1 to %d visible characters of ASCII, without quotes in them and backslashes", maxIdempotencyKey))
	}
	return key, nil
}
