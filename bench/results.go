package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// results holds the samples of each row and target, in the order of the rounds.
type results struct {
	targets []string
	samples map[[2]string][]sample
}

func newResults(targets []string) *results {
	return &results{targets, map[[2]string][]sample{}}
}

func (r *results) add(row, target string, s sample) {
	key := [2]string{row, target}
	r.samples[key] = append(r.samples[key], s)
}

func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	if len(v)%2 == 1 {
		return v[len(v)/2]
	}
	return (v[len(v)/2-1] + v[len(v)/2]) / 2
}

func pick(samples []sample, figure func(sample) float64) []float64 {
	var all []float64
	for _, s := range samples {
		all = append(all, figure(s))
	}
	return all
}

// ratio is the median of the ratios within each round, in which the machine was in
// the same mood.
func ratio(a, b []float64) float64 {
	var all []float64
	for i := range min(len(a), len(b)) {
		if b[i] > 0 {
			all = append(all, a[i]/b[i])
		}
	}
	if len(all) == 0 {
		return 0
	}
	return median(all)
}

var figures = []struct {
	name   string
	format string
	of     func(sample) float64
}{
	{"commands/s", "%.0f", func(s sample) float64 { return s.rps }},
	{"p50 ms", "%.3f", func(s sample) float64 { return s.p50 }},
	{"p99 ms", "%.3f", func(s sample) float64 { return s.p99 }},
	{"CPU-s per 1M", "%.2f", func(s sample) float64 { return s.cpu }},
}

// table is the comparison in Markdown, with aligned columns.
func (r *results) table() string {
	head := []string{"row", "target"}
	for _, f := range figures {
		head = append(head, f.name)
	}
	lines := [][]string{append(head, "throughput / twemproxy", "CPU / twemproxy")}
	for _, row := range rows {
		base := r.samples[[2]string{row.name, "twemproxy"}]
		for _, target := range r.targets {
			samples := r.samples[[2]string{row.name, target}]
			if len(samples) == 0 {
				continue
			}
			line := []string{row.name, target}
			for _, f := range figures {
				line = append(line, fmt.Sprintf(f.format, median(pick(samples, f.of))))
			}
			for _, f := range []int{0, 3} {
				cell := "–"
				if v := ratio(pick(samples, figures[f].of), pick(base, figures[f].of)); v > 0 && target != "direct" {
					cell = fmt.Sprintf("%.2f", v)
				}
				line = append(line, cell)
			}
			lines = append(lines, line)
		}
	}
	return align(lines)
}

// align writes a Markdown table; the first line is its head.
func align(lines [][]string) string {
	width := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, cell := range line {
			width[i] = max(width[i], len([]rune(cell)))
		}
	}
	var b strings.Builder
	for n, line := range lines {
		for i, cell := range line {
			pad := strings.Repeat(" ", width[i]-len([]rune(cell)))
			if i < 2 {
				fmt.Fprintf(&b, "| %s%s ", cell, pad)
			} else {
				fmt.Fprintf(&b, "| %s%s ", pad, cell)
			}
		}
		b.WriteString("|\n")
		if n > 0 {
			continue
		}
		for i := range line {
			b.WriteString("| " + strings.Repeat("-", width[i]) + map[bool]string{true: " ", false: ":"}[i < 2])
		}
		b.WriteString("|\n")
	}
	return b.String()
}

// report is the file: the table and how it came about.
func report(table string, rounds int, scale float64, versions []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Benchmark\n\nMade by `make bench` on %s: medians of %d rounds, interleaved, the order rotated each round;\n", time.Now().UTC().Format(time.DateOnly), rounds)
	b.WriteString("ratios are medians of the ratios within a round. SET and GET over 10,000 keys, the figures of both averaged. CPU is the target's own,\n")
	b.WriteString("all threads. respgate runs with everything on: an API key, its policy, a finite limit that is not reached, and metrics. HAProxy\n")
	b.WriteString("is in TCP mode with its default of one thread for each core.\n\n")
	b.WriteString(table)
	fmt.Fprintf(&b, "\n%d cores (%s), %s/%s", runtime.NumCPU(), cpuModel(), runtime.GOOS, runtime.GOARCH)
	if scale != 1 {
		fmt.Fprintf(&b, ", -scale %g", scale)
	}
	b.WriteString(", shared by redis-benchmark, the target and Redis.\n\n")
	for _, v := range versions {
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
