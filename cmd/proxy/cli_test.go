package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/respgate/respgate/internal/testbed"
)

func TestMain(m *testing.M) {
	testscript.Main(cleaned{m}, map[string]func(){"respgate": main})
}

// cleaned removes what the tests have built.
type cleaned struct{ *testing.M }

// Run runs the tests.
func (c cleaned) Run() int {
	defer func() {
		if builtAny {
			path, _ := builtBinary()
			_ = os.RemoveAll(filepath.Dir(path))
		}
	}()
	return c.M.Run()
}

// TestCommandLine runs the scripts in testdata/script: each has a folder of its own, in
// which the store is too, and a Redis at $REDIS with the password "backend-password".
func TestCommandLine(t *testing.T) {
	redis := testbed.Redis(t, "--requirepass", "backend-password")
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("REDIS", redis.Addr)
			env.Setenv("FREE", testbed.FreeAddr(t))
			env.Setenv("FREE_HTTP", testbed.FreeAddr(t))
			env.Setenv("RESPGATE_CONFIG", "")
			return nil
		},
	})
}
