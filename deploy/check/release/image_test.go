package release

import (
	"crypto/sha256"
	"crypto/x509"
	"debug/buildinfo"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	builtVersion = "1.2.3"
	builtCommit  = "0123456789abcdef0123456789abcdef01234567"
	imageUser    = 65532
)

func buildArgs() map[string]string {
	return map[string]string{
		"VERSION": builtVersion, "COMMIT": builtCommit, "CREATED": "2026-01-31T00:00:00Z",
		"TARGETOS": "linux", "TARGETARCH": runtime.GOARCH, "TARGETPLATFORM": "linux/" + runtime.GOARCH, "BUILDPLATFORM": "linux/" + runtime.GOARCH,
	}
}

// TestImage does the Dockerfile's steps, twice in different folders, and runs what they make as
// the image's user, in a root that has nothing else.
func TestImage(t *testing.T) {
	image := newBuilder(t, t.TempDir(), buildArgs()).image()
	t.Run("contents", func(t *testing.T) { checkContents(t, image) })
	t.Run("labels", func(t *testing.T) { checkLabels(t, image) })
	t.Run("binary", func(t *testing.T) { checkBinary(t, filepath.Join(image.dir, "respgate")) })
	t.Run("SBOM", func(t *testing.T) { checkSBOM(t, image.dir) })
	t.Run("again", func(t *testing.T) { checkAgain(t, image) })
	t.Run("of a release", func(t *testing.T) { checkRelease(t, image) })
	t.Run("running", func(t *testing.T) { checkRuns(t, image) })
}

// checkContents: nothing is in the root but what has to be.
func checkContents(t *testing.T, image *stage) {
	var files []string
	err := filepath.WalkDir(image.dir, func(path string, entry fs.DirEntry, err error) error {
		if relative, _ := filepath.Rel(image.dir, path); !entry.IsDir() || relative == "data" {
			files = append(files, relative)
		}
		return err
	})
	want := []string{"data", "etc/ssl/certs/ca-certificates.crt", "respgate", "usr/share/doc/respgate/respgate.cdx.json"}
	if err != nil || !slices.Equal(files, want) {
		t.Errorf("the image has %q, %v, want %q", files, err, want)
	}
	roots, err := os.ReadFile(filepath.Join(image.dir, "etc/ssl/certs/ca-certificates.crt"))
	if err != nil || !x509.NewCertPool().AppendCertsFromPEM(roots) {
		t.Errorf("the roots of TLS cannot be read: %v", err)
	}
	if owner := image.owners[filepath.Join(image.dir, "data")]; owner != image.user || image.user != "65532:65532" {
		t.Errorf("/data is %q's, and the user is %q, want 65532:65532", owner, image.user)
	}
}

