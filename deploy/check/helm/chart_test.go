// Package helm checks the chart in deploy/helm/respgate: that it renders what it did, that
// Kubernetes takes that, and that it agrees with the program and with configs/.
//
// It is a module of its own, since Helm brings most of Kubernetes along, which respgate
// itself has no use for.
package helm

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	"k8s.io/apimachinery/pkg/util/yaml"
	kyaml "sigs.k8s.io/yaml"
)

const (
	root      = "../../.."
	chartDir  = root + "/deploy/helm/respgate"
	namespace = "redis"
)

var update = flag.Bool("update", false, "write golden renders and the chart's README anew")

// sets are the value sets that everything is checked with, by name: testdata/values.
func sets(t *testing.T) map[string]map[string]any {
	t.Helper()
	all := map[string]map[string]any{}
	files, err := filepath.Glob("testdata/values/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no value sets: %v", err)
	}
	for _, file := range files {
		all[strings.TrimSuffix(filepath.Base(file), ".yaml")] = values(t, string(read(t, file)))
	}
	return all
}

// eachSet runs check on what the chart renders of each value set.
func eachSet(t *testing.T, check func(t *testing.T, name string, r release)) {
	c := load(t, chartDir)
	all := sets(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			r, err := render(c, all[name])
			if err != nil {
				t.Fatal(err)
			}
			check(t, name, r)
		})
	}
}

func values(t *testing.T, text string) (v map[string]any) {
	t.Helper()
	if err := kyaml.UnmarshalStrict([]byte(text), &v); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return v
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func load(t *testing.T, path string) *chart.Chart {
	t.Helper()
	c, err := loader.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// release is what the chart renders, for `helm install respgate` in the namespace redis.
type release struct {
	files   map[string]string // by the template's path in the chart
	objects []string          // the documents in them, one object each, in the templates' order
}

func render(c *chart.Chart, v map[string]any) (release, error) {
	top, err := chartutil.ToRenderValues(c, v, chartutil.ReleaseOptions{Name: "respgate", Namespace: namespace, Revision: 1, IsInstall: true}, nil)
	if err != nil {
		return release{}, err
	}
	rendered, err := engine.Engine{Strict: true}.Render(c, top)
	if err != nil {
		return release{}, err
	}
	r := release{files: map[string]string{}}
	for _, path := range slices.Sorted(maps.Keys(rendered)) {
		content, name := strings.TrimSpace(rendered[path]), strings.TrimPrefix(path, c.Name()+"/")
		if content == "" || strings.HasSuffix(path, ".tpl") {
			continue
		}
		r.files[name] = content
		if !strings.HasSuffix(path, ".yaml") {
			continue
		}
		documents, err := split(content)
		if err != nil {
			return release{}, fmt.Errorf("%s: %w", path, err)
		}
		r.objects = append(r.objects, documents...)
	}
	return r, nil
}

// split is YAML's documents, without those that have nothing but comments.
func split(content string) (documents []string, err error) {
	reader := yaml.NewYAMLReader(bufferedReader(content))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return nil, err
		}
		var content map[string]any
		if err := kyaml.Unmarshal(document, &content); err != nil {
			return nil, err
		}
		if len(content) > 0 {
			documents = append(documents, string(bytes.TrimSpace(document)))
		}
	}
}

func TestLint(t *testing.T) {
	for name, v := range sets(t) {
		t.Run(name, func(t *testing.T) {
			for _, m := range lint.AllWithKubeVersion(chartDir, v, namespace, &chartutil.KubeVersion{Version: "v1.30.0", Major: "1", Minor: "30"}).Messages {
				if m.Severity > support.InfoSev {
					t.Error(m)
				}
			}
		})
	}
}

// TestGolden shows in a diff what a change of the chart does. What comes out of configs/ is
// left out: TestRules and TestDashboards compare it.
func TestGolden(t *testing.T) {
	eachSet(t, func(t *testing.T, name string, r release) {
		var got strings.Builder
		for _, path := range slices.Sorted(maps.Keys(r.files)) {
			if path == "templates/NOTES.txt" {
				fmt.Fprintf(&got, "# Source: %s\n# %s\n", path, strings.ReplaceAll(r.files[path], "\n", "\n# "))
				continue
			}
			documents, err := split(r.files[path])
			if err != nil {
				t.Fatal(err)
			}
			for _, document := range documents {
				fmt.Fprintf(&got, "---\n# Source: %s\n%s\n", path, withoutFiles(document))
			}
		}
		file := "testdata/golden/" + name + ".yaml"
		if *update {
			if err := os.WriteFile(file, []byte(got.String()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if want := string(read(t, file)); got.String() != want {
			t.Errorf("%s is not what is rendered now; if that is right: go test ./helm -update\n%s", file, firstDifference(want, got.String()))
		}
	})
}

// withoutFiles cuts off what a file of configs/ gave.
func withoutFiles(document string) string {
	for kind, cut := range map[string]string{"kind: PrometheusRule": "\nspec:\n", "grafana_dashboard:": "\ndata:\n"} {
		if head, _, found := strings.Cut(document, cut); found && strings.Contains(head, kind) {
			return head + cut + "  # as in configs/"
		}
	}
	return document
}

func firstDifference(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d: got %q, want %q", i+1, b[i], a[i])
		}
	}
	return fmt.Sprintf("got %d lines, want %d", len(b), len(a))
}

// TestPackage has it that `helm package` takes along what links lead to: rules and dashboards.
func TestPackage(t *testing.T) {
	archive, err := chartutil.Save(load(t, chartDir), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	packed := load(t, archive)
	for name, v := range sets(t) {
		want, err := render(load(t, chartDir), v)
		if err != nil {
			t.Fatal(err)
		}
		got, err := render(packed, v)
		if err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(got.files, want.files) {
			t.Errorf("%s: the packaged chart renders something else than the folder", name)
		}
	}
	for file, from := range linked {
		i := slices.IndexFunc(packed.Files, func(f *chart.File) bool { return f.Name == file })
		if i < 0 || !bytes.Equal(packed.Files[i].Data, read(t, from)) {
			t.Errorf("the packaged chart's %s is not %s", file, from)
		}
	}
}
