package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"flag"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/respgate/respgate/internal/testbed/stores"
)

var update = flag.Bool("update", false, "write docs/openapi.json anew")

const committed = "../../docs/openapi.json"

// TestDocument: docs/openapi.json is what is served.
func TestDocument(t *testing.T) {
	got, err := Document()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(committed, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(committed)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("docs/openapi.json is not what is served: run 'go test ./admin/api -run TestDocument -update'")
	}
}

// TestWords: everything in the document is described, and nothing else is.
func TestWords(t *testing.T) {
	spec := New(Config{}, nil, nil, slog.New(slog.DiscardHandler)).build().spec
	used := map[string]bool{}
	words := glossary()
	for name, s := range spec.Components.Schemas.Map() {
		for field, p := range s.Properties {
			if p.Description == "" {
				t.Errorf("%s.%s has no description", name, field)
			}
			if p.Type == huma.TypeArray && p.Nullable {
				t.Errorf("%s.%s may be null", name, field)
			}
			if _, ok := words[name+"."+field]; ok {
				field = name + "." + field
			}
			used[field] = true
		}
	}
	for field := range words {
		if !used[field] {
			t.Errorf("%s is described and nowhere there", field)
		}
	}
	for _, op := range operationsOf(spec) {
		if op.Summary == "" || len(op.Tags) != 1 || op.OperationID == "" {
			t.Errorf("%s %s has no summary, tag or id", op.Method, op.Path)
		}
		for _, p := range op.Parameters {
			if p.Description == "" {
				t.Errorf("%s: parameter %s has no description", op.OperationID, p.Name)
			}
		}
	}
}

// testPage: the page for people has every operation and schema, and needs nothing but itself.
func testPage(t *testing.T, open stores.Opener) {
	w := newWorld(t, open, Config{})
	rec := w.do(t, request{call: "GET /docs"})
	page := rec.Body.String()
	if rec.Code != 200 || rec.Header().Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("got %d, %s", rec.Code, rec.Header().Get("Content-Type"))
	}
	spec := w.api.build().spec
	for _, op := range operationsOf(spec) {
		if !strings.Contains(page, `id="`+op.OperationID+`"`) {
			t.Errorf("%s is not there", op.OperationID)
		}
	}
	for name := range spec.Components.Schemas.Map() {
		if !strings.Contains(page, `id="`+name+`"`) {
			t.Errorf("%s is not there", name)
		}
	}
	for _, bad := range []string{"<script", "style=", "http://", "https://", "ZgotmplZ", "&lt;no value"} {
		if strings.Contains(strings.ReplaceAll(page, "<style>", ""), bad) {
			t.Errorf("the page has %s", bad)
		}
	}
	_, style, _ := strings.Cut(page, "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	sum := sha256.Sum256([]byte(style))
	if csp := rec.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") || !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("Content-Security-Policy %s", csp)
	}
	for _, target := range regexp.MustCompile(`href="#([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if !strings.Contains(page, `id="`+target[1]+`"`) {
			t.Errorf("a link to #%s, which is not there", target[1])
		}
	}
	if rec := w.do(t, request{call: "GET /openapi.json"}); rec.Code != 200 || rec.Header().Get("Content-Type") != "application/json" || !json.Valid(rec.Body.Bytes()) {
		t.Errorf("openapi.json: got %d, %s", rec.Code, rec.Header().Get("Content-Type"))
	}
}
