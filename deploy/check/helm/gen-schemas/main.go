// Command gen-schemas writes deploy/check/helm/testdata/kubernetes.json: what Kubernetes's own
// OpenAPI document says of the kinds that the chart makes, and of all that they consist of,
// as a JSON schema. Run it in deploy/check: go run ./helm/gen-schemas
//
// Descriptions are left out, and what is not named is not allowed.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	module = "k8s.io/kubernetes@v1.37.2" // Kubernetes, as the Go module proxy has it: 40 MB
	output = "helm/testdata/kubernetes.json"
)

var kinds = []string{
	"io.k8s.api.apps.v1.Deployment",
	"io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
	"io.k8s.api.core.v1.ConfigMap",
	"io.k8s.api.core.v1.PersistentVolumeClaim",
	"io.k8s.api.core.v1.Pod",
	"io.k8s.api.core.v1.Service",
	"io.k8s.api.core.v1.ServiceAccount",
	"io.k8s.api.networking.v1.NetworkPolicy",
	"io.k8s.api.policy.v1.PodDisruptionBudget",
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "gen-schemas:", err)
		os.Exit(1)
	}
}

func run() error {
	dir, err := download()
	if err != nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(dir, "api/openapi-spec/swagger.json")) //nolint:gosec // where the go command has put it
	if err != nil {
		return err
	}
	var document struct{ Definitions map[string]map[string]any }
	if err := json.Unmarshal(b, &document); err != nil {
		return err
	}
	needed := map[string]any{}
	for _, kind := range kinds {
		if err := collect(document.Definitions, kind, needed); err != nil {
			return err
		}
	}
	out, err := json.MarshalIndent(map[string]any{"$comment": "made by gen-schemas from " + module, "definitions": needed}, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(output, append(out, '\n'), 0o600)
}

// download has the go command get Kubernetes's source, and returns its folder.
func download() (string, error) {
	out, err := exec.Command("go", "mod", "download", "-json", module).Output() //nolint:noctx // a tool that runs to its end
	if err != nil {
		return "", fmt.Errorf("go mod download %s: %w: %s", module, err, out)
	}
	var got struct{ Dir string }
	return got.Dir, json.Unmarshal(out, &got)
}

// collect puts a definition, and those that it refers to, into needed.
func collect(all map[string]map[string]any, name string, needed map[string]any) error {
	if _, there := needed[name]; there {
		return nil
	}
	definition, there := all[name]
	if !there {
		return fmt.Errorf("there is no definition %s", name)
	}
	needed[name] = nil // it may refer to itself
	schema := map[string]any{}
	for _, key := range []string{"type", "required", "format"} {
		if v, there := definition[key]; there {
			schema[key] = v
		}
	}
	if strings.HasSuffix(name, ".IntOrString") || strings.HasSuffix(name, ".Quantity") {
		schema = map[string]any{"type": []string{"string", "number"}}
	}
	properties, _ := definition["properties"].(map[string]any)
	if len(properties) > 0 {
		schema["additionalProperties"] = false
		schema["properties"] = properties
	}
	needed[name] = schema
	return prune(all, schema["properties"], needed)
}

// prune takes out of properties what validates nothing, and follows their references.
func prune(all map[string]map[string]any, v any, needed map[string]any) error {
	switch v := v.(type) {
	case []any:
		for _, one := range v {
			if err := prune(all, one, needed); err != nil {
				return err
			}
		}
	case map[string]any:
		if ref, is := v["$ref"].(string); is {
			for key := range v {
				if key != "$ref" {
					delete(v, key)
				}
			}
			return collect(all, strings.TrimPrefix(ref, "#/definitions/"), needed)
		}
		for key, one := range v {
			if text, is := one.(string); is && text != "" && key == "description" || strings.HasPrefix(key, "x-kubernetes-") || key == "default" && !isSchema(one) {
				delete(v, key)
				continue
			}
			if err := prune(all, one, needed); err != nil {
				return err
			}
		}
	}
	return nil
}

// isSchema tells a property that is called "default" from a default.
func isSchema(v any) bool {
	_, is := v.(map[string]any)
	return is
}
