// Package tours runs what pages tell people to type, with the program as it is built.
package tours

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/respgate/respgate/internal/pages"
	"github.com/respgate/respgate/internal/testbed"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := testbed.RemoveRespgate(); err != nil {
		panic(err)
	}
	os.Exit(code)
}

// TestReadmeTour runs the README's shell blocks.
func TestReadmeTour(t *testing.T) {
	t.Parallel()
	pages.Want(t, runBlocks(t, "README.md"),
		`(?m)^reachable +true$`, `(?m)^status ready$`, `(?m)^OK$`, `(?m)^"?hello"?$`,
		`NOPERM this key has no permissions to run the 'config\|get' command`,
		`{"status":"healthy"`, `(?m)^redis_commands_total{command="get",tenant="acme/cache"} 1$`,
		`(?m)^rate +5000/s$`, `(?m)^state +revoked `, `WRONGPASS`, `msg=stopped`)
}

// TestTLSTour runs those of the guide to TLS.
func TestTLSTour(t *testing.T) {
	t.Parallel()
	pages.Want(t, runBlocks(t, "docs/TLS.md"),
		`(?m)^reachable +true$`, `(?m)^key +rg_`, `(?m)^status ready$`, `(?m)^OK$`, `(?m)^"?hello"?$`,
		`NOAUTH Authentication required`, `(?m)^subject=CN = partner$`,
		`(?m)^respgate_tls_reloads_total{listener="http",result="ok"} [12]$`, `(?m)^respgate_tls_client_certificates_total{result="key"} [1-9]`, `msg=stopped`)
}

// TestApplyTour runs those of the guide to applying a file.
func TestApplyTour(t *testing.T) {
	t.Parallel()
	pages.Want(t, runBlocks(t, "docs/APPLY.md"),
		`(?m)^create key acme/reports: instances cache, commands \+@read -@dangerous, allow_from 10.0.0.0/8, expires 2099-01-31T00:00:00Z$`, `(?m)^4 to create, 0 to update, 0 to delete, 0 unchanged$`,
		`(?m)^\[4/4\] create key acme/reports: `, `(?m)^4 created, 0 updated, 0 deleted, 0 unchanged\nnothing to do\n\[1/1\] update key acme/web: rate 100 → 500$`,
		`(?m)^nothing to do\n\[1/1\] delete key acme/by-hand$`, `(?m)^{"dry_run":false,"steps":\[\],"unchanged":4}$`)
}

// TestLimitsTour runs those of the guide to limits.
func TestLimitsTour(t *testing.T) {
	t.Parallel()
	pages.Want(t, runBlocks(t, "docs/LIMITS.md"),
		`(?m)^ +50 hello$`, `(?m)^rate_limit_dry_run_commands_total{tenant="acme/cache"} [1-9]`, `(?m)^rate_limited_commands_total{tenant="acme/cache"} 0$`,
		`RATELIMIT 20 commands/s exceeded for this key, retry after \d+ ms`, `(?m)^rate_limit_delayed_commands_total{tenant="acme/cache"} [1-9]`,
		`RATELIMIT 10240 bytes/s exceeded for this key, retry after \d+ ms`, `msg=stopped`)
}

// TestBackupTour runs those of the guide to backups.
func TestBackupTour(t *testing.T) {
	t.Parallel()
	pages.Want(t, runBlocks(t, "docs/BACKUP.md"),
		`(?m)^file +acme.backup\nkeys +2$`, `(?m)^of +acme/cache$`, `(?m)^compared +2 keys, 0 differ$`, `(?m)^respgate: 1 of 2 keys differ: "jobs" \(database 0, value\)$`,
		`(?m)^respgate: nothing is written: the target has 2 of the keys: `, `(?m)^skipped +0$`, `(?m)^one\ntwo\nthree$`,
		`(?m)^2 keys in \d+ bytes$`, `(?m)^file +-\nkeys +2$`, `(?m)^hello$`)
}

// TestCachingTour runs those of the guide to near caches.
func TestCachingTour(t *testing.T) {
	t.Parallel()
	pages.Want(t, runBlocks(t, "docs/CACHING.md"),
		`(?m)^reachable +true$`, `(?m)^cache_hits_total{tenant="acme/cache"} [1-9]`, `(?m)^cache_entries{tenant="acme/cache"} 1$`, `(?m)^cache_hit_age_seconds_count [1-9]`, `msg=stopped`)
}

