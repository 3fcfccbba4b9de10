package main

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// composeNeeds has the variables without which docker-compose.yml is nothing, each with a
// value that is found again wherever it went.
var composeNeeds = map[string]string{
	"RESPGATE_SECRET_KEY":         "value-of-RESPGATE_SECRET_KEY",
	"RESPGATE_HTTP_METRICS_TOKEN": "value-of-RESPGATE_HTTP_METRICS_TOKEN",
	"POSTGRES_PASSWORD":           "value-of-POSTGRES_PASSWORD",
	"GRAFANA_PASSWORD":            "value-of-GRAFANA_PASSWORD",
}

// loadCompose loads docker-compose.yml as Docker Compose does where these are the
// environment's variables.
func loadCompose(t *testing.T, environments ...map[string]string) (*types.Project, error) {
	t.Helper()
	env := map[string]string{}
	for _, e := range environments {
		maps.Copy(env, e)
	}
	options, err := cli.NewProjectOptions([]string{"../../docker-compose.yml"}, cli.WithEnv(types.Mapping(env).Values()), cli.WithProfiles([]string{"*"}))
	if err != nil {
		t.Fatal(err)
	}
	return options.LoadProject(t.Context())
}

func mustLoadCompose(t *testing.T, environments ...map[string]string) *types.Project {
	t.Helper()
	project, err := loadCompose(t, append([]map[string]string{composeNeeds}, environments...)...)
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// TestComposeNeeds: what is missing, or empty, is named.
func TestComposeNeeds(t *testing.T) {
	for name := range composeNeeds {
		for state, env := range map[string]map[string]string{"missing": {}, "empty": {name: ""}} {
			t.Run(name+" "+state, func(t *testing.T) {
				others := maps.Clone(composeNeeds)
				delete(others, name)
				if _, err := loadCompose(t, others, env); err == nil || !strings.Contains(err.Error(), name) {
					t.Errorf("got error %v, want one that names %s", err, name)
				}
			})
		}
	}
}

// TestComposeServices: the services that there are, and what holds for each of them.
func TestComposeServices(t *testing.T) {
	project := mustLoadCompose(t)
	want := []string{"alertmanager", "grafana", "postgres", "prometheus", "redis-acme", "redis-globex", "respgate"}
	if got := project.ServiceNames(); !slices.Equal(got, want) {
		t.Errorf("services %q, want %q", got, want)
	}
	for name, service := range project.Services {
		t.Run(name, func(t *testing.T) {
			checkPinned(t, service)
			checkConfined(t, service)
			checkHealthcheck(t, service)
			checkMounts(t, project, service)
			for on, dependency := range service.DependsOn {
				if dependency.Condition != types.ServiceConditionHealthy {
					t.Errorf("it waits for %s to be %s, want %s", on, dependency.Condition, types.ServiceConditionHealthy)
				}
			}
			for _, port := range service.Ports {
				if port.HostIP != "127.0.0.1" {
					t.Errorf("port %s is open to %q, want this machine only", port.Published, port.HostIP)
				}
			}
		})
	}
}

// checkPinned: a service is built from here, or its image's version is a release's.
func checkPinned(t *testing.T, service types.ServiceConfig) {
	t.Helper()
	if service.Build != nil {
		if _, err := os.Stat(filepath.Join(service.Build.Context, service.Build.Dockerfile)); err != nil {
			t.Errorf("Dockerfile: %v", err)
		}
		return
	}
	if !regexp.MustCompile(`^[a-z/]+:v?\d+\.\d+(\.\d+)?(-alpine)?$`).MatchString(service.Image) {
		t.Errorf("the image %s is not of one release", service.Image)
	}
}

// checkConfined: a service runs as a user who may do little.
func checkConfined(t *testing.T, service types.ServiceConfig) {
	t.Helper()
	if !regexp.MustCompile(`^[1-9]\d*:\d+$`).MatchString(service.User) {
		t.Errorf("it runs as %q, want the number of a user other than root", service.User)
	}
	if !slices.Equal(service.CapDrop, []string{"ALL"}) || len(service.CapAdd) > 0 || service.Privileged {
		t.Errorf("it has capabilities: all but %v, and %v", service.CapDrop, service.CapAdd)
	}
	if !slices.Contains(service.SecurityOpt, "no-new-privileges:true") {
		t.Errorf("security_opt is %q, want no-new-privileges", service.SecurityOpt)
	}
	// Docker Compose refuses a secret that comes from a variable where all is read-only.
	if service.ReadOnly == (len(service.Secrets) > 0) {
		t.Errorf("read_only is %t with %d secrets", service.ReadOnly, len(service.Secrets))
	}
}

func checkHealthcheck(t *testing.T, service types.ServiceConfig) {
	t.Helper()
	check := service.HealthCheck
	if check == nil || check.Disable || len(check.Test) < 2 || check.Interval == nil || check.Timeout == nil || check.StartPeriod == nil || check.Retries == nil {
		t.Errorf("healthcheck: %+v, want a test with its times", check)
	}
}

// checkMounts: what a service mounts is there: files of this repository, which it cannot
// write to, and volumes with names.
func checkMounts(t *testing.T, project *types.Project, service types.ServiceConfig) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, mount := range service.Volumes {
		switch mount.Type {
		case types.VolumeTypeVolume:
			if _, ok := project.Volumes[mount.Source]; !ok {
				t.Errorf("%s is no volume with a name: %q", mount.Target, mount.Source)
			}
		case types.VolumeTypeBind:
			if _, err := os.Stat(mount.Source); err != nil || !strings.HasPrefix(mount.Source, root+string(filepath.Separator)) {
				t.Errorf("%s mounts what this repository has not: %s (%v)", mount.Target, mount.Source, err)
			}
			if !mount.ReadOnly {
				t.Errorf("%s can be written to", mount.Target)
			}
		default:
			t.Errorf("%s is a %s", mount.Target, mount.Type)
		}
	}
}

