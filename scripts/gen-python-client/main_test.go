package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../.."

// TestCurrent: the Python client is what the API's description says, and its secrets are.
func TestCurrent(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, source))
	if err != nil {
		t.Fatal(err)
	}
	files, err := generate(text)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(root, target, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what is generated: run 'make clients-python'", name)
		}
	}
	for _, secret := range secrets {
		model, name, _ := strings.Cut(secret, ".")
		_, class, _ := strings.Cut(string(files["models.py"]), "class "+model+":\n")
		class, _, _ = strings.Cut(class, "\nclass ")
		if !strings.Contains(class, "    "+name+": str = field(repr=False)\n") {
			t.Errorf("%s is not there, or is shown", secret)
		}
	}
}

// described returns a document with one operation and the schemas T, which it answers, and B,
// which it is sent.
func described(t *testing.T, operation, properties string) []byte {
	t.Helper()
	text := `{"paths":{"/v1/things/{thing}":{"post":` + operation + `}},"components":{"schemas":{
		"Problem":{"type":"object","properties":{"status":{"type":"integer"}}},
		"T":{"type":"object","required":["name"],"properties":{"name":{"type":"string"},` + properties + `}},
		"B":{"type":"object","required":["name"],"properties":{"name":{"type":"string"},"rate":{"type":["integer","null"]}}},
		"Empty":{"type":"object"},
		"ListT":{"type":"object","properties":{"items":{"type":"array","items":{"$ref":"#/components/schemas/T"}}}}}}}`
	if !json.Valid([]byte(text)) {
		t.Fatalf("no JSON: %s", text)
	}
	return []byte(text)
}

const (
	sent     = `"requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/B"}}}}`
	answered = `"responses":{"200":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/T"}}},"headers":{"ETag":{}}}}`
	listed   = `"responses":{"200":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/ListT"}}}}}`
	inPath   = `{"name":"thing","in":"path","description":"which","schema":{"type":"string"}}`
)

func TestGenerate(t *testing.T) {
	for _, row := range []struct {
		name, operation, properties string
		want                        []string
	}{
		{
			name:       "sent and answered",
			operation:  `{"operationId":"changeThing","summary":"Change a thing","parameters":[` + inPath + `,{"name":"If-Match","in":"header","schema":{"type":"string"}}],` + sent + `,` + answered + `}`,
			properties: `"at":{"type":["string","null"],"format":"date-time","description":"when"}`,
			want: []string{
				"    def change_thing(\n        self,\n        thing: str,\n        body: models.B,\n        *,\n        if_match: Optional[str] = None,\n    ) -> models.T:\n",
				"        \"\"\"Change a thing.\n\n        thing: which\n",
				`f"/v1/things/{segment(thing)}"`,
				`header={"If-Match": if_match},`,
				"@dataclass(frozen=True)\nclass T:\n    name: str\n    # when\n    at: Optional[datetime] = None\n",
				"    etag: Optional[str] = field(default=None, compare=False)\n",
				"class _BRequired(TypedDict):\n    name: str\n\n\nclass B(_BRequired, total=False):\n    rate: Optional[int]\n",
			},
		},
		{
			name:       "a list",
			operation:  `{"operationId":"listThings","parameters":[{"name":"limit","in":"query","schema":{"type":"integer"}},{"name":"cursor","in":"query","schema":{"type":"string"}},{"name":"from","in":"query","schema":{"type":"string","format":"date-time"}}],` + listed + `}`,
			properties: `"kinds":{"type":"array","items":{"type":"string","enum":["a","b"]}},"counts":{"type":"object","additionalProperties":{"type":"number"}},"more":{}`,
			want: []string{
				"        page_size: Optional[int] = None,\n        from_: Optional[datetime] = None,\n    ) -> Iterator[models.T]:",
				`{"limit": page_size, "from": from_}`,
				`    kinds: Optional[list[Literal["a", "b"]]] = None`,
				"    counts: Optional[dict[str, float]] = None",
				"    more: Any = None",
			},
		},
		{
			name:       "nothing is answered",
			operation:  `{"operationId":"endThing","responses":{"204":{}}}`,
			properties: `"more":{}`,
			want:       []string{"    def end_thing(self) -> None:", `        self._call(type(None), "POST", `},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			files, err := generate(described(t, row.operation, row.properties))
			if err != nil {
				t.Fatal(err)
			}
			all := string(files["models.py"]) + string(files["client.py"])
			for _, want := range row.want {
				if !strings.Contains(all, want) {
					t.Errorf("no %s in:\n%s", want, all)
				}
			}
		})
	}
}

// TestRefused: what has no Python is named, not guessed or left out.
func TestRefused(t *testing.T) {
	change := `{"operationId":"changeThing",` + answered + `}`
	for _, row := range []struct{ name, operation, properties, want string }{
		{"alternatives", change, `"one":{"oneOf":[{"type":"string"}]}`, "schemas: T: one: oneOf, anyOf and allOf have no Python"},
		{"several types", change, `"one":{"type":["string","integer"]}`, "schemas: T: one: several types [string integer]"},
		{"an object within", change, `"one":{"type":"object","properties":{}}`, "schemas: T: one: type object has no Python here"},
		{"nothing within", strings.ReplaceAll(change, "/T", "/Empty"), `"one":{}`, "schemas: Empty: want an object with named properties"},
		{"a keyword", change, `"class":{"type":"string"}`, "schemas: T: class cannot be a field's name in Python"},
		{"an answer without a name", `{"responses":{"200":{"content":{"application/json":{"schema":{"type":"string"}}}}}}`, `"one":{}`, "post /v1/things/{thing}: response 200: want application/json with a $ref"},
		{"sent and answered alike", `{"operationId":"x",` + strings.Replace(sent, "/B", "/T", 1) + `,` + answered + `}`, `"one":{}`, "schemas: T is both sent and answered"},
		{"no list", `{"parameters":[{"name":"cursor","in":"query","schema":{"type":"string"}}],` + answered + `}`, `"one":{}`, "post /v1/things/{thing}: a cursor, and T is no list of models"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := generate(described(t, row.operation, row.properties))
			if err == nil || err.Error() != row.want {
				t.Errorf("got %v, want %s", err, row.want)
			}
		})
	}
}
