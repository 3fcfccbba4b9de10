package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/respgate/respgate/auth"
	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// testConfig is a configuration with a store of its own and free ports.
func testConfig(t testing.TB) Config {
	t.Helper()
	t.Setenv("RESPGATE_CONFIG", "")
	cfg, err := loadConfig("")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen, cfg.HTTP.Listen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Store.DSN = tenant.Secret("file:" + filepath.Join(t.TempDir(), "respgate.db"))
	cfg.RateLimit.DefaultRPS = 0
	return cfg
}

// running is a proxy in this process.
type running struct {
	addr, http string
	store      *store.Store
	log        *testbed.Buffer
	stop       func() error // ends it and returns what serve returned
}

// startServe runs a proxy in this process until the test ends.
func startServe(t testing.TB, cfg Config) *running {
	t.Helper()
	return startServeFrom(t, cfg, nil)
}

// startServeFrom is startServe with a configuration that may be read again.
func startServeFrom(t testing.TB, cfg Config, from *origin) *running {
	t.Helper()
	r := &running{log: &testbed.Buffer{}}
	var err error
	if r.store, err = openStore(t.Context(), cfg, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	up := make(chan listeners, 1)
	go func() {
		ended <- serve(ctx, cfg, newLogger("text", r.log), from, func(ls listeners) { up <- ls })
	}()
	r.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("serve: %v", err)
		}
		if err := r.store.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
		if t.Failed() {
			t.Logf("log:\n%s", r.log)
		}
	})
	select {
	case ls := <-up:
		r.addr, r.http = ls.resp.Addr().String(), ls.http.Addr().String()
	case err := <-ended:
		t.Fatalf("serve ended: %v", err)
	}
	return r
}

// tenant makes an organization with the instance "cache" at the backend and a key,
// whose text it returns. change, which may be nil, may change the key before.
func (r *running) tenant(t testing.TB, org, backend string, change func(*tenant.Key)) string {
	t.Helper()
	return r.tenantAt(t, org, tenant.Secret("redis://"+backend+"/0"), change)
}

// tenantAt is tenant for a backend's URL.
func (r *running) tenantAt(t testing.TB, org string, url tenant.Secret, change func(*tenant.Key)) string {
	t.Helper()
	if _, err := r.store.CreateOrganization(t.Context(), tenant.Organization{Name: org}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.store.CreateInstance(t.Context(), tenant.Instance{Org: org, Name: "cache", URL: url}); err != nil {
		t.Fatal(err)
	}
	return r.key(t, org, change)
}

func (r *running) key(t testing.TB, org string, change func(*tenant.Key)) string {
	t.Helper()
	k := auth.Generate()
	key := tenant.Key{ID: k.ID, SecretHash: k.Hash, Org: org, Instances: []string{"cache"}, Name: "web"}
	if change != nil {
		change(&key)
	}
	if _, err := r.store.CreateKey(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	return k.Text.Reveal()
}

// keyID is the id in a key's text.
func keyID(key string) string { return key[3:15] }

// talk sends input and returns all that comes back until the other side closes,
// with '|' for line ends.
func talk(t testing.TB, addr, input string) string {
	t.Helper()
	c := dial(t, addr)
	defer c.Close()
	go func() { _, _ = io.WriteString(c, input) }()
	got, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("after %q: %v", got, err)
	}
	return strings.ReplaceAll(string(got), "\r\n", "|")
}

// dial connects with a deadline that fails the test rather than hang it.
func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(testbed.Patience))
	return c
}

