package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/dotenv"

	"github.com/respgate/respgate/internal/pages"
	"github.com/respgate/respgate/internal/testbed"
)

// TestComposeRuns does what the README says about Docker, with docker-compose.yml's services
// run by the same programs without it: they become healthy, each by its own check, the two
// tenants' clients are served, and Prometheus sees it.
func TestComposeRuns(t *testing.T) {
	blocks := pages.Blocks(t, "README.md") // the one that makes .env, the others
	if len(blocks) != 2 {
		t.Fatalf("the README has %d blocks with Docker", len(blocks))
	}
	dir := t.TempDir()
	if out, err := exec.Command("bash", "-ec", "cd "+dir+"\n"+blocks[0].Text).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	env, err := dotenv.Read(filepath.Join(dir, ".env"))
	if err != nil {
		t.Fatal(err)
	}
	project, err := loadCompose(t, env)
	if err != nil {
		t.Fatalf("with the .env that the README makes: %v", err)
	}
	s := newStack(t, project, env)
	s.checkHealthchecksFail()
	s.start()
	s.checkGrafana()

	s.checkTour(dir, blocks[1].Text)
	s.checkPrometheus()
}

// checkHealthchecksFail: no health check is content with a service that is not there.
func (s *stack) checkHealthchecksFail() {
	s.t.Helper()
	for _, name := range s.project.ServiceNames() {
		if s.healthy(name) == nil {
			s.t.Errorf("%s, which does not run, is healthy", name)
		}
	}
}

// docker stands in for Docker in the README's commands: the services run already.
const docker = `#!/bin/bash
case "$*" in
"compose up --detach --build --wait") ;;
"compose exec -T respgate /respgate "*) exec env -i %s %q "${@:6}" ;;
*) echo "docker $*: not what is expected" >&2; exit 1 ;;
esac
`

// checkTour runs the README's commands that want the services to run.
func (s *stack) checkTour(dir, script string) {
	s.t.Helper()
	var env []string
	for _, variable := range s.environment("respgate") {
		env = append(env, "'"+variable+"'")
	}
	s.write(filepath.Join(s.bin, "docker"), fmt.Sprintf(docker, strings.Join(env, " "), s.path("respgate", "/respgate")))
	if err := os.Chmod(filepath.Join(s.bin, "docker"), 0o700); err != nil {
		s.t.Fatal(err)
	}
	demo, err := os.ReadFile("../../deploy/demo.yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "deploy"), 0o700); err != nil {
		s.t.Fatal(err)
	}
	s.write(filepath.Join(dir, "deploy/demo.yaml"), s.local("respgate", string(demo)))
	_, port, _ := net.SplitHostPort(s.addrs["respgate:6380"])
	script = strings.NewReplacer("127.0.0.1:9090", s.addrs["prometheus:9090"], "-p 6380", "-p "+port).Replace(script)
	cmd := exec.CommandContext(s.t.Context(), "timeout", "60", "bash", "-ec", script)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), s.environment("prometheus")...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Errorf("%v", err)
	}
	pages.Want(s.t, out, `(?m)^7 created, 0 updated, 0 deleted, 0 unchanged$`, `(?m)^OK$`, `"command":"set","instance":"[^"]*","job":"[^"]*","tenant":"acme/cache"`)
	for name, want := range map[string]string{"redis-acme": "hello", "redis-globex": ""} {
		_, port, _ := net.SplitHostPort(s.addrs[name+":6379"])
		got, err := exec.CommandContext(s.t.Context(), "redis-cli", "-p", port, "get", "greeting").Output()
		if err != nil || strings.TrimSpace(string(got)) != want {
			s.t.Errorf("%s has %q (%v), want %q", name, got, err, want)
		}
	}
}

