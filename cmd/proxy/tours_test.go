package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/auth"
	"github.com/respgate/respgate/internal/pages"
	"github.com/respgate/respgate/internal/testbed"
)

// operatorsSee is what the commands of each page print that an operator types beside a
// running proxy.
var operatorsSee = map[string][]string{
	"README.md":              {`(?m)^from +10.0.0.0/8,2001:db8::/32$`, `(?m)^connections +50$`, `(?m)^state +until `, `(?m)^connections +500$`},
	"docs/API.md":            {`"name":"globex"`},
	"docs/CLI.md":            {`(?m)^ID `},
	"docs/LOGS.md":           {`debug`},
	"docs/OPERATING.md":      {`(?m)^config ok$`, `(?m)^status ready$`, `"status":"healthy"`, `acme/cache`, `key.create`, `(?m)^old secret +until `},
	"docs/PROXY-COMMAND.md":  {`acme/cache`},
	"docs/SECURITY-GUIDE.md": {`(?m)^reachable +true$`, `(?m)^QUEUED$(?s:.*)^hello$`, `The user executing the script can't run this command`, `(?m)^NOPERM this key `, `key.create .*key reports`},
	"docs/SIZING.md":         {`(?m)^2000 commands/s wanted, `, `(?m)^CPU for a command: [1-9]`, `(?m)^memory: \d+ MiB$`, `(?m)^connections to its Redis: [1-9]`},
	"docs/TROUBLESHOOTING.md": {`(?m)^NOAUTH `, `(?m)^PONG$`, `WRONGPASS `, `(?m)^api_key_auth_failures_total{reason="unknown"} [1-9]`, `"database":{"status":"healthy"`, `NOPERM this key `,
		`RATELIMIT 1 commands/s exceeded for this key, retry after \d+ ms`, `(?m)^rate_limited_commands_total{tenant="acme/cache"} [1-9]`, `(?m)^respgate_clients_refused_total`,
		`ERR backend unavailable: `, `acme/gone cannot be reached: connection refused`, `(?m)^redis_connection_attempts_total{.*acme/gone.*} [1-9]`, `-ERR Protocol error: invalid bulk length`, `uptime_in_seconds`,
		`acme/cache`, `(?m)^notAfter=`, `respgate_config_last_reload_successful 1`},
	"docs/UPGRADING.md":                         {`(?m)^respgate_build_info`, `ready`, `key.create`},
	"docs/runbooks/AuditEventsLost.md":          {`(?m)^audit +\+@admin$`},
	"docs/runbooks/BreakerOpen.md":              {`(?m)^reachable +true$`, `(?m)^PONG$`, `(?m)^url +redis://`},
	"docs/runbooks/CertificateExpiresSoon.md":   {`(?m)^notAfter=.*(?s:.*)^notAfter=`},
	"docs/runbooks/ClientsDropped.md":           {`acme +cache`},
	"docs/runbooks/ClientsNotAccepted.md":       {`(?m)^\d+ respgate$`},
	"docs/runbooks/ClientsRefused.md":           {`acme +cache`, `(?m)^connections +200$`, `(?m)^connections +1000$`},
	"docs/runbooks/ConfigReloadFailed.md":       {`ok`},
	"docs/runbooks/CriticalErrorRate.md":        {`(?m)^url +redis://`},
	"docs/runbooks/DatabaseConnectionFailed.md": {`"database":{"status":"healthy"`, `(?m)^\(1 row\)$`, `Mounted on`},
	"docs/runbooks/HighAuthFailures.md":         {`(?m)^\S+ .* key.bad `},
	"docs/runbooks/HighCPUUsage.md":             {`(?m)^rate +20000/s$`},
	"docs/runbooks/HighDatabaseLatency.md":      {`active`},
	"docs/runbooks/HighErrorRate.md":            {`(?m)^reachable +true$`, `redis_version:`},
	"docs/runbooks/HighLatency.md":              {`cmdstat_`, `acme/cache`, `(?m)^\d+ \d+ [\d.]+ \d+$`},
	"docs/runbooks/HighMemoryUsage.md":          {`(?m)^Type: inuse_space$`},
	"docs/runbooks/InstanceCountChanged.md":     {`instance.delete`, `(?m)^name +spare$`},
	"docs/runbooks/PinnedPoolExhausted.md":      {`acme +cache`},
	"docs/runbooks/README.md":                   {`(?m)^reachable +true$`, `redis_version:`},
	"docs/runbooks/RateLimitSaturation.md":      {`(?m)^name +acme$`},
	"docs/runbooks/RedisCommandErrors.md":       {`# Errorstats`, `redis_version:`},
	"docs/runbooks/RedisConnectionPoolLow.md":   {`acme +cache`},
	"docs/runbooks/ScrapeMissing.md":            {`SUCCESS`, `"scrapeUrl":"http://127.0.0.1:`},
	"docs/runbooks/ServiceDown.md":              {`(?m)^200$`},
}

