package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// report is the file: the summary, the tables and how they came about.
func report(r *results, chosen []section, o options) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Benchmark\n\nMade by `make bench` on %s.\n\n%s\n", time.Now().UTC().Format(time.DateOnly), summary(r))
	fmt.Fprintf(&b, "Medians of %d rounds, interleaved, the order rotated each round; ratios are medians of the ratios within a round. CPU is the target's\n", o.rounds)
	b.WriteString("own, all threads. respgate runs as shipped with everything on: an API key, its policy, a finite limit that is not reached, and\n")
	b.WriteString("metrics. HAProxy is in TCP mode with its default of one thread for each core.\n")
	for _, s := range chosen {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", s.title, s.about)
		if n := s.roundsOf(o); n != o.rounds {
			fmt.Fprintf(&b, "Rounds: %d.\n", n)
		}
		b.WriteString("\n" + s.table(r))
	}
	fmt.Fprintf(&b, "\n## Machine\n\n%d cores (%s), %s/%s, Linux %s", runtime.NumCPU(), cpuModel(), runtime.GOOS, runtime.GOARCH, kernel())
	if o.scale != 1 {
		fmt.Fprintf(&b, ", -scale %g", o.scale)
	}
	b.WriteString(", shared by the clients, the target and Redis.\n\n")
	for _, v := range versions(o.respgate) {
		fmt.Fprintf(&b, "- `%s`\n", v)
	}
	return b.String()
}

func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	_, rest, _ := strings.Cut(string(text), "model name")
	_, rest, _ = strings.Cut(rest, ":")
	model, _, _ := strings.Cut(rest, "\n")
	if model = strings.TrimSpace(model); model != "" {
		return model
	}
	return "unknown"
}

func kernel() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

// versions says what was measured.
func versions(binary string) []string {
	var all []string
	for _, command := range [][]string{{binary, "version", "--json"}, {"redis-server", "--version"}, {"nutcracker", "--version"}, {"haproxy", "-v"}} {
		path, err := find(command[0])
		if err != nil {
			continue
		}
		out, _ := exec.Command(path, command[1:]...).CombinedOutput() //nolint:noctx // prints and ends; nutcracker with status 1
		first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		all = append(all, strings.TrimSpace(first))
	}
	return all
}
