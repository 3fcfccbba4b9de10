package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/tenant"
)

// actorKey is what a request's context has its actor by.
type actorKey struct{}

func actorOf(ctx context.Context) control.Actor {
	actor, _ := ctx.Value(actorKey{}).(control.Actor)
	return actor
}

// serve is the way of a request to an operation and of its answer back. The answer is kept
// until it is whole: a panic on the way makes it a problem.
func (a *API) serve(op *huma.Operation, handler func(huma.Context)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		out := newAnswer()
		defer out.send(w)
		defer func() {
			if p := recover(); p != nil {
				a.log.ErrorContext(r.Context(), "panic in the management API", "operation", op.OperationID, "panic", p, "stack", string(debug.Stack()))
				out.reset()
				refuse(http.StatusInternalServerError, "something went wrong here: the log says what").write(out)
			}
		}()
		ctx, cancel := context.WithTimeout(r.Context(), a.wait)
		defer cancel()
		r = r.WithContext(ctx)
		actor, err := a.identify(op, out.Header(), r)
		if err != nil {
			a.problem(r.Context(), op.OperationID, err).write(out)
			return
		}
		body, err := content(op, r)
		if err != nil {
			a.problem(r.Context(), op.OperationID, err).write(out)
			return
		}
		r = r.WithContext(context.WithValue(r.Context(), actorKey{}, actor))
		run := func(out *answer) {
			r.Body = io.NopCloser(bytes.NewReader(body))
			handler(humago.NewContext(op, r, out))
		}
		if err := a.once(op, actor, r, body, out, run); err != nil {
			a.problem(r.Context(), op.OperationID, err).write(out)
			return
		}
		out.tag(r)
	}
}

// identify says who asks, as far as there is room for them.
func (a *API) identify(op *huma.Operation, h http.Header, r *http.Request) (control.Actor, error) {
	if a.self != nil {
		return *a.self, nil
	}
	address, counted := addressOf(r)
	if traitsOf(op).public {
		return control.Actor{Kind: tenant.ByNobody, Address: address}, a.limitCaller(counted, 1, h)
	}
	// A bad token costs a look into the store: who has sent too many sends no more.
	if err := a.limitCaller(counted, 0, h); err != nil {
		return control.Actor{}, err
	}
	token, ok := bearer(r)
	if !ok {
		return control.Actor{}, errors.Join(a.limitCaller(counted, 1, h), challenge("send a token as 'Authorization: Bearer TOKEN'", ""))
	}
	actor, err := a.control.Authenticate(r.Context(), token, address)
	switch {
	case errors.Is(err, control.ErrUnauthenticated):
		return actor, errors.Join(a.limitCaller(counted, 1, h), challenge("the token is not good, or no longer: send another as 'Authorization: Bearer TOKEN'", `, error="invalid_token"`))
	case err != nil:
		return actor, err
	}
	q := a.tokens.take(actor.Token.ID, 1, actor.Token.Rate, actor.Token.Burst, a.now())
	q.tell(h)
	if q.wait > 0 {
		return actor, refuse(http.StatusTooManyRequests, tooMany)
	}
	return actor, nil
}

// limitCaller counts n requests of who has no good token.
func (a *API) limitCaller(counted string, n int, h http.Header) error {
	q := a.callers.take(counted, n, 0, 0, a.now())
	q.tell(h)
	if q.wait > 0 {
		return refuse(http.StatusTooManyRequests, tooMany)
	}
	return nil
}

// bearer returns the token that a request has (RFC 6750).
func bearer(r *http.Request) (tenant.Secret, bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	return tenant.Secret(token), token != "" && strings.EqualFold(scheme, "bearer")
}

// page answers with what is made once, for everybody.
func (a *API) page(contentType string, build func() ([]byte, error)) http.HandlerFunc {
	build = sync.OnceValues(build)
	return func(w http.ResponseWriter, r *http.Request) {
		out := newAnswer()
		defer out.send(w)
		_, counted := addressOf(r)
		text, err := build()
		switch limited := a.limitCaller(counted, 1, out.Header()); {
		case limited != nil:
			a.problem(r.Context(), "page", limited).write(out)
		case err != nil:
			a.log.Error("the management API's description", "error", err)
			refuse(http.StatusInternalServerError, "something went wrong here: the log says what").write(out)
		default:
			out.Header().Set("Content-Type", contentType)
			out.Header().Set("Content-Security-Policy", docsPolicy())
			out.Header().Set("ETag", `"0"`)
			_, _ = out.Write(text)
			out.tag(r)
		}
	}
}
