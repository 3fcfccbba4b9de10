package api

import (
	"encoding/json"
	"strings"
	"testing"
)

// FuzzBody: a body that is let through is JSON that parsers agree about.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{`{"name":"acme","rate":1}`, `{"a":{"b":[1,2,{"c":null}]}}`, `{"a":1,"a":2}`, `{"A":1}`, "\"\\u0000\"", "\"\\ud800\"", "[", "[]]", "1e400", "{\"a\":\"\xff\"}", strings.Repeat("[", 20)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if checkJSON(body) != nil || len(body) == 0 {
			return
		}
		var v any
		if err := json.Unmarshal(body, &v); err != nil && !strings.Contains(err.Error(), "cannot unmarshal number") {
			t.Fatalf("%q is let through and is no JSON: %v", body, err)
		}
		looked(t, v, 0)
	})
}

// looked checks a value as a handler would see it.
func looked(t *testing.T, v any, depth int) {
	if depth > maxDepth {
		t.Fatalf("a value of more than %d levels is let through", maxDepth)
	}
	switch v := v.(type) {
	case string:
		if strings.ContainsRune(v, 0) {
			t.Fatalf("%q is let through", v)
		}
	case []any:
		for _, item := range v {
			looked(t, item, depth+1)
		}
	case map[string]any:
		for name, item := range v {
			if name != strings.ToLower(name) {
				t.Fatalf("the field %q is let through", name)
			}
			looked(t, item, depth+1)
		}
	}
}

// FuzzHeaders: what header fields and cursors say is read without a panic, and what is let
// through is in bounds.
func FuzzHeaders(f *testing.F) {
	for _, seed := range []string{`"3-3q2-7wAAAAAA"`, "*", `W/"1"`, "1.YWNtZQ", "application/json;q=0, */*", `"8e03978e"`, ";;;", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		acceptable([]string{text})
		if version, err := (Matching{IfMatch: text}).version(); err == nil && version < 0 {
			t.Errorf("If-Match %q is version %d", text, version)
		}
		if key, err := idempotencyKey(text); err == nil && (key == "" || len(key) > maxIdempotencyKey) {
			t.Errorf("Idempotency-Key %q is the key %q", text, key)
		}
		if after, err := (&PageQuery{Cursor: text}).after(); err == nil && text != "" && (after == "" || !plain(after)) {
			t.Errorf("cursor %q is after %q", text, after)
		}
	})
}
