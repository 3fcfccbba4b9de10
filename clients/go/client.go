// Package respgate is a client of respgate's management API, made of the API's OpenAPI
// document; this file has what is written by hand.
//
// A field that may be null is a [nullable.Nullable]: in a patch, null sets the default, and
// what is not specified stays as it is.
package respgate

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"strings"
)

// WithToken has a client send a bearer token with every request: an operator's, or a user's.
// The token is as good as a password; send it over https, or within one machine.
func WithToken(token string) ClientOption {
	return WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+token)
		return nil
	})
}

// Answer is what every operation of ClientWithResponses returns.
type Answer interface {
	StatusCode() int
	Bytes() []byte // the body
}

// Error is an answer that says why something was not done.
type Error struct {
	Status  int     // of HTTP
	Problem Problem // nothing is set where the answer is no problem details
}

// Error implements error: the problem's detail, with the fields that are wrong.
func (e *Error) Error() string {
	text := cmp.Or(http.StatusText(e.Status), fmt.Sprintf("status %d", e.Status))
	if d := e.Problem.Detail; d != nil && *d != "" {
		text = *d
	}
	var fields []string
	for _, f := range e.Fields() {
		fields = append(fields, strings.TrimPrefix(f.Location+": "+f.Message, ": "))
	}
	if len(fields) > 0 {
		text += ": " + strings.Join(fields, ", ")
	}
	return text
}

// Field is one that is wrong in what was sent.
type Field struct {
	Location string // such as body.name
	Message  string
}

// Fields are those that are wrong.
func (e *Error) Fields() []Field {
	if e.Problem.Errors == nil {
		return nil
	}
	var all []Field
	for _, d := range *e.Problem.Errors {
		var f Field
		if d.Location != nil {
			f.Location = *d.Location
		}
		if d.Message != nil {
			f.Message = *d.Message
		}
		all = append(all, f)
	}
	return all
}

// Check returns the error that an operation returned, or an *Error where its answer is one.
func Check(a Answer, err error) error {
	if err != nil {
		return err
	}
	status := a.StatusCode()
	if status >= http.StatusOK && status < http.StatusMultipleChoices {
		return nil
	}
	e := &Error{Status: status}
	_ = json.Unmarshal(a.Bytes(), &e.Problem) // else the status is all that is known
	return e
}

// All returns the items of a list over all its pages, up to the first error. T is what an
// item is, or json.RawMessage. page asks for one page; the cursor is nil for the first.
func All[T any](page func(cursor *string) (Answer, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var cursor *string
		for {
			var list struct {
				Items []T    `json:"items"`
				Next  string `json:"next"`
			}
			answer, err := page(cursor)
			if err = Check(answer, err); err == nil {
				err = json.Unmarshal(answer.Bytes(), &list)
			}
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range list.Items {
				if !yield(item, nil) {
					return
				}
			}
			if list.Next == "" {
				return
			}
			cursor = &list.Next
		}
	}
}
