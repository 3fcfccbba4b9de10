package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/respgate/respgate/internal/testbed"
)

// TestReadmeTour runs the README's shell blocks.
func TestReadmeTour(t *testing.T) {
	wantAll(t, runBlocks(t, "README.md"),
		`(?m)^reachable +true$`, `(?m)^status ready$`, `(?m)^OK$`, `(?m)^"?hello"?$`,
		`NOPERM this key has no permissions to run the 'config\|get' command`,
		`{"status":"healthy"`, `(?m)^redis_commands_total{command="get",tenant="acme/cache"} 1$`,
		`(?m)^rate +5000/s$`, `(?m)^state +revoked `, `WRONGPASS`, `msg=stopped`)
}

// TestTLSTour runs those of the guide to TLS.
func TestTLSTour(t *testing.T) {
	wantAll(t, runBlocks(t, "docs/TLS.md"),
		`(?m)^reachable +true$`, `(?m)^key +rg_`, `(?m)^status ready$`, `(?m)^OK$`, `(?m)^"?hello"?$`,
		`NOAUTH Authentication required`, `(?m)^subject=CN = partner$`,
		`(?m)^respgate_tls_reloads_total{listener="http",result="ok"} [12]$`, `(?m)^respgate_tls_client_certificates_total{result="key"} [1-9]`, `msg=stopped`)
}

// TestApplyTour runs those of the guide to applying a file.
func TestApplyTour(t *testing.T) {
	wantAll(t, runBlocks(t, "docs/APPLY.md"),
		`(?m)^create key acme/reports: instances cache, commands \+@read -@dangerous, allow_from 10.0.0.0/8, expires 2099-01-31T00:00:00Z$`, `(?m)^4 to create, 0 to update, 0 to delete, 0 unchanged$`,
		`(?m)^\[4/4\] create key acme/reports: `, `(?m)^4 created, 0 updated, 0 deleted, 0 unchanged\nnothing to do\n\[1/1\] update key acme/web: rate 100 → 500$`,
		`(?m)^nothing to do\n\[1/1\] delete key acme/by-hand$`, `(?m)^{"dry_run":false,"steps":\[\],"unchanged":4}$`)
}

// TestRegionsTour runs those of the guide to regions and moves.
func TestRegionsTour(t *testing.T) {
	wantAll(t, runBlocks(t, "docs/REGIONS.md"),
		`(?m)^respgate_region_info{region="eu"} 1$`, `(?m)^acme/cache +shared .* eu +closed`, `(?m)^from Redis \S+ with [1-9]\d* keys to Redis \S+ with 0 keys$`,
		`(?m)^switched: writes were held for `, `(?m)^moved acme/cache\n.*\n?hello\nhello$`, `instance\.move`)
}

// TestLoadTour runs those of the guide to loading a deployment.
func TestLoadTour(t *testing.T) {
	testbed.Binary(t, "redis-benchmark", "redis-tools")
	wantAll(t, runBlocks(t, "docs/PERFORMANCE.md"),
		`(?m)^through / direct, median: \d`, `(?m)^2000 commands/s wanted, \d+ answered; p50 .*\n2000 commands/s wanted, \d+ answered; p50 `,
		`(?m)^phase backend: [1-9]\d* µs$`, `(?m)^phase limit: 0 µs$`, `(?m)^CPU for a command: [1-9][\d.]* µs$`,
		`(?m)^rate_limited_commands_total{tenant="load/target"} 0$`, `(?m)^redis_connections_active{kind="shared",tenant="load/target"} [1-9]`,
		`(?m)^Type: cpu$`, `internal/runtime/syscall`, `(?m)^Type: inuse_space$`, `msg=stopped`)
}

// runBlocks runs a document's shell blocks as they stand, but for the ports, in a folder
// that looks like the project's after `make build`, and returns what they print.
func runBlocks(t *testing.T, document string) []byte {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join("../..", document))
	if err != nil {
		t.Fatal(err)
	}
	binary, err := builtBinary()
	if err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile("../../configs/respgate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	redis := testbed.Redis(t).Addr
	addresses := []string{"make build", "true", "go run ./bench/", "go run -C " + root + " ./bench/", "127.0.0.1:6379", redis, "-p 6379", "-p " + redis[len("127.0.0.1:"):]}
	for _, port := range []string{"6380", "3000", "6390", "6391"} {
		addr := testbed.FreeAddr(t)
		addresses = append(addresses, "127.0.0.1:"+port, addr, "-p "+port, "-p "+addr[len("127.0.0.1:"):], "-port "+port, "-port "+addr[len("127.0.0.1:"):])
	}
	local := strings.NewReplacer(addresses...)
	own := local.Replace("export RESPGATE_LISTEN=127.0.0.1:6380 RESPGATE_HTTP_LISTEN=127.0.0.1:3000\n")
	dir := t.TempDir()
	for name, content := range map[string]string{
		"configs/respgate.yaml": local.Replace(string(config)),
		"tour.sh":               "set -m\n" + own + local.Replace(blocks(t, string(readme))),
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(binary, filepath.Join(dir, "bin", "respgate")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", "tour.sh")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v", err)
	}
	return out
}

// wantAll wants something in out to match each expression.
func wantAll(t *testing.T, out []byte, expressions ...string) {
	t.Helper()
	for _, want := range expressions {
		if !regexp.MustCompile(want).Match(out) {
			t.Errorf("nothing matches %s", want)
		}
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}

// blocks returns what stands in the ```sh blocks.
func blocks(t *testing.T, readme string) string {
	t.Helper()
	parts := strings.Split(readme, "```sh\n")
	if len(parts) < 5 {
		t.Fatalf("the README has %d shell blocks, want the tour's", len(parts)-1)
	}
	var script strings.Builder
	for _, part := range parts[1:] {
		block, _, _ := strings.Cut(part, "```")
		script.WriteString(block)
	}
	return script.String()
}
