package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// storeRetry is when to ask again while the store is away.
const storeRetry = 5 * time.Second

// statuses are what control's kinds of errors are answered. What is none of them is that
// the store could not be asked.
var statuses = []struct {
	kind   error
	status int
}{
	{control.ErrUnauthenticated, http.StatusUnauthorized},
	{control.ErrForbidden, http.StatusForbidden},
	{tenant.ErrNotFound, http.StatusNotFound},
	{store.ErrConflict, http.StatusConflict},
	{store.ErrQuota, http.StatusConflict},
	{store.ErrStale, http.StatusPreconditionFailed},
	{store.ErrInvalid, http.StatusUnprocessableEntity},
	{control.ErrUnavailable, http.StatusNotImplemented},
}

// refusal is problem details (RFC 9457) and the header fields that go with them.
type refusal struct {
	huma.ErrorModel
	header http.Header
}

// Unwrap lets huma write the problem details.
func (r *refusal) Unwrap() error { return &r.ErrorModel }

// GetHeaders implements huma.HeadersError.
func (r *refusal) GetHeaders() http.Header { return r.header }

// refuse makes a refusal; header is names and values of fields.
func refuse(status int, detail string, header ...string) *refusal {
	r := &refusal{ErrorModel: huma.ErrorModel{Title: http.StatusText(status), Status: status, Detail: detail}, header: http.Header{}}
	for i := 0; i+1 < len(header); i += 2 {
		r.header.Set(header[i], header[i+1])
	}
	return r
}

// at adds where what was sent is wrong, such as body.name, and why.
func (r *refusal) at(location, why string) *refusal {
	r.Errors = append(r.Errors, &huma.ErrorDetail{Location: location, Message: why})
	return r
}

// challenge says how to authenticate (RFC 6750); parameters follow the realm.
func challenge(detail, parameters string) *refusal {
	return refuse(http.StatusUnauthorized, detail, "WWW-Authenticate", `Bearer realm="respgate"`+parameters)
}

// problem is what an error of control's, or one of ours, is answered.
func (a *API) problem(ctx context.Context, operation string, err error) *refusal {
	var ours *refusal
	if errors.As(err, &ours) {
		return ours
	}
	var throttled *control.ThrottledError
	if errors.As(err, &throttled) {
		return refuse(http.StatusTooManyRequests, throttled.Error(), "Retry-After", strconv.Itoa(max(1, wholeSeconds(throttled.After))))
	}
	for _, s := range statuses {
		if !errors.Is(err, s.kind) {
			continue
		}
		if s.status == http.StatusUnauthorized {
			return challenge(err.Error(), "")
		}
		return refuse(s.status, err.Error())
	}
	if a.self != nil {
		return refuse(http.StatusServiceUnavailable, err.Error())
	}
	if !errors.Is(err, context.Canceled) {
		a.sayAway.Do(func() {
			a.log.ErrorContext(ctx, "the management API cannot ask the store", "operation", operation, "error", err)
		})
	}
	return refuse(http.StatusServiceUnavailable, "the store cannot be asked at the moment", "Retry-After", strconv.Itoa(wholeSeconds(storeRetry)))
}

// write sends the problem details.
func (r *refusal) write(w http.ResponseWriter) {
	for name, values := range r.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(r.Status)
	_ = json.NewEncoder(w).Encode(r.ErrorModel) // into memory
}

// withoutValues takes from huma's problem details what was sent: it may be a password.
func withoutValues(_ huma.Context, _ string, v any) (any, error) {
	if model, ok := v.(*huma.ErrorModel); ok {
		for _, detail := range model.Errors {
			detail.Value = nil
		}
	}
	return v, nil
}

// refuse answers what no operation is for.
func (a *API) refuse(status int, allowed string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		out := newAnswer()
		defer out.send(w)
		_, counted := addressOf(r)
		q := a.callers.take(counted, 1, 0, 0, a.now())
		q.tell(out.Header())
		switch {
		case q.wait > 0:
			refuse(http.StatusTooManyRequests, tooMany).write(out)
		case status == http.StatusMethodNotAllowed:
			refuse(status, "want "+allowed+" here", "Allow", allowed).write(out)
		default:
			refuse(status, "there is nothing at this path").write(out)
		}
	}
}

// allow is what Allow says of methods.
func allow(methods []string) string {
	var all []string
	for _, m := range methods {
		all = append(all, m)
		if m == http.MethodGet {
			all = append(all, http.MethodHead)
		}
	}
	return strings.Join(all, ", ")
}

const tooMany = "too many requests: see Retry-After"