// TestComposeVariables: where the ports and secrets end up that are set.
func TestComposeVariables(t *testing.T) {
	ports := func(project *types.Project) map[string]string {
		all := map[string]string{}
		for name, service := range project.Services {
			for _, port := range service.Ports {
				all[port.Published] = name
			}
		}
		return all
	}
	want := map[string]string{"6380": "respgate", "3000": "respgate", "9090": "prometheus", "9093": "alertmanager", "3001": "grafana"}
	if got := ports(mustLoadCompose(t)); !maps.Equal(got, want) {
		t.Errorf("without variables the ports are %v, want %v", got, want)
	}
	project := mustLoadCompose(t, map[string]string{"PROMETHEUS_PORT": "19090", "ALERTMANAGER_PORT": "19093", "GRAFANA_PORT": "13001", "RESPGATE_HTTP_ADMIN_TOKEN": "an operator's"})
	want = map[string]string{"6380": "respgate", "3000": "respgate", "19090": "prometheus", "19093": "alertmanager", "13001": "grafana"}
	if got := ports(project); !maps.Equal(got, want) {
		t.Errorf("with variables the ports are %v, want %v", got, want)
	}
	for _, row := range []struct{ service, name, want string }{
		{"respgate", "RESPGATE_SECRET_KEY", composeNeeds["RESPGATE_SECRET_KEY"]},
		{"respgate", "RESPGATE_HTTP_METRICS_TOKEN", composeNeeds["RESPGATE_HTTP_METRICS_TOKEN"]},
		{"respgate", "RESPGATE_HTTP_ADMIN_TOKEN", "an operator's"},
		{"respgate", "PGPASSWORD", composeNeeds["POSTGRES_PASSWORD"]},
		{"postgres", "POSTGRES_PASSWORD", composeNeeds["POSTGRES_PASSWORD"]},
		{"grafana", "GF_SECURITY_ADMIN_PASSWORD", composeNeeds["GRAFANA_PASSWORD"]},
		{"grafana", "GF_SERVER_ROOT_URL", "http://127.0.0.1:13001/"},
	} {
		if got := project.Services[row.service].Environment[row.name]; got == nil || *got != row.want {
			t.Errorf("%s's %s is not %q", row.service, row.name, row.want)
		}
	}
	if got := project.Secrets["metrics_token"].Environment; got != "RESPGATE_HTTP_METRICS_TOKEN" {
		t.Errorf("Prometheus's token comes from %q", got)
	}
	for name := range project.Services["respgate"].Environment {
		if name != "PGPASSWORD" { // PostgreSQL's own
			checkVariable(t, "docker-compose.yml", name)
		}
	}
}

// TestComposeSecrets: a secret is what was set for it, so that none is in the file.
func TestComposeSecrets(t *testing.T) {
	secret := regexp.MustCompile(`(PASSWORD|TOKEN|SECRET_KEY)`)
	admin := map[string]string{"RESPGATE_HTTP_ADMIN_TOKEN": "value-of-RESPGATE_HTTP_ADMIN_TOKEN"}
	found := 0
	for name, service := range mustLoadCompose(t, admin).Services {
		for key, value := range service.Environment {
			if secret.MatchString(key) {
				found++
				if value == nil || !strings.HasPrefix(*value, "value-of-") {
					t.Errorf("%s's %s is not what was set", name, key)
				}
			}
		}
	}
	if found < len(composeNeeds) {
		t.Errorf("%d secrets found", found)
	}
}

// TestComposeNetworks: nobody but respgate reaches a tenant's Redis or the store, nor do
// these reach anything else.
func TestComposeNetworks(t *testing.T) {
	project := mustLoadCompose(t)
	members := map[string][]string{}
	for _, name := range project.ServiceNames() {
		for network := range project.Services[name].Networks {
			members[network] = append(members[network], name)
		}
	}
	for network, want := range map[string][]string{
		"acme":   {"redis-acme", "respgate"},
		"globex": {"redis-globex", "respgate"},
		"store":  {"postgres", "respgate"},
		"front":  {"alertmanager", "grafana", "prometheus", "respgate"},
	} {
		if got := members[network]; !slices.Equal(got, want) {
			t.Errorf("in the network %s are %q, want %q", network, got, want)
		}
		if inner := project.Networks[network].Internal; inner != (network != "front") {
			t.Errorf("the network %s: internal is %t", network, inner)
		}
		delete(members, network)
	}
	if len(members) > 0 {
		t.Errorf("there are further networks: %v", members)
	}
}

// TestComposeStop: clients can finish before the process is killed.
func TestComposeStop(t *testing.T) {
	service := mustLoadCompose(t).Services["respgate"]
	least := stopsWithin(t)
	if grace := service.StopGracePeriod; grace == nil || time.Duration(*grace) < least {
		t.Errorf("stop_grace_period is %v, want at least %v", grace, least)
	}
}

// TestEnvExample: .env.example names what docker-compose.yml takes, with the defaults that it has.
func TestEnvExample(t *testing.T) {
	compose, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("../../.env.example")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, found := range regexp.MustCompile(`\$\{(\w+):[-?]([^}]*)\}`).FindAllStringSubmatch(string(compose), -1) {
		want[found[1]] = strings.TrimSuffix(found[2], "see .env.example")
	}
	got := map[string]string{}
	for _, found := range regexp.MustCompile(`(?m)^(\w+)=(.*)$`).FindAllStringSubmatch(string(example), -1) {
		got[found[1]] = found[2]
	}
	if !maps.Equal(got, want) {
		t.Errorf(".env.example has %v, want %v", got, want)
	}
}