func checkLabels(t *testing.T, image *stage) {
	for name, want := range map[string]string{
		"title": "respgate", "licenses": "Apache-2.0", "version": builtVersion, "revision": builtCommit, "created": "2026-01-31T00:00:00Z",
		"source": "https://github.com/respgate/respgate",
	} {
		if got := image.labels["org.opencontainers.image."+name]; got != want {
			t.Errorf("the label %s is %q, want %q", name, got, want)
		}
	}
	base := newBuilder(t, t.TempDir(), buildArgs()).named("base").tools
	module, err := os.ReadFile(filepath.Join(project, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	want := "golang:" + string(regexp.MustCompile(`(?m)^go (\S+)$`).FindSubmatch(module)[1]) + "-bookworm"
	if base != want {
		t.Errorf("it is built with %s, want %s, as go.mod says", base, want)
	}
}

// checkBinary: it is static, says what it is, and has no trace of where it was built.
func checkBinary(t *testing.T, binary string) {
	file, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if libraries, err := file.ImportedLibraries(); err != nil || len(libraries) > 0 || file.Section(".interp") != nil {
		t.Errorf("it is not static: %q, %v", libraries, err)
	}
	out, err := exec.Command(binary, "version", "--json").Output()
	if want := `{"version":"` + builtVersion + `","commit":"` + builtCommit + `","go":"` + runtime.Version() + `"}`; err != nil || strings.TrimSpace(string(out)) != want {
		t.Errorf("version says %s, %v, want %s", out, err, want)
	}
	info, err := buildinfo.ReadFile(binary)
	if err != nil || info.Main.Path != "github.com/respgate/respgate" {
		t.Errorf("go version -m says %+v, %v", info, err)
	}
	content, err := os.ReadFile(binary)
	if here, _ := filepath.Abs(project); err != nil || strings.Contains(string(content), here) || strings.Contains(string(content), os.TempDir()+"/Test") {
		t.Errorf("it names the folder where it was built, %v", err)
	}
}

// checkSBOM: every module in the binary is in the list of what it is made of.
func checkSBOM(t *testing.T, root string) {
	text, err := os.ReadFile(filepath.Join(root, "usr/share/doc/respgate/respgate.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var bom struct {
		BOMFormat string
		Metadata  struct {
			Component struct{ Name, Version string }
		}
		Components []struct{ Name, Version string }
	}
	if err := json.Unmarshal(text, &bom); err != nil || bom.BOMFormat != "CycloneDX" || bom.Metadata.Component.Version != builtVersion {
		t.Fatalf("it says %.200s, %v", text, err)
	}
	listed := map[string]string{}
	for _, c := range bom.Components {
		listed[c.Name] = c.Version
	}
	info, err := buildinfo.ReadFile(filepath.Join(root, "respgate"))
	if err != nil || len(info.Deps) < 20 {
		t.Fatalf("the binary has %d modules, %v", len(info.Deps), err)
	}
	for _, d := range info.Deps {
		if listed[d.Path] != d.Version {
			t.Errorf("it has %s %q, want %s", d.Path, listed[d.Path], d.Version)
		}
	}
	if listed["std"] == "" {
		t.Error("it lacks Go's standard library")
	}
}

// checkAgain: another folder, the same bytes.
func checkAgain(t *testing.T, image *stage) {
	again := newBuilder(t, t.TempDir(), buildArgs()).image()
	if again.dir == image.dir {
		t.Fatal("it was built in the same folder")
	}
	for _, name := range []string{"respgate", "usr/share/doc/respgate/respgate.cdx.json"} {
		if a, b := sumOf(t, filepath.Join(image.dir, name)), sumOf(t, filepath.Join(again.dir, name)); a != b {
			t.Errorf("%s has the SHA-256 %s in one folder and %s in another", name, a, b)
		}
	}
}

// checkRelease: an image of a binary that is there already is the same.
func checkRelease(t *testing.T, image *stage) {
	args := buildArgs()
	args["BINARY"] = "release"
	b := newBuilder(t, t.TempDir(), args)
	for i, s := range b.stages { // what goreleaser puts into the context
		if s.Name == "release" {
			b.stages[i].Commands = s.Commands[:1]
			b.built["release"] = b.build(b.stages[i])
			if err := copyFile(filepath.Join(b.built["release"].dir, "out/respgate"), filepath.Join(image.dir, "respgate"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	released := b.image()
	for _, name := range []string{"respgate", "usr/share/doc/respgate/respgate.cdx.json"} {
		if a, b := sumOf(t, filepath.Join(image.dir, name)), sumOf(t, filepath.Join(released.dir, name)); a != b {
			t.Errorf("%s is another one", name)
		}
	}
	if _, built := b.built["source"]; built {
		t.Error("the source was built all the same")
	}
}

// checkRuns runs the image: it becomes healthy by its own check, writes to /data and stops.
func checkRuns(t *testing.T, image *stage) {
	data := filepath.Join(image.dir, "data")
	openTo(t, image.dir)
	if os.Geteuid() == 0 {
		if err := os.Chown(data, imageUser, imageUser); err != nil {
			t.Fatal(err)
		}
	}
	own := map[string]string{"RESPGATE_LISTEN": freeAddr(t), "RESPGATE_HTTP_LISTEN": freeAddr(t)} // others than all of this machine's
	command := func(args ...string) *exec.Cmd {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir, cmd.SysProcAttr = "/", inRoot(image.dir)
		for name, value := range image.env {
			if own[name] != "" {
				value = own[name]
			}
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		return cmd
	}
	if image.health[0] != "CMD" {
		t.Fatalf("HEALTHCHECK is %q: there is no shell", image.health)
	}
	if command(image.health[1:]...).Run() == nil {
		t.Error("it is healthy before it runs")
	}
	serve := command(slices.Concat(image.entrypoint, image.cmd)...)
	var log buffer
	serve.Stdout, serve.Stderr = &log, &log
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- serve.Wait() }()
	defer func() { _ = serve.Process.Kill() }()
	for deadline := time.Now().Add(time.Minute); command(image.health[1:]...).Run() != nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not become healthy: %s", log.String())
		}
	}
	info, err := os.Stat(filepath.Join(data, "respgate.db"))
	if err != nil || os.Geteuid() == 0 && info.Sys().(*syscall.Stat_t).Uid != imageUser {
		t.Errorf("its store: %+v, %v, want the user's %d", info, err, imageUser)
	}
	if out, err := command("/respgate", "org", "create", "--name", "acme").CombinedOutput(); err != nil {
		t.Errorf("a command beside it: %v: %s", err, out)
	}
	if image.stopSignal != "SIGTERM" {
		t.Errorf("it is stopped by %s", image.stopSignal)
	}
	_ = serve.Process.Signal(syscall.SIGTERM)
	if err := <-ended; err != nil || !strings.Contains(log.String(), `"msg":"stopped"`) {
		t.Errorf("it ends with %v:\n%s", err, log.String())
	}
}

// inRoot has a process run as the image's user with dir as its root: as root, or in a user
// namespace in which it is that user.
func inRoot(dir string) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Chroot: dir}
	if os.Geteuid() == 0 {
		attr.Credential = &syscall.Credential{Uid: imageUser, Gid: imageUser, NoSetGroups: false}
		return attr
	}
	attr.Cloneflags = syscall.CLONE_NEWUSER
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: imageUser, HostID: os.Getuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: imageUser, HostID: os.Getgid(), Size: 1}}
	return attr
}

// openTo lets everybody into a test's folder, and those above it that the test has made.
func openTo(t *testing.T, dir string) {
	t.Helper()
	for ; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func sumOf(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// freeAddr is an address of this machine's that nobody has.
func freeAddr(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// buffer is what a process has written so far.
type buffer struct {
	mu   sync.Mutex
	text []byte
}

// Write implements io.Writer.
func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, p...)
	return len(p), nil
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.text)
}
