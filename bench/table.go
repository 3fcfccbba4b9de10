package main

import (
	"fmt"
	"math"
	"strings"
)

// column is a column of a section's table, after those for row and target.
type column struct {
	head, format string
	of           func(v view) float64 // not a number: there is none
}

func (c column) cell(v view) string { return shown(c.format, c.of(v)) }

func shown(format string, value float64) string {
	if math.IsNaN(value) {
		return "–"
	}
	return fmt.Sprintf(format, value)
}

// value shows a figure's median.
func value(head, format string, f figure) column {
	return column{head, format, func(v view) float64 { return v.median(f) }}
}

// over compares a figure with another target's.
func over(head string, f figure, base string) column {
	return column{head, "%.2f", func(v view) float64 { return v.over(v.target(base), f) }}
}

// The columns that most sections have.
var (
	throughput = value("commands/s", "%.0f", rps)
	medianTime = value("p50 ms", "%.3f", p50)
	tailTime   = value("p99 ms", "%.3f", p99)
	cpuTime    = value("CPU-s per 1M", "%.2f", cpu)
)

// table is a section's results in Markdown.
func (s section) table(r *results) string {
	head := []string{"row", "target"}
	for _, c := range s.columns {
		head = append(head, c.head)
	}
	lines := [][]string{head}
	for _, row := range s.rows {
		for _, target := range s.targets {
			v := r.at(s.name, row, target)
			if !v.measured() {
				continue
			}
			line := []string{row, target}
			for _, c := range s.columns {
				line = append(line, c.cell(v))
			}
			lines = append(lines, line)
		}
	}
	return align(lines, 2)
}

// align writes a Markdown table; the first line is its head, and the first few columns
// are text.
func align(lines [][]string, text int) string {
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
			if i < text {
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
			b.WriteString("| " + strings.Repeat("-", width[i]) + map[bool]string{true: " ", false: ":"}[i < text])
		}
		b.WriteString("|\n")
	}
	return b.String()
}
