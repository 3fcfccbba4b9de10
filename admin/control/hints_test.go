package control

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// asked notes which queries a store is asked.
type asked struct {
	mu  sync.Mutex
	all []string
}

func (a *asked) Query(_ context.Context, name string, _ time.Duration, _ error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, name)
}

func (a *asked) take() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer func() { a.all = nil }()
	return a.all
}

// TestNoHints: neither the words nor the work of an answer tell a stranger that there is what
// the stranger may not see.
func TestNoHints(t *testing.T) {
	ctx, queries := t.Context(), &asked{}
	st := must[*store.Store](t)(store.Open(ctx, store.Config{Driver: "sqlite", DSN: "file:" + t.TempDir() + "/respgate.db"}, queries))
	t.Cleanup(func() { _ = st.Close() })
	s := New(Config{}, st)
	must[tenant.Organization](t)(st.CreateOrganization(ctx, tenant.Organization{Name: "acme"}))
	must[tenant.User](t)(st.CreateUser(ctx, tenant.User{Email: "ann@example.com"}))
	stranger := Actor{Kind: tenant.ByUser, User: must[tenant.User](t)(st.CreateUser(ctx, tenant.User{Email: "eve@example.com"}))}
	for _, c := range []struct {
		name, there, not string
		try              func(name string) error
	}{
		{"a user, by e-mail address", "Ann@example.com", "Bob@example.com", func(name string) error {
			_, err := s.UserByEmail(ctx, stranger, name)
			return err
		}},
		{"an organization", "acme", "umbrella", func(name string) error {
			_, err := s.Organization(ctx, stranger, name)
			return err
		}},
		{"an instance", "acme", "umbrella", func(name string) error {
			_, err := s.CreateInstance(ctx, stranger, tenant.Instance{Org: name, Name: "cache", URL: testURL})
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			queries.take()
			hidden := c.try(c.there)
			work := queries.take()
			missing := c.try(c.not)
			if !errors.Is(hidden, tenant.ErrNotFound) || !errors.Is(missing, tenant.ErrNotFound) {
				t.Fatalf("got %v and %v, want both not found", hidden, missing)
			}
			if got, want := hidden.Error(), strings.ReplaceAll(missing.Error(), c.not, c.there); got != want {
				t.Errorf("what is hidden is answered %q, want %q", got, want)
			}
			if want := queries.take(); !slices.Equal(work, want) {
				t.Errorf("for what is hidden the store is asked %v, for what is not there %v", work, want)
			}
		})
	}
}

// TestNotedWithoutTheStoresWords: what the database says of itself, such as where it is, is not
// for an organization's members.
func TestNotedWithoutTheStoresWords(t *testing.T) {
	for _, c := range []struct {
		err     error
		outcome tenant.Outcome
		detail  string
	}{
		{nil, tenant.Done, ""},
		{errors.New("write tcp 10.0.0.7:4711->10.0.0.9:5432: broken pipe"), tenant.Failed, "the store could not be asked"},
		{context.Canceled, tenant.Failed, "who asked has gone"},
		{problem(store.ErrInvalid, "want another name"), tenant.Failed, "want another name"},
		{problem(store.ErrStale, "it was changed meanwhile"), tenant.Failed, "it was changed meanwhile"},
		{problem(ErrUnavailable, "no instance can be tested from here"), tenant.Failed, "no instance can be tested from here"},
		{forbidden("this is for operators"), tenant.Denied, "this is for operators"},
		{hide("key %q", "x"), tenant.Denied, "it is not the actor's to see"},
	} {
		if outcome, detail := outcome(c.err); outcome != c.outcome || detail != c.detail {
			t.Errorf("%v: noted as %s, %q, want %s, %q", c.err, outcome, detail, c.outcome, c.detail)
		}
	}
}
