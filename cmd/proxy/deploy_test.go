package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
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
