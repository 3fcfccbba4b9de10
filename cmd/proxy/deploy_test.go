package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// TestDockerfileEnvironment checks that the image sets what respgate reads.
func TestDockerfileEnvironment(t *testing.T) {
	env := dockerfileEnvironment(t)
	if len(env) == 0 {
		t.Error("it sets nothing")
	}
	for name := range env {
		checkVariable(t, "deploy/Dockerfile", name)
	}
}

// dockerfileEnvironment is what the image's environment has of respgate's.
func dockerfileEnvironment(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../deploy/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for _, found := range regexp.MustCompile(`(RESPGATE_\w+)=(\S+)`).FindAllStringSubmatch(string(text), -1) {
		env[found[1]] = found[2]
	}
	return env
}

func checkVariable(t *testing.T, file, name string) {
	t.Helper()
	known := slices.ContainsFunc(new(Config).settings(), func(s setting) bool {
		return name == "RESPGATE_"+strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))
	})
	if !known && name != "RESPGATE_SECRET_KEY" && name != "RESPGATE_CONFIG" {
		t.Errorf("%s sets %s, which respgate does not read", file, name)
	}
}

// TestUnitStops: systemd gives clients the time to finish that the defaults give them.
func TestUnitStops(t *testing.T) {
	unit, err := os.ReadFile("../../deploy/packages/respgate.service")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^TimeoutStopSec=(\d+)$`).FindSubmatch(unit)
	if found == nil {
		t.Fatal("the unit has no TimeoutStopSec")
	}
	if got, err := time.ParseDuration(string(found[1]) + "s"); err != nil || got < stopsWithin(t) {
		t.Errorf("TimeoutStopSec is %v, %v, want at least %v", got, err, stopsWithin(t))
	}
}

// stopsWithin is how long the process takes to end at most, with the defaults.
func stopsWithin(t *testing.T) time.Duration {
	t.Helper()
	cfg := new(Config)
	for _, s := range cfg.settings() {
		if err := s.set(s.fallback); err != nil {
			t.Fatal(err)
		}
	}
	return cfg.Shutdown.Delay + cfg.Shutdown.DrainTimeout + time.Second + httpStopTimeout // as docs/OPERATING.md has it
}

// TestManPages: every command has a page.
func TestManPages(t *testing.T) {
	dir := t.TempDir()
	if status := run(t.Context(), []string{"man", dir}, nil, io.Discard, os.Stderr); status != 0 {
		t.Fatalf("status %d", status)
	}
	want := 0
	var check func(c *cobra.Command)
	check = func(c *cobra.Command) {
		page := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1"
		text, err := os.ReadFile(filepath.Join(dir, page))
		if err != nil || !strings.Contains(string(text), strings.Fields(c.Short)[0]) {
			t.Errorf("%s: %v, %d bytes", page, err, len(text))
		}
		want++
		for _, sub := range c.Commands() {
			check(sub)
		}
	}
	check(new(app).root())
	if pages, err := filepath.Glob(dir + "/*"); err != nil || len(pages) < want || want < 40 {
		t.Errorf("there are %d pages, %v, for %d commands", len(pages), err, want)
	}
	if status := run(t.Context(), []string{"man", filepath.Join(dir, "nosuch")}, nil, io.Discard, io.Discard); status != 1 {
		t.Errorf("a folder that is not there: status %d", status)
	}
}
