//go:build linux

package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// names is what a host name stands for, as the proxy's resolver is told.
type names struct {
	t    *testing.T
	file string
}

const backendName = "backend.chaos.test"

// wrapper finds the library that has the C library read host names from a file.
func wrapper(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/*/libnss_wrapper.so")
	if err != nil || len(found) == 0 {
		t.Fatal("libnss_wrapper.so is missing: run 'apt-get install libnss-wrapper', or 'make test', which does")
	}
	return found[0]
}

func newNames(t *testing.T) *names {
	return &names{t, t.TempDir() + "/hosts"}
}

// before has the resolver of a program ask the file. It is the C library's: Go's own cannot be
// told from outside where to look.
func (n *names) before() []string {
	return []string{"env", "LD_PRELOAD=" + wrapper(n.t), "NSS_WRAPPER_HOSTS=" + n.file, "GODEBUG=netdns=cgo"}
}

// set changes the address.
func (n *names) set(addr string) {
	n.t.Helper()
	text := fmt.Sprintf("%s %s\n127.0.0.1 localhost\n", addr, backendName)
	if err := os.WriteFile(n.file+".new", []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
	if err := os.Rename(n.file+".new", n.file); err != nil {
		n.t.Fatal(err)
	}
}
