package console

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// failure is what a page says of why something was not done, and what to do next.
type failure struct {
	status      int
	Title       string
	What, Next  string // sentences
	retrySecond int    // when to try again; 0: nothing is said
}

// Error implements error.
func (f failure) Error() string { return f.What }

func (f failure) words() string { return strings.TrimSpace(f.What + " " + f.Next) }

var (
	errNothing = failure{status: http.StatusNotFound, Title: "Nothing here", What: "There is nothing at this address, or it is not for you to see.",
		Next: "Check the address, or begin at your organizations."}
	errMethod = failure{status: http.StatusMethodNotAllowed, Title: "Not like this", What: "This address does not take such requests.",
		Next: "Use the forms and links of the console."}
	errBroken = failure{status: http.StatusInternalServerError, Title: "Something broke", What: "Something went wrong here, and respgate's log says what.",
		Next: "Try again. Tell the operator if it stays like this."}
	errContentType = failure{status: http.StatusUnsupportedMediaType, Title: "Not a form", What: "What was sent is not a form.",
		Next: "Use the console's forms, or the API at /api/v1/docs for programs."}
	errTooLarge = failure{status: http.StatusRequestEntityTooLarge, Title: "Too much", What: "What was sent is larger than 64 KiB.",
		Next: "Go back and enter less."}
	errUnreadable = failure{status: http.StatusBadRequest, Title: "Not readable", What: "What was sent cannot be read.",
		Next: "Go back, reload the page, and send its form again."}
	errSignedOut = failure{status: http.StatusForbidden, Title: "Signed out", What: "You are not signed in any longer, and nothing was changed.",
		Next: "Sign in, and do it again."}
	errOrigin = failure{status: http.StatusForbidden, Title: "From another site", What: "The form was sent by another site, and nothing was changed.",
		Next: "If it was you, open the console and do it there."}
	errCookies = failure{status: http.StatusForbidden, Title: "No cookie", What: "Your browser has sent no cookie, and nothing was changed.",
		Next: "Allow cookies for this site, reload the page, and send its form again."}
	errForm = failure{status: http.StatusForbidden, Title: "An old form", What: "The form is not of your session, and nothing was changed: perhaps you have signed in anew since.",
		Next: "Go back, reload the page, and send its form again."}
)

// wrong refuses what was sent.
func wrong(format string, args ...any) error {
	return failure{status: http.StatusUnprocessableEntity, Title: "Not possible", What: sentence(fmt.Sprintf(format, args...)), Next: correctIt}
}

const correctIt = "Correct it, and send the form again."

// kinds are what control's kinds of errors are answered, and what to do about them. What is
// none of them is that the store could not be asked.
var kinds = []struct {
	kind        error
	status      int
	title, next string
}{
	{control.ErrUnauthenticated, http.StatusUnauthorized, "Not signed in", "Check what you have entered, and try again."},
	{control.ErrForbidden, http.StatusForbidden, "Not allowed", "Ask an owner of the organization, or an operator."},
	{store.ErrQuota, http.StatusConflict, "The quota is used up", "Remove what is not needed, or ask an operator to raise the organization's quota."},
	{store.ErrConflict, http.StatusConflict, "Not possible", "Choose another name, or remove first what is in the way."},
	{store.ErrStale, http.StatusConflict, "Changed meanwhile", "This is how it is now: look at it, and change it again."},
	{store.ErrInvalid, http.StatusUnprocessableEntity, "Not possible", correctIt},
	{control.ErrUnavailable, http.StatusNotImplemented, "Not here", "Ask a proxy that serves clients."},
}

// correctable reports whether the sender of a form can do something about its refusal.
func correctable(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusConflict, http.StatusUnprocessableEntity, http.StatusTooManyRequests, http.StatusNotImplemented:
		return true
	}
	return false
}

// failed is the page for an error. What its sender may not see is not there.
func (v *visit) failed(err error) *page {
	f := v.explain(err)
	if f.retrySecond > 0 {
		v.w.Header().Set("Retry-After", strconv.Itoa(f.retrySecond))
	}
	return &page{name: "problem", title: f.Title, status: f.status, data: f}
}

func (v *visit) explain(err error) failure {
	var f failure
	var throttled *control.ThrottledError
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, tenant.ErrNotFound) && v.r.Method == http.MethodPost:
		return failure{status: http.StatusNotFound, Title: errNothing.Title, What: sentence(err.Error()), Next: "Perhaps somebody has removed it: reload the page that you came from."}
	case errors.Is(err, tenant.ErrNotFound), errors.Is(err, control.ErrForbidden) && v.r.Method != http.MethodPost:
		return errNothing
	case errors.As(err, &throttled):
		seconds := max(1, int(math.Ceil(throttled.After.Seconds())))
		return failure{status: http.StatusTooManyRequests, Title: "Too many attempts", What: "There were too many attempts from your address, or for this account.",
			Next: fmt.Sprintf("Try again in %d s.", seconds), retrySecond: seconds}
	}
	for _, k := range kinds {
		if errors.Is(err, k.kind) {
			return failure{status: k.status, Title: k.title, What: sentence(err.Error()), Next: k.next}
		}
	}
	if !errors.Is(err, context.Canceled) {
		v.log.ErrorContext(v.r.Context(), "the console cannot ask the store", "path", v.route.path, "error", err)
	}
	return failure{status: http.StatusServiceUnavailable, Title: "The database is away", What: "The database cannot be asked at the moment. Clients that are known are served on.",
		Next: "Try again in a few seconds.", retrySecond: 5}
}

// sentence makes one of an error's words.
func sentence(words string) string {
	if words == "" {
		return ""
	}
	return strings.ToUpper(words[:1]) + strings.TrimSuffix(words[1:], ".") + "."
}
