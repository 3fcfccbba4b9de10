package main

import (
	"context"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/respgate/respgate/internal/testbed"
)

// composePorts are the ports at which docker-compose.yml's services listen.
var composePorts = map[string][]string{
	"respgate":     {"6380", "3000"},
	"postgres":     {"5432"},
	"redis-acme":   {"6379"},
	"redis-globex": {"6379"},
	"prometheus":   {"9090"},
	"alertmanager": {"9093"},
	"grafana":      {"3000"},
}

// stack runs docker-compose.yml's services without Docker, with their own command lines,
// environment, mounts and health checks, in which the containers' addresses and paths are
// replaced by free ports and folders of this machine.
type stack struct {
	t       *testing.T
	project *types.Project
	addrs   map[string]string            // service:port → where it is here
	paths   map[string]map[string]string // of a service: what is mounted → where it is here
	image   map[string]string            // what respgate's Dockerfile sets
	bin     string                       // programs as the images have them
}

// newStack has the files and folders for what is in project, whose variables are env.
func newStack(t *testing.T, project *types.Project, env map[string]string) *stack {
	t.Helper()
	binary, err := testbed.Respgate()
	if err != nil {
		t.Fatal(err)
	}
	s := &stack{t: t, project: project, addrs: map[string]string{}, paths: map[string]map[string]string{}, image: dockerfileEnvironment(t), bin: t.TempDir()}
	for service, ports := range composePorts {
		for _, port := range ports {
			s.addrs[service+":"+port] = testbed.FreeAddr(t)
		}
	}
	// The images have busybox's.
	if err := os.Symlink(testbed.Binary(t, "busybox", "busybox"), filepath.Join(s.bin, "wget")); err != nil {
		t.Fatal(err)
	}
	for name, service := range project.Services {
		s.paths[name] = map[string]string{}
		for _, secret := range service.Secrets {
			here := filepath.Join(t.TempDir(), secret.Source)
			s.paths[name]["/run/secrets/"+secret.Source] = here
			s.write(here, env[project.Secrets[secret.Source].Environment])
		}
		for _, mount := range service.Volumes {
			s.paths[name][mount.Target] = t.TempDir()
		}
	}
	s.paths["respgate"]["/respgate"] = binary
	for name, service := range project.Services {
		for _, mount := range service.Volumes {
			if mount.Type == types.VolumeTypeBind {
				s.copy(name, mount)
			}
		}
	}
	return s
}

// interval is how often Prometheus asks, and looks at its rules.
var interval = regexp.MustCompile(`\b(scrape_interval|scrape_timeout|evaluation_interval|interval): *\w+`)