// TestOperatorsTour runs what the pages have an operator type beside a running proxy.
func TestOperatorsTour(t *testing.T) {
	t.Parallel()
	o := newOperatorsShell(t)
	for _, page := range pages.Own(t) {
		t.Run(page, func(t *testing.T) {
			wanted := operatorsSee[page]
			if len(wanted) == 0 {
				t.Error("nothing says what its commands print")
			}
			out, err := o.types(pages.Script(t, page))
			if err != nil {
				t.Errorf("%v", err)
			}
			pages.Want(t, out, wanted...)
		})
	}
}

// operatorsShell is one beside a proxy with PostgreSQL, TLS, a tenant that is connected, and a
// Prometheus that watches it.
type operatorsShell struct {
	dir   string
	env   []string
	local *strings.Replacer // to the addresses and files that are there
}

func newOperatorsShell(t *testing.T) *operatorsShell {
	t.Helper()
	backend, database, tls := testbed.Redis(t), testbed.Postgres(t), testbed.FreeAddr(t)
	dsn := database.Database()
	store := []string{"RESPGATE_STORE_DRIVER=postgres", "RESPGATE_STORE_DSN=" + dsn, "RESPGATE_SECRET_KEY=" + strings.Repeat("a-secret-for-this-test", 2)}
	dir := t.TempDir()
	file := filesIn(t, dir)
	certPEM, keyPEM := newAuthority(t).pair()
	cert := file("cert.pem", certPEM)
	p := startProcess(t, fmt.Sprintf("export RESPGATE_HTTP_PPROF=true RESPGATE_HTTP_ADMIN_TOKEN=%q '%s'; ", operatorsToken, strings.Join(store, "' '")), fmt.Sprintf("tls: {listen: %q, cert_file: %q, key_file: %q}\n", tls, cert, file("key.pem", keyPEM)))
	p.env = store
	key := p.tenant("acme", backend.Addr)
	client := testbed.Client(t, &redis.Options{Addr: p.addr, Username: "cache", Password: key, DisableIdentity: true})
	if err := client.Set(t.Context(), "greeting", "hello", time.Hour).Err(); err != nil {
		t.Fatal(err)
	}
	if got := talk(t, p.addr, "AUTH "+auth.Generate().Text.Reveal()+"\r\nQUIT\r\n"); !strings.HasPrefix(got, "-WRONGPASS ") {
		t.Errorf("a wrong key is told %q", got)
	}
	var spare struct{ ID string }
	made := p.run("instance", "create", "--org", "acme", "--name", "spare", "--url", "redis://"+backend.Addr+"/1", "--json")
	if err := json.Unmarshal([]byte(made), &spare); err != nil {
		t.Fatal(err)
	}
	p.run("instance", "delete", "--org", "acme", "--name", "spare")
	scrape := testbed.ScrapeConfig(scrapeInterval, p.http)
	prometheus := testbed.Prometheus(t, scrape)
	for _, folder := range []string{"bin", "var"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(p.binary, filepath.Join(dir, "bin", "respgate")); err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(p.addr)
	if err != nil {
		t.Fatal(err)
	}
	return &operatorsShell{
		dir: dir,
		env: append(append(os.Environ(), store...), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"), "RESPGATE_CONFIG="+p.config, "RESPGATE_TOKEN="+operatorsToken,
			"BACKEND=redis://"+backend.Addr, "NEW_BACKEND=redis://"+backend.Addr, "DSN="+dsn, "KEY="+key, "ID="+keyID(p.key("acme"))),
		local: strings.NewReplacer("go run ./bench/", "go run -C "+pages.Root(t)+" ./bench/", "127.0.0.1:6379", backend.Addr, "127.0.0.1:6380", p.addr, "-p 6380", "-p "+port, "127.0.0.1:6390", tls, "127.0.0.1:3000", p.http,
			"127.0.0.1:9090", strings.TrimPrefix(prometheus.URL, "http://"), "/etc/respgate/tls.pem", cert, "/etc/respgate/respgate.yaml", p.config,
			"/etc/prometheus/prometheus.yml", file("prometheus.yml", []byte(scrape)), "a1B2c3D4e5F6", keyID(key), "x1fXtbGkHSGR", spare.ID),
	}
}

// types runs a page's commands, each of which has to succeed, and returns what they print.
func (o *operatorsShell) types(script string) ([]byte, error) {
	cmd := exec.Command("timeout", "60", "bash", "-e", "-c", o.local.Replace(script))
	cmd.Dir, cmd.Env = o.dir, o.env
	return cmd.CombinedOutput()
}
