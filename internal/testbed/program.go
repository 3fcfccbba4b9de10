package testbed

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
)

// Respgate returns the program that `make build` builds, without the race detector: with it,
// starting takes ten times as long. It is built once for all tests of a process, whose TestMain
// calls RemoveRespgate in the end.
var Respgate = sync.OnceValues(func() (string, error) {
	_, here, _, _ := runtime.Caller(0)
	dir, err := os.MkdirTemp("", "respgate-test-")
	if err != nil {
		return "", err
	}
	built.dir = dir
	path := filepath.Join(dir, "respgate")
	cmd := exec.Command("go", "build", "-o", path, "./cmd/proxy")
	cmd.Dir = filepath.Join(filepath.Dir(here), "..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return path, nil
})

// built is what there is to remove.
var built struct{ dir string }

// RemoveRespgate removes what Respgate has built, when no test runs any more.
func RemoveRespgate() error { return os.RemoveAll(built.dir) }