// copy copies what is mounted, with what is replaced, and has Prometheus hurry.
func (s *stack) copy(service string, mount types.ServiceVolumeConfig) {
	s.t.Helper()
	err := filepath.WalkDir(mount.Source, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(mount.Source, path)
		if err != nil {
			return err
		}
		here := filepath.Join(s.paths[service][mount.Target], relative)
		if entry.IsDir() {
			return os.MkdirAll(here, 0o700)
		}
		text, err := os.ReadFile(path)
		s.write(here, interval.ReplaceAllString(s.local(service, string(text)), "$1: 1s"))
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *stack) write(path, text string) {
	s.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// containerPath is an absolute path, after what can stand before one.
var containerPath = regexp.MustCompile(`(^|[=\s"'\[,])(/[\w./-]+)`)

// local replaces a service's addresses and paths in a text.
func (s *stack) local(service, text string) string {
	text = containerPath.ReplaceAllStringFunc(text, func(found string) string {
		at := strings.IndexByte(found, '/')
		return found[:at] + s.path(service, found[at:])
	})
	var pairs []string
	for _, port := range composePorts[service] {
		for _, host := range []string{"127.0.0.1", "0.0.0.0", "localhost"} {
			pairs = append(pairs, host+":"+port, s.addrs[service+":"+port])
		}
	}
	for name, addr := range s.addrs {
		pairs = append(pairs, name, addr)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// path is where a container's path is here.
func (s *stack) path(service, path string) string {
	for mounted, here := range s.paths[service] {
		if path == mounted || strings.HasPrefix(path, mounted+"/") {
			return here + strings.TrimPrefix(path, mounted)
		}
	}
	return path
}

// environment is what a service's processes have, besides what tells Debian's programs
// where they find a server that has not its usual port.
func (s *stack) environment(service string) []string {
	env := []string{"PATH=" + s.bin + string(filepath.ListSeparator) + os.Getenv("PATH")}
	if service == "respgate" {
		for name, value := range s.image {
			env = append(env, name+"="+s.local(service, value))
		}
	}
	if service == "postgres" {
		_, port, _ := net.SplitHostPort(s.addrs["postgres:5432"])
		env = append(env, "PGPORT="+port)
	}
	for name, value := range s.project.Services[service].Environment {
		env = append(env, name+"="+s.local(service, *value))
	}
	return env
}

// spawn runs a service's program, in the folder dir of its container, until the test ends.
func (s *stack) spawn(service, dir, program string, args ...string) {
	s.t.Helper()
	log, ended := &testbed.Buffer{}, make(chan struct{})
	cmd := exec.CommandContext(context.Background(), program, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.path(service, dir), s.environment(service), log, log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() { _ = cmd.Wait(); close(ended) }()
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if s.t.Failed() {
			s.t.Logf("log of %s:\n%s", service, log)
		}
	})
}

// command is a service's command line, with what is replaced.
func (s *stack) command(service string) []string {
	var args []string
	for _, arg := range s.project.Services[service].Command {
		args = append(args, s.local(service, arg))
	}
	return args
}

// start starts the services.
func (s *stack) start() {
	s.t.Helper()
	s.startPostgres()
	for _, name := range []string{"redis-acme", "redis-globex"} {
		_, port, _ := net.SplitHostPort(s.addrs[name+":6379"])
		args := append(s.command(name), "--bind", "127.0.0.1", "--port", port)
		s.spawn(name, "/data", testbed.Binary(s.t, args[0], "redis-server"), args[1:]...)
	}
	s.spawn("prometheus", "/prometheus", testbed.Binary(s.t, "prometheus", "prometheus"),
		append(s.command("prometheus"), "--web.listen-address="+s.addrs["prometheus:9090"])...)
	s.spawn("alertmanager", "/alertmanager", testbed.Binary(s.t, "prometheus-alertmanager", "prometheus-alertmanager"),
		append(s.command("alertmanager"), "--web.listen-address="+s.addrs["alertmanager:9093"])...)
	s.waitHealthy("postgres", "redis-acme", "redis-globex") // as depends_on has it
	s.spawn("respgate", "/data", s.path("respgate", "/respgate"), "serve")
	s.waitHealthy("respgate", "prometheus", "alertmanager")
}

// startPostgres does what the image's entry point does with an empty volume: the superuser
// and the database are the environment's.
func (s *stack) startPostgres() {
	s.t.Helper()
	env := s.project.Services["postgres"].Environment
	superuser := url.UserPassword(*env["POSTGRES_USER"], *env["POSTGRES_PASSWORD"])
	server := testbed.PostgresAs(s.t, superuser, append(strings.Fields(*env["POSTGRES_INITDB_ARGS"]), "--no-sync")...)
	server.Exec("CREATE DATABASE " + *env["POSTGRES_DB"])
	s.addrs["postgres:5432"] = server.Addr
}

// healthy runs a service's health check.
func (s *stack) healthy(service string) error {
	check := s.project.Services[service].HealthCheck
	args := slices.Clone(check.Test[1:])
	for i, arg := range args {
		args[i] = s.local(service, arg)
	}
	if check.Test[0] == "CMD-SHELL" {
		if strings.HasPrefix(service, "redis-") {
			_, port, _ := net.SplitHostPort(s.addrs[service+":6379"])
			args[0] = strings.ReplaceAll(args[0], "redis-cli", "redis-cli -p "+port)
		}
		args = []string{"sh", "-c", args[0]}
	}
	if args[0] == "wget" {
		args[0] = filepath.Join(s.bin, "wget")
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Duration(*check.Timeout))
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = s.environment(service)
	return cmd.Run()
}

func (s *stack) waitHealthy(services ...string) {
	s.t.Helper()
	for _, name := range services {
		testbed.Eventually(s.t, name+" is healthy", func() bool { return s.healthy(name) == nil })
	}
}
