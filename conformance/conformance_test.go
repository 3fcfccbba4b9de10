//go:build conformance

// Package conformance has the clients and applications that people use do through
// respgate what they do with Redis: make conformance.
package conformance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
)

// table is where the outcome is written to.
const table = "../docs/CONFORMANCE.md"

// features are the columns of the clients' table.
var features = []string{"connect", "reconnect", "pipeline", "transaction", "blocking", "pub/sub", "scripts", "scan"}

// program is a client or an application.
type program struct {
	name    string
	argv    []string
	dir     string // "": this folder
	version string // "": it says so itself
	more    []string
	own     bool // it has features of its own only
}

// timeout bounds one program.
const timeout = 3 * time.Minute

func TestConformance(t *testing.T) {
	node := nodeFolder(t)
	hiredis := filepath.Join(t.TempDir(), "hiredis")
	output(t, "", "cc", "-o", hiredis, "c/hiredis.c", "-lhiredis")
	gobin := filepath.Join(t.TempDir(), "go-client")
	output(t, "", "go", "build", "-tags", "conformance", "-o", gobin, "./go")
	const python = "/usr/bin/python3" // Debian's, which has Debian's libraries
	programs := []program{
		{name: "redis-cli", argv: []string{"sh/redis-cli.sh"}},
		{name: "hiredis", argv: []string{hiredis}},
		{name: "go-redis", argv: []string{gobin, "go-redis"}, version: goVersion(t, "github.com/redis/go-redis/v9")},
		{name: "rueidis", argv: []string{gobin, "rueidis"}, version: goVersion(t, "github.com/redis/rueidis"), more: []string{"client-side caching"}},
		{name: "redigo", argv: []string{gobin, "redigo"}, version: goVersion(t, "github.com/gomodule/redigo")},
		{name: "ioredis", argv: []string{"node", "ioredis.js"}, dir: node, version: nodeVersion(t, node, "ioredis")},
		{name: "node-redis", argv: []string{"node", "node-redis.js"}, dir: node, version: nodeVersion(t, node, "redis")},
		{name: "redis-py", argv: []string{python, "python/redispy.py"}},
		{name: "redis-rb", argv: []string{"ruby", "ruby/redisrb.rb"}},
		{name: "BullMQ", argv: []string{"node", "bullmq.js"}, dir: node, version: nodeVersion(t, node, "bullmq"), more: []string{"BullMQ jobs"}, own: true},
		{name: "Sidekiq", argv: []string{"ruby", "ruby/sidekiq_app.rb"}, more: []string{"Sidekiq jobs"}, own: true},
		{name: "RQ", argv: []string{python, "python/rq_app.py"}, more: []string{"RQ jobs"}, own: true},
	}
	redis := testbed.Redis(t)
	env := startProxy(t).tenant(t, redis.Addr)
	outcomes := map[string]map[string]string{}
	for i, p := range programs {
		t.Run(p.name, func(t *testing.T) {
			version, said := runProgram(t, p, env)
			if programs[i].version == "" {
				programs[i].version = version
			}
			outcomes[p.name] = said
			for _, f := range p.features() {
				if said[f] != "ok" {
					t.Errorf("%s: %s", f, said[f])
				}
			}
		})
	}
	info, err := redis.Client().Info(t.Context(), "server").Result()
	if err != nil {
		t.Fatal(err)
	}
	_, version, _ := strings.Cut(info, "redis_version:")
	version, _, _ = strings.Cut(version, "\r\n")
	write(t, version, programs, outcomes)
}

func (p program) features() []string {
	if p.own {
		return p.more
	}
	return slices.Concat(features, p.more)
}

// runProgram returns the version that a program says it has, and what it says of each
// feature.
func runProgram(t *testing.T, p program, env []string) (version string, said map[string]string) {
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.argv[0], p.argv[1:]...)
	cmd.Dir, cmd.Env = p.dir, append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%v: %s", err, &stderr)
	}
	said = map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		verdict, rest, _ := strings.Cut(lines.Text(), " ")
		switch verdict {
		case "version":
			version = rest
		case "ok":
			said[rest] = "ok"
		case "FAIL":
			for _, f := range p.features() {
				if why, ok := strings.CutPrefix(rest, f+" "); ok {
					said[f] = why
				}
			}
		}
	}
	for _, f := range p.features() {
		if said[f] == "" {
			said[f] = "nothing said: " + stderr.String()
		}
	}
	return version, said
}

