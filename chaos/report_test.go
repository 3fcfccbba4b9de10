//go:build linux

package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
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

// heading says on what the table was made.
func heading() string {
	model := "unknown"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		_, rest, _ := strings.Cut(string(text), "model name")
		line, _, _ := strings.Cut(rest, "\n")
		model = strings.Trim(line, "\t :")
	}
	toxiproxy := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if strings.HasSuffix(dep.Path, "toxiproxy/v2") {
				toxiproxy = dep.Version
			}
		}
	}
	redis, _ := exec.Command("redis-server", "--version").Output()
	commit, _ := exec.Command("git", "rev-parse", "--short=12", "HEAD").Output()
	return fmt.Sprintf(`# Results of the fault suite

Written by %[1]smake chaos%[1]s; docs/CHAOS.md says what each column means.

- date: %[2]s, commit %[3]s
- machine: %[4]d × %[5]s, %[6]s
- respgate with the race detector, %[7]s; toxiproxy %[8]s
- %[9]s

`, "`", time.Now().UTC().Format("2006-01-02"), strings.TrimSpace(string(commit)), runtime.NumCPU(), model, kernel(), runtime.Version(), toxiproxy,
		strings.TrimSpace(string(redis)))
}

func kernel() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "Linux"
	}
	return "Linux " + strings.TrimSpace(string(text))
}
