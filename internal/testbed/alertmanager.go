package testbed

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Alertmanager starts an alertmanager with a configuration (the text of an
// alertmanager.yml), waits until it is ready, and returns its URL, such as
// "http://127.0.0.1:10123". It keeps its data in a directory of its own, and is killed
// when the test ends.
func Alertmanager(tb testing.TB, config string) string {
	tb.Helper()
	dir, addr := tb.TempDir(), FreeAddr(tb)
	file := filepath.Join(dir, "alertmanager.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		tb.Fatal(err)
	}
	cmd := exec.CommandContext(context.Background(), Binary(tb, "prometheus-alertmanager", "prometheus-alertmanager"),
		"--config.file="+file, "--storage.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr, "--cluster.listen-address=", "--log.level=warn")
	out := new(Buffer)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	tb.Cleanup(func() { _ = cmd.Process.Kill(); <-done })
	Eventually(tb, "alertmanager is ready", func() bool {
		select {
		case <-done:
			tb.Fatalf("alertmanager ended at once:\n%s", out)
		default:
		}
		resp, err := get("http://" + addr + "/-/ready")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return "http://" + addr
}
