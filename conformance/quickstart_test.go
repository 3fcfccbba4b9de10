//go:build conformance

package conformance

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/respgate/respgate/internal/pages"
	"github.com/respgate/respgate/internal/testbed"
)

// language is one that a page of docs/quickstart is about.
type language struct {
	page, code string
	file       string              // what a program is written to
	run        func(string) string // the command that runs it
}

// TestQuickStarts: each program of docs/quickstart, as it stands there, gets what it has set,
// is told of its key's limit, and goes on when it has waited.
func TestQuickStarts(t *testing.T) {
	certificate := filepath.Join(t.TempDir(), "cert.pem")
	key := filepath.Join(t.TempDir(), "key.pem")
	output(t, "", "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", certificate,
		"-days", "1", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
	tls := testbed.FreeAddr(t)
	for name, value := range map[string]string{"LISTEN": tls, "CERT_FILE": certificate, "KEY_FILE": key} {
		t.Setenv("RESPGATE_TLS_"+name, value)
	}
	p := startProxy(t)
	p.tenant(t, testbed.Redis(t).Addr)
	node := nodeFolder(t)
	for _, l := range []language{
		{"docs/quickstart/go.md", "go", filepath.Join(t.TempDir(), "main.go"), func(file string) string { return "go run " + file }},
		{"docs/quickstart/javascript.md", "js", filepath.Join(node, "main.mjs"), func(file string) string { return "node " + file }},
		{"docs/quickstart/python.md", "python", filepath.Join(t.TempDir(), "main.py"), func(file string) string { return "/usr/bin/python3 " + file }},
		{"docs/quickstart/ruby.md", "ruby", filepath.Join(t.TempDir(), "main.rb"), func(file string) string { return "ruby " + file }},
		{"docs/quickstart/php.md", "php", filepath.Join(t.TempDir(), "main.php"), func(file string) string { return "php " + file }},
	} {
		t.Run(l.code, func(t *testing.T) {
			export := p.local(pages.Script(t, l.page))
			for _, program := range pages.Blocks(t, l.page, l.code) {
				key := p.key(t, "--rate", "50")
				script := export
				wanted := []string{`(?m)^hello$`}
				switch {
				case strings.Contains(program.Text, "REDIS_CA"):
					script = "export REDIS_CA=" + certificate + " REDIS_URL=rediss://cache:$KEY@" + tls + "/0\n"
				case strings.Contains(program.Text, "RATELIMIT"):
					wanted = append(wanted, `(?m)^RATELIMIT 50 commands/s exceeded for this key, retry after \d+ ms$`, `(?m)^again: hello`)
				}
				if err := os.WriteFile(l.file, []byte(program.Text), 0o600); err != nil {
					t.Fatal(err)
				}
				cmd := exec.CommandContext(t.Context(), "timeout", "60", "bash", "-ec", script+l.run(l.file))
				cmd.Env = append(os.Environ(), "KEY="+key)
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Errorf("%s:%d: %v", program.Page, program.Line, err)
				}
				for _, want := range wanted {
					if !regexp.MustCompile(want).Match(out) {
						t.Errorf("%s:%d: nothing matches %s:\n%s", program.Page, program.Line, want, out)
					}
				}
			}
		})
	}
}

// TestJavaIsParsed has javac read the programs of Java's quick start, for which no library is
// to be had here.
func TestJavaIsParsed(t *testing.T) {
	read := 0
	for _, program := range pages.Read(t, "docs/quickstart/java.md") {
		if program.Lang != "java" {
			continue
		}
		read++
		file := filepath.Join(t.TempDir(), "QuickStart.java")
		if err := os.WriteFile(file, []byte(program.Text), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), "java", "java/Parse.java", file).CombinedOutput(); err != nil {
			t.Errorf("%s:%d: %v: %s", program.Page, program.Line, err, out)
		}
	}
	if read == 0 {
		t.Error("the page has no program")
	}
}

// local is the script with this proxy's address.
func (p proxy) local(script string) string {
	_, port, _ := net.SplitHostPort(p.addr) // it is one of testbed's
	return strings.NewReplacer("127.0.0.1:6380", p.addr, "-p 6380", "-p "+port).Replace(script)
}
