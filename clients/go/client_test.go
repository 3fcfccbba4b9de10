package respgate

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write client.gen.go anew")

// TestGenerated: client.gen.go is what the generator makes of docs/openapi.json.
func TestGenerated(t *testing.T) {
	const file = "client.gen.go"
	// go test keeps a result until a file changes that the test itself has read.
	for _, name := range []string{"../../docs/openapi.json", "oapi-codegen.yaml", "overlay.yaml", "../../go.mod"} {
		if _, err := os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	var failure bytes.Buffer
	generator := exec.Command("go", "tool", "oapi-codegen", "-config", "oapi-codegen.yaml", "../../docs/openapi.json")
	generator.Stderr = &failure
	got, err := generator.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &failure)
	}
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the generator makes of docs/openapi.json: run 'make clients-go'", file)
	}
}

// answers is a server that answers each request with the next body.
func answers(t *testing.T, status int, bodies ...string) *ClientWithResponses {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if status >= 400 {
			w.Header().Set("Content-Type", "application/problem+json")
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(bodies[0]))
		bodies = bodies[1:]
	}))
	t.Cleanup(s.Close)
	c, err := NewClientWithResponses(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   string // "" is no error
	}{
		{"done", 204, "", ""},
		{"a problem", 404, `{"title":"Not Found","status":404,"detail":"key \"x\" not found"}`, `key "x" not found`},
		{"fields", 422, `{"detail":"validation failed","errors":[{"location":"body.rate","message":"expected integer"},{"message":"twice"}]}`,
			"validation failed: body.rate: expected integer, twice"},
		{"no detail", 503, `{}`, "Service Unavailable"},
		{"no problem details", 502, `{}`, "Bad Gateway"},
		{"a redirect", 302, "", "Found"},
		{"no status that there is", 599, `{}`, "status 599"},
	} {
		res, err := answers(t, c.status, c.body).DeleteKeyWithResponse(t.Context(), "x", nil)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		err = Check(res, err)
		var failed *Error
		switch {
		case c.want == "" && err != nil, c.want != "" && (err == nil || err.Error() != c.want):
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		case err != nil && (!errors.As(err, &failed) || failed.Status != c.status):
			t.Errorf("%s: got %+v, want the status %d", c.name, failed, c.status)
		}
	}
	c, err := NewClientWithResponses("http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Check(c.GetMeWithResponse(ctx)); !errors.Is(err, context.Canceled) {
		t.Errorf("without an answer: %v, want the request's error", err)
	}
}

// TestAll: pages follow each other until there is none, or one that cannot be had.
func TestAll(t *testing.T) {
	for _, c := range []struct {
		name  string
		pages []string
		want  string
	}{
		{"none", []string{`{"items":[],"next":""}`}, ""},
		{"two", []string{`{"items":[{"id":"a"},{"id":"b"}],"next":"1.x"}`, `{"items":[{"id":"c"}],"next":""}`}, "a b c"},
		{"no list", []string{`{"items":[{"id":"a"}],"next":"1.x"}`, `{"items":7}`}, "a error"},
	} {
		client := answers(t, 200, c.pages...)
		var got []string
		cursors := []string{}
		for key, err := range All[Key](func(cursor *string) (Answer, error) {
			if cursor != nil {
				cursors = append(cursors, *cursor)
			}
			return client.ListAllKeysWithResponse(t.Context(), &ListAllKeysParams{Cursor: cursor})
		}) {
			if err != nil {
				key.ID = "error"
			}
			got = append(got, key.ID)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
		if want := len(c.pages) - 1; !slices.Equal(cursors, slices.Repeat([]string{"1.x"}, want)) {
			t.Errorf("%s: asked for the cursors %q, want next of each page", c.name, cursors)
		}
	}
}
