package helm

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	kyaml "sigs.k8s.io/yaml"
)

// pod is what Kubernetes would start, in a folder instead of in a container: the same
// arguments, environment and files, but for where files and ports are.
type pod struct {
	path  string
	args  []string
	env   map[string]string
	ports map[string]string // the addresses that it listens on, by the port's name
}

// secrets are what the Secrets have that value sets name.
var secrets = map[string]string{
	"RESPGATE_SECRET_KEY":         strings.Repeat("k", 32),
	"RESPGATE_HTTP_ADMIN_TOKEN":   strings.Repeat("a", 32),
	"RESPGATE_HTTP_METRICS_TOKEN": strings.Repeat("m", 32),
	// Nobody listens there: what needs PostgreSQL, or a shared Redis, itself is tested with the program.
	"RESPGATE_STORE_DSN":             "postgres://respgate:secret@127.0.0.1:1/respgate?connect_timeout=1",
	"RESPGATE_RATE_LIMIT_SHARED_URL": "redis://:secret@127.0.0.1:1/0",
}

// newPod has a pod's volumes in a folder, and its container's ports where nothing listens.
func newPod(t *testing.T, r release) pod {
	t.Helper()
	spec := one[*apps.Deployment](t, r).Spec.Template.Spec
	container := spec.Containers[0]
	dir := t.TempDir()
	p := pod{path: binary(t), args: container.Args, env: environment(container), ports: map[string]string{}}
	if !slices.Equal(container.Command, []string{"/respgate"}) {
		t.Errorf("the command is %v, want what is in the image", container.Command)
	}
	var moved []string
	for _, mount := range container.VolumeMounts {
		here := filepath.Join(dir, mount.MountPath)
		if err := os.MkdirAll(here, 0o700); err != nil {
			t.Fatal(err)
		}
		moved = append(moved, mount.MountPath+"/", here+"/")
		if strings.HasPrefix(mount.Name, "tls-") {
			writeCertificate(t, here)
		}
	}
	for _, port := range container.Ports {
		p.ports[port.Name] = freeAddr(t)
		moved = append(moved, fmt.Sprintf("0.0.0.0:%d", port.ContainerPort), p.ports[port.Name])
	}
	local := strings.NewReplacer(moved...)
	for name, value := range p.env {
		p.env[name] = local.Replace(value)
		if source := slices.IndexFunc(container.Env, func(e core.EnvVar) bool { return e.Name == name && e.ValueFrom != nil }); source >= 0 {
			p.env[name] = secrets[name]
		}
	}
	if err := os.WriteFile(p.env["RESPGATE_CONFIG"], []byte(local.Replace(configText(t, r))), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// command is the program with the pod's environment, and nothing of this process's.
func (p pod) command(args ...string) *exec.Cmd {
	cmd := exec.Command(p.path, args...)
	cmd.Env = []string{}
	for name, value := range p.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

// writeCertificate writes what cert-manager puts into a Secret.
func writeCertificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "respgate"}, DNSNames: []string{"localhost"},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"tls.crt": {Type: "CERTIFICATE", Bytes: cert}, "ca.crt": {Type: "CERTIFICATE", Bytes: cert}, "tls.key": {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestConfigIsTaken has the program check what the ConfigMap and the environment give it, and
// know each variable.
func TestConfigIsTaken(t *testing.T) {
	known := variables(t)
	eachSet(t, func(t *testing.T, _ string, r release) {
		for name := range newPod(t, r).env {
			if strings.HasPrefix(name, "RESPGATE_") && !known[name] {
				t.Errorf("the program knows no %s", name)
			}
		}
		for _, env := range one[*core.Pod](t, r).Spec.Containers[0].Env {
			if !known[env.Name] {
				t.Errorf("the program knows no %s, which helm test gives it", env.Name)
			}
		}
		if out, err := newPod(t, r).command("check-config").CombinedOutput(); err != nil {
			t.Errorf("respgate check-config: %v\n%s", err, out)
		}
	})
}

// TestWrongConfigIsRefused shows that the check above can fail.
func TestWrongConfigIsRefused(t *testing.T) {
	r, err := render(load(t, chartDir), values(t, "config: {limits: {max_client: 5}}"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := newPod(t, r).command("check-config").CombinedOutput()
	if err == nil || !strings.Contains(string(out), `unknown key "limits.max_client"`) {
		t.Errorf("got %v, %s, want a word about limits.max_client", err, out)
	}
}

// variables are what the program's example of a configuration has, each also a variable.
func variables(t *testing.T) map[string]bool {
	t.Helper()
	var example map[string]any
	if err := kyaml.Unmarshal(read(t, root+"/configs/respgate.yaml"), &example); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"RESPGATE_SECRET_KEY": true, "RESPGATE_CONFIG": true}
	for key, value := range example {
		section, is := value.(map[string]any)
		if !is {
			known["RESPGATE_"+strings.ToUpper(key)] = true
		}
		for name := range section {
			known["RESPGATE_"+strings.ToUpper(key+"_"+name)] = true
		}
	}
	return known
}

// probe asks as the kubelet does: over TLS it believes any certificate.
func probe(p core.Probe, addr string) int {
	client := &http.Client{Timeout: time.Duration(p.TimeoutSeconds) * time.Second,
		Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, strings.ToLower(string(p.HTTPGet.Scheme))+"://"+addr+p.HTTPGet.Path, nil)
	if err != nil {
		return 0
	}
	res, err := client.Do(r)
	if err != nil {
		return 0
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// TestProcess starts what each value set's pod would run, asks it as the kubelet does, and
// ends it. Those with PostgreSQL find none: they live, and are not ready.
func TestProcess(t *testing.T) {
	eachSet(t, func(t *testing.T, name string, r release) {
		p := newPod(t, r)
		container := one[*apps.Deployment](t, r).Spec.Template.Spec.Containers[0]
		cmd := p.command(p.args...)
		out := &log{}
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		defer func() { _ = cmd.Process.Kill() }()

		ready, ask := http.StatusOK, func(which string, of *core.Probe, want int) {
			t.Helper()
			addr := p.ports[of.HTTPGet.Port.String()]
			got := 0
			for until := time.Now().Add(30 * time.Second); got != want && time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
				got = probe(*of, addr)
			}
			if got != want {
				t.Fatalf("the %s probe %s at %s answers %d, want %d\n%s", which, of.HTTPGet.Path, addr, got, want, out)
			}
		}
		if p.env["RESPGATE_STORE_DRIVER"] == "postgres" {
			ready = http.StatusServiceUnavailable
		}
		ask("startup", container.StartupProbe, http.StatusOK)
		ask("liveness", container.LivenessProbe, http.StatusOK)
		ask("readiness", container.ReadinessProbe, ready)
		if ready == http.StatusOK {
			helmTest(t, r, p)
			for port, addr := range p.ports {
				conn, err := net.DialTimeout("tcp", addr, time.Second)
				if err != nil {
					t.Errorf("port %s: %v", port, err)
					continue
				}
				_ = conn.Close()
			}
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if slices.Contains([]string{"defaults", "tls"}, name) { // shutdown.delay: still there, and not ready
			ask("readiness", container.ReadinessProbe, http.StatusServiceUnavailable)
			ask("liveness", container.LivenessProbe, http.StatusOK)
			_ = cmd.Process.Signal(syscall.SIGTERM) // not to wait for all of it
		}
		select {
		case err := <-ended:
			if err != nil && !slices.Contains([]string{"defaults", "tls"}, name) {
				t.Errorf("it ended with %v\n%s", err, out)
			}
		case <-time.After(time.Minute):
			t.Errorf("it does not end\n%s", out)
		}
	})
}

// helmTest runs the pod of `helm test` against the proxy.
func helmTest(t *testing.T, r release, p pod) {
	t.Helper()
	container := one[*core.Pod](t, r).Spec.Containers[0]
	test := pod{path: p.path, env: environment(container)}
	if host, _, err := net.SplitHostPort(test.env["RESPGATE_HTTP_LISTEN"]); err != nil || !slices.ContainsFunc(find[*core.Service](t, r), func(s *core.Service) bool {
		return s.Name+"."+s.Namespace+".svc" == host
	}) {
		t.Errorf("helm test asks %q, which is no Service", test.env["RESPGATE_HTTP_LISTEN"])
	}
	test.env = maps.Clone(test.env)
	test.env["RESPGATE_HTTP_LISTEN"] = p.ports["http"]
	if out, err := test.command(container.Args...).CombinedOutput(); err != nil || !bytes.Contains(out, []byte("status ready")) {
		t.Errorf("helm test: %v\n%s", err, out)
	}
}

// log is what a process says, safe for concurrent use.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
