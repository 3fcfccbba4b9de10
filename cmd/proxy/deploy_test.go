package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
)

// TestComposeFile loads docker-compose.yml as docker compose does: proxy, Redis and
// PostgreSQL are there, and what is set is something that respgate reads.
func TestComposeFile(t *testing.T) {
	options, err := cli.NewProjectOptions([]string{"../../docker-compose.yml"}, cli.WithName("respgate"), cli.WithProfiles([]string{"*"}))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"respgate", "redis", "postgres"} {
		if _, err := project.GetService(name); err != nil {
			t.Error(err)
		}
	}
	service := project.Services["respgate"]
	if _, err := os.Stat("../../" + service.Build.Dockerfile); err != nil {
		t.Errorf("respgate's Dockerfile: %v", err)
	}
	for name := range service.Environment {
		checkVariable(t, "docker-compose.yml", name)
	}
	if grace := service.StopGracePeriod; grace == nil {
		t.Error("no stop_grace_period: clients could not finish")
	}
}

// TestDockerfileEnvironment checks that the image sets what respgate reads.
func TestDockerfileEnvironment(t *testing.T) {
	text, err := os.ReadFile("../../deploy/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`RESPGATE_\w+`).FindAllString(string(text), -1)
	if len(names) == 0 {
		t.Error("it sets nothing")
	}
	for _, name := range names {
		checkVariable(t, "deploy/Dockerfile", name)
	}
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