// checkPrometheus: Prometheus scrapes respgate, with the token that /metrics wants, has its
// rules without an error, and knows the Alertmanager.
func (s *stack) checkPrometheus() {
	s.t.Helper()
	if status, _ := httpGet(s.t, "http://"+s.addrs["respgate:3000"]+"/metrics"); status != http.StatusUnauthorized {
		s.t.Errorf("/metrics without a token: %d, want 401", status)
	}
	var trouble string // such as a scrape that took too long for once
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("scrapes: %s", trouble)
		}
	})
	testbed.Eventually(s.t, "Prometheus scrapes respgate", func() bool {
		var found struct {
			ActiveTargets []struct{ Health, ScrapeURL, LastError string }
		}
		s.askPrometheus("/api/v1/targets", &found)
		for _, target := range found.ActiveTargets {
			if target.Health == "down" {
				trouble = target.ScrapeURL + ": " + target.LastError
			}
			if target.Health == "up" && target.ScrapeURL == "http://"+s.addrs["respgate:3000"]+"/metrics" {
				return true
			}
		}
		return false
	})
	testbed.Eventually(s.t, "Prometheus knows the Alertmanager", func() bool {
		var found struct{ ActiveAlertmanagers []struct{ URL string } }
		s.askPrometheus("/api/v1/alertmanagers", &found)
		return len(found.ActiveAlertmanagers) == 1 && strings.HasPrefix(found.ActiveAlertmanagers[0].URL, "http://"+s.addrs["alertmanager:9093"]+"/")
	})
	testbed.Eventually(s.t, "Prometheus has looked at all rules", func() bool {
		var found struct {
			Groups []struct {
				Rules []struct{ Name, Type, Health, LastError string }
			}
		}
		s.askPrometheus("/api/v1/rules", &found)
		alerts, unknown := 0, 0
		for _, group := range found.Groups {
			for _, rule := range group.Rules {
				switch {
				case rule.Health == "err":
					s.t.Fatalf("the rule %s: %s", rule.Name, rule.LastError)
				case rule.Health == "unknown":
					unknown++
				case rule.Type == "alerting":
					alerts++
				}
			}
		}
		return alerts > 0 && unknown == 0
	})
}

// askPrometheus decodes the data of an answer.
func (s *stack) askPrometheus(path string, data any) {
	s.t.Helper()
	_, body := httpGet(s.t, "http://"+s.addrs["prometheus:9090"]+path)
	if err := json.Unmarshal([]byte(body), &struct{ Data any }{data}); err != nil {
		s.t.Fatalf("%s: %v: %s", path, err, body)
	}
}

// checkGrafana: Grafana, which does not run here, would be healthy, ask a Prometheus that is
// there, and find its dashboards where they are mounted.
func (s *stack) checkGrafana() {
	s.t.Helper()
	stand := http.NewServeMux()
	stand.HandleFunc("GET /api/health", func(http.ResponseWriter, *http.Request) {})
	server := httptest.NewUnstartedServer(stand)
	listener, err := net.Listen("tcp", s.addrs["grafana:3000"])
	if err != nil {
		s.t.Fatal(err)
	}
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	defer server.Close()
	if err := s.healthy("grafana"); err != nil {
		s.t.Errorf("Grafana's health check: %v", err)
	}
	var found struct {
		Datasources []struct{ URL string }
		Providers   []struct{ Options struct{ Path string } }
	}
	files, err := filepath.Glob(s.path("grafana", "/etc/grafana/provisioning/*/*.y*ml"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, file := range files {
		readYAML(s.t, file, &found)
	}
	if len(found.Datasources) != 1 || found.Datasources[0].URL != "http://"+s.addrs["prometheus:9090"] {
		s.t.Errorf("Grafana's data sources are %+v, want Prometheus at %s", found.Datasources, s.addrs["prometheus:9090"])
	}
	if len(found.Providers) != 1 {
		s.t.Fatalf("Grafana has %d providers of dashboards", len(found.Providers))
	}
	if dashboards, _ := filepath.Glob(found.Providers[0].Options.Path + "/*.json"); len(dashboards) == 0 {
		s.t.Errorf("there are no dashboards in %s", found.Providers[0].Options.Path)
	}
}
