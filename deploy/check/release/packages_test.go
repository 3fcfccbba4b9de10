package release

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb" // a packager
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm" // a packager
	"go.yaml.in/yaml/v3"
)

// releaser is the part of .goreleaser.yaml that is checked here. `make release-check` has goreleaser itself
// read all of it.
type releaser struct {
	Before struct{ Hooks []string }
	Builds []struct {
		Env, Flags, Ldflags, Goos, Goarch []string
	}
	Nfpms []struct {
		nfpm.Overridables `yaml:",inline"`
		PackageName       string `yaml:"package_name"`
		Vendor            string
		Homepage          string
		Maintainer        string
		Description       string
		License           string
		Section           string
		Priority          string
		Bindir            string
		Formats           []string
		Overrides         map[string]struct{ Dependencies []string }
	}
	Sboms []struct{ Args []string }
}

// readReleaser reads .goreleaser.yaml, with dir for bin/packages.
func readReleaser(t *testing.T, dir string) (r releaser) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(project, ".goreleaser.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"{{ .CommitDate }}": "2026-01-31T00:00:00Z", "{{ .Version }}": builtVersion, "{{ .FullCommit }}": builtCommit, "bin/packages": dir} {
		text = bytes.ReplaceAll(text, []byte(name), []byte(value))
	}
	if err := yaml.Unmarshal(text, &r); err != nil || len(r.Nfpms) != 1 || len(r.Builds) != 1 || len(r.Sboms) != 1 {
		t.Fatalf(".goreleaser.yaml: %d packages, %d builds, %d SBOMs, %v", len(r.Nfpms), len(r.Builds), len(r.Sboms), err)
	}
	return r
}

