package release

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const unitFile = "usr/lib/systemd/system/respgate.service"

// checkUnit: systemd has nothing against the service, and finds it well shut in: of 100, which
// is open to all, 15 at most; https://www.freedesktop.org/software/systemd/man/latest/systemd-analyze.html.
func checkUnit(t *testing.T, root string) {
	unit, err := os.ReadFile(filepath.Join(root, unitFile))
	if err != nil {
		t.Fatal(err)
	}
	// This machine's units, and the package's program.
	own := filepath.Join(t.TempDir(), "respgate.service")
	if err := os.WriteFile(own, []byte(strings.ReplaceAll(string(unit), "/usr/bin/respgate", filepath.Join(root, "usr/bin/respgate"))), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("systemd-analyze", "verify", "--man=no", own).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v: %s", err, out)
	}
	if out, err := exec.Command("systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=15", "--root="+root, "respgate.service").CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze security: %v: %s", err, out)
	}
	for _, want := range []string{"\nUser=respgate\n", "\nStateDirectory=respgate\n", "\nEnvironmentFile=-/etc/respgate/respgate.env\n", "\nExecStart=/usr/bin/respgate serve --config /etc/respgate/respgate.yaml\n"} {
		if !strings.Contains(string(unit), want) {
			t.Errorf("the unit lacks %q", want)
		}
	}
}

// checkMan: groff has nothing against the pages.
func checkMan(t *testing.T, root string) {
	pages, err := filepath.Glob(filepath.Join(root, "usr/share/man/man1/respgate*.1"))
	if err != nil || len(pages) < 50 {
		t.Fatalf("there are %d pages, %v", len(pages), err)
	}
	for _, page := range pages {
		out, err := exec.Command("groff", "-Kutf8", "-man", "-ww", "-Tutf8", "-z", page).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%s: %v: %s", filepath.Base(page), err, out)
		}
	}
	if text := output(t, "groff", "-Kutf8", "-man", "-Tascii", filepath.Join(root, "usr/share/man/man1/respgate-store-export.1")); !strings.Contains(text, "respgate "+builtVersion) || !strings.Contains(text, "Jan 2026") {
		t.Errorf("a page is\n%s", text)
	}
}

// checkCompletions: bash takes up what the package has for it.
func checkCompletions(t *testing.T, root string) {
	out := output(t, "bash", "-c", ". "+filepath.Join(root, "usr/share/bash-completion/completions/respgate")+"; complete -p respgate")
	if !strings.Contains(out, "__start_respgate respgate") {
		t.Errorf("bash completes with %q", out)
	}
}

// checkConfiguration: the packages' is the example, but for where the store is.
func checkConfiguration(t *testing.T, root string) {
	file := filepath.Join(root, "etc/respgate/respgate.yaml")
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile(filepath.Join(project, "configs/respgate.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(string(example), "dsn: file:var/respgate.db\n", "dsn: file:/var/lib/respgate/respgate.db\n", 1)
	if string(got) != want || want == string(example) {
		t.Error("it is not configs/respgate.yaml with the store in /var/lib/respgate")
	}
	output(t, filepath.Join(root, "usr/bin/respgate"), "check-config", "--config", file)
}

// checkService runs the package's binary with its configuration, as systemd does: it says when it is ready, when
// it stops, and takes SIGHUP for a reload.
func checkService(t *testing.T, root string) {
	socket := filepath.Join(t.TempDir(), "notify")
	listener, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_ = listener.SetReadDeadline(time.Now().Add(time.Minute))
	told := func(want string) {
		t.Helper()
		var message [100]byte
		n, err := listener.Read(message[:])
		if got := string(message[:n]); err != nil || got != want {
			t.Fatalf("systemd is told %q, %v, want %q", got, err, want)
		}
	}
	var log buffer
	serve := exec.Command(filepath.Join(root, "usr/bin/respgate"), "serve", "--config", filepath.Join(root, "etc/respgate/respgate.yaml"))
	serve.Env = []string{
		"NOTIFY_SOCKET=" + socket, "RESPGATE_STORE_DSN=file:" + filepath.Join(t.TempDir(), "respgate.db"), "RESPGATE_LISTEN=" + freeAddr(t), "RESPGATE_HTTP_LISTEN=" + freeAddr(t),
	}
	serve.Stdout, serve.Stderr = &log, &log
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = serve.Process.Kill() }()
	told("READY=1")
	_ = serve.Process.Signal(syscall.SIGHUP)
	for deadline := time.Now().Add(time.Minute); !strings.Contains(log.String(), "configuration"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not reload: %s", log.String())
		}
	}
	_ = serve.Process.Signal(syscall.SIGTERM)
	told("STOPPING=1")
	if err := serve.Wait(); err != nil {
		t.Errorf("it ends with %v:\n%s", err, log.String())
	}
}
