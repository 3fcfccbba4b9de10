package helm

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kyaml "sigs.k8s.io/yaml"
)

// schemas are Kubernetes's own, from testdata/kubernetes.json: gen-schemas writes it.
var schemas = sync.OnceValues(func() (*jsonschema.Compiler, error) {
	b, err := os.ReadFile("testdata/kubernetes.json")
	if err != nil {
		return nil, err
	}
	var document any
	if err := json.Unmarshal(b, &document); err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	return c, c.AddResource("kubernetes.json", document)
})

// required checks what Go's types cannot tell: that nothing is left out. What the Prometheus
// operator defines has no schema there, and goes by its types alone.
func required(document string, kind *schema.GroupVersionKind) error {
	group, _, _ := strings.Cut(kind.Group, ".")
	switch {
	case kind.Group == "monitoring.coreos.com":
		return nil
	case group == "":
		group = "core"
	}
	c, err := schemas()
	if err != nil {
		return err
	}
	s, err := c.Compile(fmt.Sprintf("kubernetes.json#/definitions/io.k8s.api.%s.%s.%s", group, kind.Version, kind.Kind))
	if err != nil {
		return err
	}
	asJSON, err := kyaml.YAMLToJSON([]byte(document))
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(asJSON)))
	if err != nil {
		return err
	}
	return s.Validate(value)
}