// packageFiles makes what packages have beside the binary, and the binary as the image has it.
var packageFiles = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "respgate-packages-"); err != nil {
		return "", err
	}
	cmd := exec.Command(filepath.Join(project, "scripts/package-files"), dir)
	cmd.Env = append(os.Environ(), "VERSION="+builtVersion, "SOURCE_DATE_EPOCH=1769817600")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("scripts/package-files: %w: %s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	status := m.Run()
	if dir, err := packageFiles(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(status)
}

// made are the files of packageFiles.
func made(t *testing.T) string {
	t.Helper()
	dir, err := packageFiles()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// packaged makes a package as goreleaser does, and returns its file.
func packaged(t *testing.T, format, binary string) string {
	t.Helper()
	p := readReleaser(t, made(t)).Nfpms[0]
	if !slices.Contains(p.Formats, format) {
		t.Fatalf("there are packages of %q, none of %s", p.Formats, format)
	}
	info := &nfpm.Info{
		Name: p.PackageName, Arch: runtime.GOARCH, Platform: "linux", Version: builtVersion, Section: p.Section, Priority: p.Priority,
		Maintainer: p.Maintainer, Description: p.Description, Vendor: p.Vendor, Homepage: p.Homepage, License: p.License, Overridables: p.Overridables,
	}
	info.Depends = p.Overrides[format].Dependencies
	for _, script := range []*string{&info.Scripts.PreInstall, &info.Scripts.PostInstall, &info.Scripts.PreRemove, &info.Scripts.PostRemove} {
		*script = filepath.Join(project, *script)
	}
	for _, c := range info.Contents {
		if !filepath.IsAbs(c.Source) {
			c.Source = filepath.Join(project, c.Source)
		}
	}
	info.Contents = append(info.Contents, &files.Content{Source: binary, Destination: filepath.Join(p.Bindir, "respgate"), FileInfo: &files.ContentFileInfo{Mode: 0o755}})
	info = nfpm.WithDefaults(info)
	if err := nfpm.PrepareForPackager(info, format); err != nil {
		t.Fatal(err)
	}
	packager, err := nfpm.Get(format)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := packager.Package(info, &out); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), packager.ConventionalFileName(info))
	if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestPackages makes the packages of .goreleaser.yaml with the Dockerfile's binary, and looks into them.
func TestPackages(t *testing.T) {
	binary := filepath.Join(newBuilder(t, t.TempDir(), buildArgs()).named("source").dir, "out/respgate")
	deb, rpm := packaged(t, "deb", binary), packaged(t, "rpm", binary)
	root := filepath.Join(t.TempDir(), "root")
	output(t, "dpkg-deb", "-x", deb, root)
	t.Run("deb", func(t *testing.T) { checkDeb(t, deb) })
	t.Run("rpm", func(t *testing.T) { checkRPM(t, rpm, binary) })
	t.Run("scripts", checkScripts)
	t.Run("unit", func(t *testing.T) { checkUnit(t, root) })
	t.Run("man pages", func(t *testing.T) { checkMan(t, root) })
	t.Run("completions", func(t *testing.T) { checkCompletions(t, root) })
	t.Run("configuration", func(t *testing.T) { checkConfiguration(t, root) })
	t.Run("running", func(t *testing.T) { checkService(t, root) })
}

// files that both packages have, by the paths in them.
var packageModes = map[string]string{
	"/usr/bin/respgate":                                  "-rwxr-xr-x root/root",
	"/etc/respgate/respgate.yaml":                        "-rw-r----- root/respgate",
	"/etc/respgate/respgate.env":                         "-rw-r----- root/respgate",
	"/usr/lib/systemd/system/respgate.service":           "-rw-r--r-- root/root",
	"/usr/share/man/man1/respgate.1":                     "-rw-r--r-- root/root",
	"/usr/share/man/man1/respgate-store-export.1":        "-rw-r--r-- root/root",
	"/usr/share/bash-completion/completions/respgate":    "-rw-r--r-- root/root",
	"/usr/share/fish/vendor_completions.d/respgate.fish": "-rw-r--r-- root/root",
	"/usr/share/doc/respgate/copyright":                  "-rw-r--r-- root/root",
}

func checkDeb(t *testing.T, deb string) {
	list := output(t, "dpkg-deb", "-c", deb)
	for path, mode := range packageModes {
		line := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(mode) + ` .* \.?` + regexp.QuoteMeta(path) + `$`)
		if !line.MatchString(list) {
			t.Errorf("%s is not there as %s", path, mode)
		}
	}
	if !strings.Contains(list, "/usr/share/zsh/vendor-completions/_respgate") {
		t.Error("zsh's completions are not where Debian has them")
	}
	if t.Failed() {
		t.Log(list)
	}
	want := "/etc/respgate/respgate.env\n/etc/respgate/respgate.yaml"
	if got := strings.TrimSpace(output(t, "dpkg-deb", "-I", deb, "conffiles")); got != want {
		t.Errorf("conffiles are %q, want %q", got, want)
	}
	for field, want := range map[string]string{
		"Package": "respgate", "Version": builtVersion, "Architecture": runtime.GOARCH, "Depends": "passwd", "Recommends": "ca-certificates", "Section": "net",
	} {
		if got := strings.TrimSpace(output(t, "dpkg-deb", "-f", deb, field)); got != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
}

func checkRPM(t *testing.T, rpm, binary string) {
	list := output(t, "rpm", "-qp", "--nosignature", "--qf", `[%{FILENAMES} %{FILEMODES:perms} %{FILEUSERNAME}/%{FILEGROUPNAME} %{FILEDIGESTS} %{FILEFLAGS:fflags}\n]`, rpm)
	for path, mode := range packageModes {
		line := path + " " + mode + " "
		if path == "/usr/bin/respgate" {
			line += sumOf(t, binary) + " "
		}
		if !strings.Contains("\n"+list, "\n"+line) {
			t.Errorf("%s is not there as %s", path, mode)
		}
	}
	for _, path := range []string{"/etc/respgate/respgate.yaml", "/etc/respgate/respgate.env"} { // c: configuration, n: not replaced
		if !regexp.MustCompile(`(?m)^` + path + ` .* cn$`).MatchString(list) {
			t.Errorf("%s is no configuration file that an upgrade leaves alone", path)
		}
	}
	if !strings.Contains(list, "/usr/share/zsh/site-functions/_respgate") {
		t.Error("zsh's completions are not where rpm distributions have them")
	}
	if t.Failed() {
		t.Log(list)
	}
	got := output(t, "rpm", "-qp", "--nosignature", "--qf", "%{NAME} %{VERSION} %{LICENSE}", rpm)
	if want := "respgate " + builtVersion + " Apache-2.0"; got != want {
		t.Errorf("it is %q, want %q", got, want)
	}
	if scripts := output(t, "rpm", "-qp", "--nosignature", "--scripts", rpm); strings.Count(scripts, "#!/bin/sh") != 4 {
		t.Errorf("its scripts are %s", scripts)
	}
}

// checkScripts runs those of the packages with words in place of the programs that they call.
func checkScripts(t *testing.T) {
	words := t.TempDir()
	for name, text := range map[string]string{"groupadd": "", "useradd": "", "systemctl": "[ $1 != is-active ] || { echo $STATE; exit 3; }\n"} {
		if err := os.WriteFile(filepath.Join(words, name), []byte("#!/bin/sh\n"+text+"echo "+name+" \"$@\"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	getent := filepath.Join(words, "getent")
	for _, c := range []struct {
		name, script, arg string
		there             bool // the user and the group
		want              []string
	}{
		{"first", "preinstall.sh", "install", false, []string{"groupadd --system respgate", "useradd --system --gid respgate --home-dir /var/lib/respgate --no-create-home --shell /usr/sbin/nologin respgate"}},
		{"again", "preinstall.sh", "upgrade", true, nil},
		{"removed for an upgrade of a deb", "preremove.sh", "upgrade", true, nil},
		{"removed for an upgrade of a deb whose own script has failed", "preremove.sh", "failed-upgrade", true, nil},
		{"removed for an upgrade of an rpm", "preremove.sh", "1", true, nil},
		{"removed", "preremove.sh", "remove", true, []string{"systemctl disable --now respgate.service"}},
		{"the last rpm removed", "preremove.sh", "0", true, []string{"systemctl disable --now respgate.service"}},
		{"installed", "postinstall.sh", "configure", true, []string{"systemctl daemon-reload"}},
		{"upgraded while it serves: active", "postinstall.sh", "configure", true, []string{"systemctl daemon-reload", "systemctl restart --no-block respgate.service"}},
		{"upgraded while it waits for its store: activating", "postinstall.sh", "configure", true, []string{"systemctl daemon-reload", "systemctl restart --no-block respgate.service"}},
		{"upgraded while it is stopped: inactive", "postinstall.sh", "configure", true, []string{"systemctl daemon-reload"}},
		{"gone", "postremove.sh", "remove", true, []string{"systemctl daemon-reload"}},
	} {
		status := map[bool]string{true: "0", false: "2"}[c.there]
		if err := os.WriteFile(getent, []byte("#!/bin/sh\nexit "+status+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(project, "deploy/packages", c.script))
		if err != nil {
			t.Fatal(err)
		}
		// A machine that systemd runs on.
		script := strings.ReplaceAll(string(text), "/run/systemd/system", words)
		cmd := exec.Command("sh", "-c", script, c.script, c.arg)
		cmd.Env = []string{"PATH=" + words + ":/usr/bin:/bin", "STATE=" + c.name[strings.LastIndex(c.name, " ")+1:]}
		out, err := cmd.CombinedOutput()
		if got := strings.Split(strings.TrimSpace(string(out)), "\n"); err != nil || strings.Join(got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%s: %s does %q, %v, want %q", c.name, c.script, got, err, c.want)
		}
	}
}

// TestBuildsAlike: goreleaser builds with the flags of the Dockerfile, so that the binaries are the same,
// and describes them with the same tool.
func TestBuildsAlike(t *testing.T) {
	r := readReleaser(t, "bin/packages")
	dockerfile, err := os.ReadFile(filepath.Join(project, "deploy/Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("${VERSION}", builtVersion, "${COMMIT}", builtCommit).Replace(string(dockerfile))
	build := r.Builds[0]
	want := "go build " + strings.Join(build.Flags, " ") + ` -ldflags "` + build.Ldflags[0] + `" -o`
	if !strings.Contains(text, want) || !slices.Equal(build.Env, []string{"CGO_ENABLED=0"}) {
		t.Errorf("the Dockerfile does not %s with %q", want, build.Env)
	}
	if want := strings.Join(r.Sboms[0].Args[:6], " "); !strings.Contains(text, "go "+want) {
		t.Errorf("the Dockerfile does not go %s", want)
	}
	if got := strings.Join(append(build.Goos, build.Goarch...), " "); got != "linux darwin amd64 arm64" {
		t.Errorf("there are binaries for %s", got)
	}
}

// output is what a program prints.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	var errs bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, &errs)
	}
	return string(out)
}
