package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/respgate/respgate/internal/testbed"
)

func TestMain(m *testing.M) {
	os.Exit(cleaned{m}.Run())
}

// cleaned removes what the tests have built.
type cleaned struct{ *testing.M }

// Run runs the tests.
func (c cleaned) Run() int {
	defer func() { _ = testbed.RemoveRespgate() }()
	return c.M.Run()
}

// TestCommandLine runs the scripts in testdata/script: each has a folder of its own, in
// which the store is too, and a Redis at $REDIS with the password "backend-password".
func TestCommandLine(t *testing.T) {
	redis := testbed.Redis(t, "--requirepass", "backend-password")
	for _, dir := range []string{"testdata/script", managed} {
		testscript.Run(t, testscript.Params{Dir: dir, Setup: inFolder(t, redis.Addr, nil)})
	}
}

// managed has the scripts that manage organizations.
const managed = "testdata/script/managed"

// TestCommandLineRemote runs the scripts that manage organizations again, each at a proxy
// with a store of its own over HTTP: they are told the same there.
func TestCommandLineRemote(t *testing.T) {
	redis := testbed.Redis(t, "--requirepass", "backend-password")
	scripts, err := filepath.Glob(managed + "/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("%d scripts, %v", len(scripts), err)
	}
	for _, script := range scripts {
		cfg := testConfig(t)
		cfg.HTTP.AdminToken = "the operator's own token, long enough"
		r := startServe(t, cfg)
		testscript.Run(t, testscript.Params{Files: []string{script}, Setup: inFolder(t, redis.Addr, map[string]string{
			"RESPGATE_SERVER":    "http://" + r.http,
			"RESPGATE_TOKEN":     cfg.HTTP.AdminToken.Reveal(),
			"RESPGATE_STORE_DSN": ":memory:", // which no store can be at
		})})
	}
}

// inFolder sets a script up with a Redis and variables.
func inFolder(t *testing.T, redis string, variables map[string]string) func(*testscript.Env) error {
	t.Helper()
	binary, err := testbed.Respgate() // the tests' own, with the race detector, takes ten times as long to start
	if err != nil {
		t.Fatal(err)
	}
	return func(env *testscript.Env) error {
		env.Setenv("PATH", filepath.Dir(binary)+string(filepath.ListSeparator)+env.Getenv("PATH"))
		env.Setenv("REDIS", redis)
		env.Setenv("FREE", testbed.FreeAddr(t))
		env.Setenv("FREE_HTTP", testbed.FreeAddr(t))
		env.Setenv("RESPGATE_CONFIG", "")
		for name, value := range variables {
			env.Setenv(name, value)
		}
		return nil
	}
}

// TestEveryCommandIsDocumented: docs/CLI.md has each command and each of its own flags.
func TestEveryCommandIsDocumented(t *testing.T) {
	document, err := os.ReadFile("../../docs/CLI.md")
	if err != nil {
		t.Fatal(err)
	}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		if c.HasSubCommands() {
			return
		}
		if !strings.Contains(string(document), "`"+c.CommandPath()+"`") && !strings.Contains(string(document), "`"+c.CommandPath()+" ") {
			t.Errorf("%s is not there", c.CommandPath())
		}
		c.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" && !strings.Contains(string(document), "--"+f.Name) {
				t.Errorf("%s --%s is not there", c.CommandPath(), f.Name)
			}
		})
	}
	walk((&app{}).root())
}