// write writes the table, before the part of the page that is kept by hand.
func write(t *testing.T, redis string, programs []program, outcomes map[string]map[string]string) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "# Conformance\n\nWritten by `make conformance`: each client and application did this through respgate, in front of Redis %s.\n\n", redis)
	fmt.Fprintf(&b, "| client | version | %s |\n| --- | --- |%s\n", strings.Join(features, " | "), strings.Repeat(" --- |", len(features)))
	for _, p := range programs {
		if p.own {
			continue
		}
		fmt.Fprintf(&b, "| %s | %s |", p.name, p.version)
		for _, f := range features {
			fmt.Fprintf(&b, " %s |", mark(outcomes[p.name][f]))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n| what else | version | |\n| --- | --- | --- |\n")
	for _, p := range programs {
		for _, f := range p.more {
			fmt.Fprintf(&b, "| %s: %s | %s | %s |\n", p.name, f, p.version, mark(outcomes[p.name][f]))
		}
	}
	rest, err := os.ReadFile("differences.md")
	if err != nil {
		t.Fatal(err)
	}
	b.WriteString("\n" + string(rest))
	if err := os.WriteFile(table, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + b.String())
}

func mark(outcome string) string {
	if outcome == "ok" {
		return "ok"
	}
	return "**fails**"
}

// proxy is a running bin/respgate.
type proxy struct{ binary, addr, http string }

// startProxy starts bin/respgate, and returns when it is ready.
func startProxy(t *testing.T) proxy {
	t.Helper()
	binary, err := filepath.Abs("../bin/respgate")
	if err != nil {
		t.Fatal(err)
	}
	p := proxy{binary, testbed.FreeAddr(t), testbed.FreeAddr(t)}
	t.Setenv("RESPGATE_LISTEN", p.addr)
	t.Setenv("RESPGATE_HTTP_LISTEN", p.http)
	t.Setenv("RESPGATE_STORE_DSN", "file:"+filepath.Join(t.TempDir(), "respgate.db"))
	t.Setenv("RESPGATE_LOOPS", "2")
	cmd := exec.Command(binary, "serve")
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("respgate's log:\n%s", &log)
		}
	})
	testbed.Eventually(t, "the proxy is ready", func() bool {
		res, err := http.Get("http://" + p.http + "/health/ready")
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	return p
}

// tenant makes one with a Redis and returns what the programs are told by the environment.
func (p proxy) tenant(t *testing.T, backend string) []string {
	t.Helper()
	output(t, "", p.binary, "org", "create", "--name", "acme")
	output(t, "", p.binary, "instance", "create", "--org", "acme", "--name", "cache", "--url", "redis://"+backend+"/0")
	key := p.key(t, "--rate", "0")
	host, port, err := net.SplitHostPort(p.addr)
	if err != nil {
		t.Fatal(err)
	}
	return []string{"REDIS_URL=redis://cache:" + key + "@" + p.addr + "/0", "REDIS_HOST=" + host, "REDIS_PORT=" + port, "REDIS_KEY=" + key}
}

// key makes one for the tenant.
func (p proxy) key(t *testing.T, flags ...string) string {
	t.Helper()
	var key struct{ Key string }
	made := output(t, "", p.binary, append([]string{"key", "create", "--org", "acme", "--instance", "cache", "--name", "web", "--json"}, flags...)...)
	if err := json.Unmarshal([]byte(made), &key); err != nil {
		t.Fatal(err)
	}
	return key.Key
}

// nodeFolder installs the Node programs' libraries in a folder of the test's.
func nodeFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("node")); err != nil {
		t.Fatal(err)
	}
	output(t, dir, "npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
	return dir
}

func nodeVersion(t *testing.T, dir, name string) string {
	t.Helper()
	var about struct{ Version string }
	text, err := os.ReadFile(filepath.Join(dir, "node_modules", name, "package.json"))
	if err == nil {
		err = json.Unmarshal(text, &about)
	}
	if err != nil {
		t.Fatal(err)
	}
	return about.Version
}

func goVersion(t *testing.T, module string) string {
	t.Helper()
	return strings.TrimPrefix(strings.TrimSpace(output(t, "", "go", "list", "-m", "-f", "{{.Version}}", module)), "v")
}

// output runs a command that must succeed.
func output(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, args[0], err, &stderr)
	}
	return string(out)
}
