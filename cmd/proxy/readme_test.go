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

// TestReadmeTour runs the README's shell blocks as they stand, but for the ports, in a
// folder that looks like the project's after `make build`.
func TestReadmeTour(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
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
	ports := strings.NewReplacer("127.0.0.1:6379", testbed.Redis(t).Addr, "make build", "true", "-p 6380", "-p PORT", "127.0.0.1:6380", "RESP", "127.0.0.1:3000", "HTTP")
	resp, http := testbed.FreeAddr(t), testbed.FreeAddr(t)
	addresses := strings.NewReplacer("-p PORT", "-p "+resp[len("127.0.0.1:"):], "RESP", resp, "HTTP", http)
	dir := t.TempDir()
	for name, content := range map[string]string{
		"configs/respgate.yaml": addresses.Replace(ports.Replace(string(config))),
		"tour.sh":               "set -m\nexport RESPGATE_LISTEN=" + resp + " RESPGATE_HTTP_LISTEN=" + http + "\n" + addresses.Replace(ports.Replace(blocks(t, string(readme)))),
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
	for _, want := range []string{
		`(?m)^reachable +true$`, `(?m)^status ready$`, `(?m)^OK$`, `(?m)^"?hello"?$`,
		`NOPERM this key has no permissions to run the 'config\|get' command`,
		`{"status":"healthy"`, `(?m)^redis_commands_total{command="get",tenant="acme/cache"} 1$`,
		`(?m)^rate +5000/s$`, `(?m)^state +revoked `, `WRONGPASS`, `msg=stopped`,
	} {
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
