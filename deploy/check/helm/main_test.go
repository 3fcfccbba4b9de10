package helm

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	core "k8s.io/api/core/v1"
	kyaml "sigs.k8s.io/yaml"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // Helm tells of each link that it follows
	code := m.Run()
	if binaryDir != "" {
		_ = os.RemoveAll(binaryDir)
	}
	os.Exit(code)
}

var binaryDir string

// builtBinary builds respgate once for all tests, as the main module's tests do, so that the
// go command has it ready for them.
var builtBinary = sync.OnceValues(func() (string, error) {
	var err error
	if binaryDir, err = os.MkdirTemp("", "respgate-helm-"); err != nil {
		return "", err
	}
	path := filepath.Join(binaryDir, "respgate")
	build := exec.Command("go", "build", "-o", path, "./cmd/proxy")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return path, nil
})

func binary(t *testing.T) string {
	t.Helper()
	path, err := builtBinary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// environment is what a container is given by name and value; what comes from a Secret is
// there with the Secret's name and key.
func environment(c core.Container) map[string]string {
	env := map[string]string{}
	for _, e := range c.Env {
		env[e.Name] = e.Value
		if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
			env[e.Name] = e.ValueFrom.SecretKeyRef.Name + "/" + e.ValueFrom.SecretKeyRef.Key
		}
	}
	return env
}

// configText is respgate.yaml as the ConfigMap that the Deployment mounts has it.
func configText(t *testing.T, r release) string {
	t.Helper()
	for _, m := range find[*core.ConfigMap](t, r) {
		if text, there := m.Data["respgate.yaml"]; there {
			return text
		}
	}
	t.Fatal("no ConfigMap has respgate.yaml")
	return ""
}

func config(t *testing.T, r release) (c map[string]any) {
	t.Helper()
	if err := kyaml.UnmarshalStrict([]byte(configText(t, r)), &c); err != nil {
		t.Fatal(err)
	}
	return c
}