// httpGet returns the status and the body of an answer to GET.
func httpGet(t testing.TB, url string) (int, string) {
	t.Helper()
	client := http.Client{Timeout: testbed.Patience}
	defer client.CloseIdleConnections()
	res, err := client.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// process is a proxy in a process of its own: for what concerns descriptors,
// memory, CPU time and signals.
type process struct {
	t          testing.TB
	cmd        *exec.Cmd
	binary     string
	config     string
	env        []string // of the command line beside it, besides the tests' own
	addr, http string
	log        *testbed.Buffer
	ended      chan struct{}
}

// startProcess starts one under `sh -c`, after the shell commands in before.
func startProcess(t testing.TB, before, settings string) *process {
	t.Helper()
	binary, err := testbed.Respgate()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, binary: binary, addr: testbed.FreeAddr(t), http: testbed.FreeAddr(t), log: &testbed.Buffer{}, ended: make(chan struct{})}
	dir := t.TempDir()
	p.config = filepath.Join(dir, "respgate.yaml")
	text := fmt.Sprintf("listen: %s\nhttp: {listen: %s}\nstore: {dsn: \"file:%s/respgate.db\"}\n%s", p.addr, p.http, dir, settings)
	if err := os.WriteFile(p.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p.launch(before)
	testbed.Eventually(t, "the proxy is ready", func() bool {
		select {
		case <-p.ended:
			t.Fatalf("serve ended:\n%s", p.log)
		default:
		}
		status, _ := httpGet(t, "http://"+p.http+"/health/ready")
		return status == http.StatusOK
	})
	return p
}

// launch runs the process until the test ends.
func (p *process) launch(before string) {
	p.t.Helper()
	p.cmd = exec.Command("sh", "-c", before+`exec "$0" serve --config "$1"`, p.binary, p.config)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() { _ = p.cmd.Wait(); close(p.ended) }()
	p.t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGKILL)
		<-p.ended
		if p.t.Failed() {
			p.t.Logf("log of %d:\n%s", p.cmd.Process.Pid, p.log)
		}
	})
}

// successor runs another process with the configuration of this one, or with another.
func (p *process) successor(config string) *process {
	p.t.Helper()
	next := *p
	next.log, next.ended = &testbed.Buffer{}, make(chan struct{})
	if config != "" {
		next.config = config
	}
	next.launch("")
	return &next
}

// run runs a command of the command line beside the proxy and returns its output.
func (p *process) run(args ...string) string {
	p.t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(p.binary, append(args, "--config", p.config)...)
	cmd.Env, cmd.Stderr = append(os.Environ(), p.env...), &stderr
	out, err := cmd.Output()
	if err != nil {
		p.t.Fatalf("respgate %s: %v: %s", strings.Join(args, " "), err, &stderr)
	}
	return string(out)
}

// tenant makes an organization with the instance "cache" at the backend and a key,
// whose text it returns, all by the command line.
func (p *process) tenant(org, backend string, flags ...string) string {
	p.t.Helper()
	p.run("org", "create", "--name", org)
	p.run("instance", "create", "--org", org, "--name", "cache", "--url", "redis://"+backend+"/0")
	return p.key(org, flags...)
}

func (p *process) key(org string, flags ...string) string {
	p.t.Helper()
	var made struct{ Key string }
	out := p.run(append([]string{"key", "create", "--org", org, "--instance", "cache", "--name", "web", "--json"}, flags...)...)
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		p.t.Fatalf("key create --json: %v: %s", err, out)
	}
	return made.Key
}

// status reads a figure in KiB, such as VmHWM, from the kernel's account of the process.
func (p *process) memory(name string) (kib int) {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), name+":")
	if _, err := fmt.Sscan(rest, &kib); !ok || err != nil {
		p.t.Fatalf("%s not found: %v", name, err)
	}
	return kib
}

// cpu is the processor time that the process has used.
func (p *process) cpu() time.Duration {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	var user, system int64
	if _, err := fmt.Sscan(fields[11], &user); err != nil {
		p.t.Fatal(err)
	}
	if _, err := fmt.Sscan(fields[12], &system); err != nil {
		p.t.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100
}

// metric returns the sum of the samples whose series begins with name.
func (r *running) metric(t testing.TB, name string) float64 {
	t.Helper()
	status, body := httpGet(t, "http://"+r.http+"/metrics")
	if status != http.StatusOK {
		t.Fatalf("/metrics: %d %s", status, body)
	}
	return sumMetric(t, body, name)
}

func sumMetric(t testing.TB, body, name string) (sum float64) {
	t.Helper()
	for line := range strings.Lines(body) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !strings.HasPrefix(series, name) {
			continue
		}
		v, err := strconv.ParseFloat(value[strings.LastIndexByte(value, ' ')+1:], 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		sum += v
	}
	return sum
}

func (r *running) commandsServed(t testing.TB) int64 {
	return int64(r.metric(t, `redis_commands_total{command="get"`))
}

// at moves an instance.
func at(url tenant.Secret) func(*tenant.Instance) error {
	return func(in *tenant.Instance) error { in.URL = url; return nil }
}