// TestInstallTour runs those of the guide to installing that need no release.
func TestInstallTour(t *testing.T) {
	t.Parallel()
	pages.Want(t, runBlocks(t, "docs/INSTALL.md"), `(?m)^version +\S+$`, `(?m)^written man$`, `(?m)^respgate-store-export.1$`, `(?m)^{"version":"`, `(?m)^\tpath\tgithub.com/respgate/respgate/cmd/proxy$`)
}

// TestOperatingTour runs those of the guide to operating: about moving a store.
func TestOperatingTour(t *testing.T) {
	t.Parallel()
	pages.Want(t, runBlocks(t, "docs/OPERATING.md"), `(?m)^file +store.jsonl$`, `(?m)^audit +2$`, `(?m)^reachable +true$`, `(?m)^replaced organizations +1$`)
}

// TestRegionsTour runs those of the guide to regions and moves.
func TestRegionsTour(t *testing.T) {
	t.Parallel()
	pages.Want(t, runBlocks(t, "docs/REGIONS.md"),
		`(?m)^respgate_region_info{region="eu"} 1$`, `(?m)^acme/cache +shared .* eu +closed`, `(?m)^from Redis \S+ with [1-9]\d* keys to Redis \S+ with 0 keys$`,
		`(?m)^switched: writes were held for `, `(?m)^moved acme/cache\n.*\n?hello\nhello$`, `instance\.move`, `(?m)^role:master\r?$`, `(?m)^hello again$`, `READONLY`)
}

// TestLoadTour runs those of the guide to loading a deployment.
func TestLoadTour(t *testing.T) {
	testbed.Binary(t, "redis-benchmark", "redis-tools")
	pages.Want(t, runBlocks(t, "docs/PERFORMANCE.md"),
		`(?m)^through / direct, median: \d`, `(?m)^2000 commands/s wanted, \d+ answered; p50 .*\n2000 commands/s wanted, \d+ answered; p50 `,
		`(?m)^phase backend: [1-9]\d* µs$`, `(?m)^phase limit: 0 µs$`, `(?m)^CPU for a command: [1-9][\d.]* µs$`,
		`(?m)^rate_limited_commands_total{tenant="load/target"} 0$`, `(?m)^redis_connections_active{kind="shared",tenant="load/target"} [1-9]`,
		`(?m)^Type: cpu$`, `internal/runtime/syscall`, `(?m)^Type: inuse_space$`, `msg=stopped`)
}

// runBlocks runs those of a document's shell blocks of which the test is the tour (pages.Tours), as they stand, but for the ports, in a folder
// that looks like the project's after `make build`, and returns what they print.
func runBlocks(t *testing.T, document string) []byte {
	t.Helper()
	script := pages.Script(t, document)
	binary, err := testbed.Respgate()
	if err != nil {
		t.Fatal(err)
	}
	root := pages.Root(t)
	config, err := os.ReadFile(filepath.Join(root, "configs", "respgate.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	redis := testbed.Redis(t).Addr
	addresses := []string{"make build", "true", "go run ./bench/", "go run -C " + root + " ./bench/", "127.0.0.1:6379", redis, "-p 6379", "-p " + redis[len("127.0.0.1:"):]}
	for _, port := range []string{"6380", "3000", "6390", "6391", "6393"} {
		addr := testbed.FreeAddr(t)
		addresses = append(addresses, "127.0.0.1:"+port, addr, "127.0.0.1 "+port, strings.Replace(addr, ":", " ", 1), "-p "+port, "-p "+addr[len("127.0.0.1:"):], "-port "+port, "-port "+addr[len("127.0.0.1:"):])
	}
	local := strings.NewReplacer(addresses...)
	own := local.Replace("export RESPGATE_LISTEN=127.0.0.1:6380 RESPGATE_HTTP_LISTEN=127.0.0.1:3000\n")
	dir := t.TempDir()
	for name, content := range map[string]string{
		"configs/respgate.yaml": local.Replace(string(config)),
		"tour.sh":               "set -m\n" + own + local.Replace(script),
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
