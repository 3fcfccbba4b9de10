package helm

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const (
	chartReadme = chartDir + "/README.md"
	tableBegin  = "<!-- values: made by go test ./helm -update in deploy/check -->\n"
	tableEnd    = "<!-- end -->\n"
)

// value is a row of the README's table: a value, or a tree that Kubernetes defines.
type value struct{ path, fallback, text string }

// described are the values of values.yaml. Each has a comment that begins with "--".
func described(t *testing.T) (all []value) {
	t.Helper()
	var document yaml.Node
	if err := yaml.Unmarshal(read(t, chartDir+"/values.yaml"), &document); err != nil {
		t.Fatal(err)
	}
	var walk func(node *yaml.Node, path string)
	walk = func(node *yaml.Node, path string) {
		for i := 0; i < len(node.Content); i += 2 {
			key, v := node.Content[i], node.Content[i+1]
			_, text, found := strings.Cut(key.HeadComment, "# -- ")
			switch {
			case found:
				var fallback any
				if err := v.Decode(&fallback); err != nil {
					t.Fatal(err)
				}
				b, err := json.Marshal(fallback)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, value{path + key.Value, string(b), strings.ReplaceAll(text, "\n# ", " ")})
			case v.Kind == yaml.MappingNode && len(v.Content) > 0:
				walk(v, path+key.Value+".")
			default:
				t.Errorf("values.yaml: %s%s has no comment that begins with --", path, key.Value)
			}
		}
	}
	walk(document.Content[0], "")
	return all
}

// TestReadmeHasAllValues has the table in the chart's README be what values.yaml says.
func TestReadmeHasAllValues(t *testing.T) {
	var table strings.Builder
	table.WriteString("| value | default | what it is |\n| --- | --- | --- |\n")
	for _, v := range described(t) {
		fallback := "`" + v.fallback + "`"
		if len(v.fallback) > 60 {
			fallback = "see values.yaml"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", v.path, fallback, v.text)
	}
	before, rest, found := strings.Cut(string(read(t, chartReadme)), tableBegin)
	got, after, ended := strings.Cut(rest, tableEnd)
	if !found || !ended {
		t.Fatalf("%s has no place for the table", chartReadme)
	}
	if *update {
		if err := os.WriteFile(chartReadme, []byte(before+tableBegin+table.String()+tableEnd+after), 0o600); err != nil {
			t.Fatal(err)
		}
		got = table.String()
	}
	if got != table.String() {
		t.Errorf("the table in %s is not what values.yaml says now: go test ./helm -update\n%s", chartReadme, firstDifference(table.String(), got))
	}
}

// TestSchemaHasNothingElse has values.schema.json allow what values.yaml has, and no more:
// that it allows all of it each render shows.
func TestSchemaHasNothingElse(t *testing.T) {
	type node struct {
		Type                 any
		Properties           map[string]node
		AdditionalProperties any
	}
	var schema node
	if err := json.Unmarshal(read(t, chartDir+"/values.schema.json"), &schema); err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, v := range described(t) {
		paths = append(paths, v.path)
	}
	var walk func(n node, path string)
	walk = func(n node, path string) {
		for name, p := range n.Properties {
			at := path + name
			switch known := slices.ContainsFunc(paths, func(p string) bool { return p == at || strings.HasPrefix(p, at+".") }); {
			case slices.Contains(paths, at), at == "global": // global is Helm's own
			case !known:
				t.Errorf("values.schema.json allows %s, which values.yaml has not", at)
			case len(p.Properties) == 0:
				t.Errorf("values.schema.json says nothing of what is in %s", at)
			case p.AdditionalProperties != false && !strings.HasPrefix(at, "config"):
				t.Errorf("values.schema.json allows anything in %s", at)
			}
			if !slices.Contains(paths, at) {
				walk(p, at+".")
			}
		}
	}
	walk(schema, "")
}
