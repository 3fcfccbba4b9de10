//go:build linux

package chaos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
)

// built is the binary, with the race detector: what it finds ends the proxy.
var built = sync.OnceValues(func() (string, error) { return build("-race") })

// builtPlain is the binary as it is shipped.
var builtPlain = sync.OnceValues(func() (string, error) { return build() })

// buildDir has what was built; TestMain removes it.
var buildDir = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "respgate-chaos-") })

func build(flags ...string) (string, error) {
	dir, err := buildDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "respgate"+strings.Join(flags, ""))
	args := append(append([]string{"build"}, flags...), "-o", path, "../cmd/proxy")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return path, nil
}

// settings are the proxy's: what is shipped, but for times that would make tests long and
// limits that would refuse their load.
const settings = `loops: 2
rate_limit: {default_rps: 0}
pool: {idle_timeout: 1s, stall_timeout: 1s}
log: {level: warn}
`

// proxy is respgate in a process of its own.
type proxy struct {
	t              testing.TB
	cmd            *exec.Cmd
	binary, config string
	dir            string // with nothing but the store in it
	addr, http     string
	log            testbed.Buffer
	ended          chan struct{}
}

// startProxy starts one by the command that before begins, such as "env", "LD_PRELOAD=…".
func startProxy(t testing.TB, binary string, before ...string) *proxy {
	t.Helper()
	dir := t.TempDir()
	p := &proxy{
		t: t, binary: binary, dir: filepath.Join(dir, "store"), config: filepath.Join(dir, "respgate.yaml"),
		addr: testbed.FreeAddr(t), http: testbed.FreeAddr(t), ended: make(chan struct{}),
	}
	text := fmt.Sprintf("listen: %s\nhttp: {listen: %s}\nstore: {dsn: \"file:%s/respgate.db\"}\n%s", p.addr, p.http, p.dir, settings)
	if err := os.WriteFile(p.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	command := append(slices.Clone(before), binary, "serve", "--config", p.config)
	p.cmd = exec.Command(command[0], command[1:]...)
	p.cmd.Env = append(os.Environ(), quickRace)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = p.cmd.Wait(); close(p.ended) }()
	t.Cleanup(p.end)
	testbed.Eventually(t, "the proxy is ready", func() bool {
		select {
		case <-p.ended:
			t.Fatalf("serve ended:\n%s", &p.log)
		default:
		}
		_, err := get("http://" + p.http + "/health/ready")
		return err == nil
	})
	return p
}

// quickRace has a race end the process, and the command line not wait a second for races
// that might be reported at its end.
const quickRace = "GORACE=halt_on_error=1 atexit_sleep_ms=0"

// end stops the proxy as an operator does.
func (p *proxy) end() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
		p.t.Error("SIGTERM did not end the proxy")
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		p.t.Errorf("the proxy ended with %v", p.cmd.ProcessState)
	}
	if strings.Contains(p.log.String(), "panic") {
		p.t.Error("the proxy has recovered from a panic")
	}
	if p.t.Failed() {
		p.t.Logf("log:\n%s", &p.log)
	}
}

// run runs a command of the command line beside the proxy.
func (p *proxy) run(args ...string) (string, error) {
	var stderr bytes.Buffer
	cmd := exec.Command(p.binary, append(args, "--config", p.config)...)
	cmd.Env = append(os.Environ(), quickRace)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("respgate %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}

// tenant makes an organization with the instance "cache" at url, and returns a key.
func (p *proxy) tenant(org, url string) string {
	p.t.Helper()
	if _, err := p.run("org", "create", "--name", org); err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.run("instance", "create", "--org", org, "--name", "cache", "--url", url); err != nil {
		p.t.Fatal(err)
	}
	key, err := p.newKey(org)
	if err != nil {
		p.t.Fatal(err)
	}
	return key
}

func (p *proxy) newKey(org string) (string, error) {
	out, err := p.run("key", "create", "--org", org, "--instance", "cache", "--name", "web", "--json")
	if err != nil {
		return "", err
	}
	var made struct{ Key string }
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		return "", fmt.Errorf("key create --json: %w: %s", err, out)
	}
	return made.Key, nil
}

// admits reports whether a new connection with that key is served.
func (p *proxy) admits(key string) bool {
	conn, err := net.DialTimeout("tcp", p.addr, time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = fmt.Fprintf(conn, "AUTH %s\r\nPING\r\n", key)
	w := newWire(conn)
	for range 2 {
		if r, err := w.next(); err != nil || r.kind != '+' {
			return false
		}
	}
	return true
}

// figures are the metrics, by series.
type figures map[string]float64

// metrics reads /metrics.
func (p *proxy) metrics() (figures, error) {
	body, err := get("http://" + p.http + "/metrics")
	if err != nil {
		return nil, err
	}
	f := figures{}
	for line := range strings.Lines(body) {
		series, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if v, err := strconv.ParseFloat(value, 64); ok && err == nil {
			f[series] = v
		}
	}
	return f, nil
}

// sum adds up the series whose names begin so.
func (f figures) sum(name string) (sum float64) {
	for series, v := range f {
		if strings.HasPrefix(series, name) {
			sum += v
		}
	}
	return sum
}

func get(url string) (string, error) {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, res.Status)
	}
	return string(body), err
}
