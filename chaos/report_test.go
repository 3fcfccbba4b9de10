//go:build linux

package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// table is the outcome as Markdown.
func table(all []fault, rows map[string]row) string {
	var b strings.Builder
	b.WriteString("| fault | runs | commands | lost | doubled | misdelivered | otherwise wrong | unknown | refused | recovery, at most |\n")
	b.WriteString("| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |\n")
	for _, f := range all {
		if r, ok := rows[f.name]; ok {
			fmt.Fprintf(&b, "| %s | %v |\n", f.name, r)
		}
	}
	return b.String()
}

// commit is what is tested, if git knows.
func commit() string {
	id, _ := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12").Output()
	return strings.TrimSpace(string(id))
}

// heading says on what the table was made, of that commit.
func heading(commit string) string {
	model := "unknown"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		_, rest, _ := strings.Cut(string(text), "model name")
		line, _, _ := strings.Cut(rest, "\n")
		model = strings.Trim(line, "\t :")
	}
	toxiproxy, _ := exec.Command("go", "list", "-m", "-f", "{{.Version}}", "github.com/Shopify/toxiproxy/v2").Output()
	redis, _ := exec.Command("redis-server", "--version").Output()
	return fmt.Sprintf(`# Results of the fault suite

Written by %[1]smake chaos%[1]s; docs/CHAOS.md says what each column means.

- date: %[2]s, commit %[3]s
- machine: %[4]d × %[5]s, %[6]s
- respgate with the race detector, %[7]s; toxiproxy %[8]s
- %[9]s

`, "`", time.Now().UTC().Format("2006-01-02"), commit, runtime.NumCPU(), model, kernel(), runtime.Version(), strings.TrimSpace(string(toxiproxy)),
		strings.TrimSpace(string(redis)))
}

func kernel() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "Linux"
	}
	return "Linux " + strings.TrimSpace(string(text))
}
