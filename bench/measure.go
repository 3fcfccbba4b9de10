package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// row is one line of the table: a way of using redis-benchmark. Its tests run in one
// call; their figures are averaged.
type row struct {
	name     string
	tests    string
	clients  int
	pipeline int
	size     int // bytes of a value
	commands int // for each test
}

var rows = []row{
	{"50 clients", "set,get", 50, 1, 64, 200_000},
	{"50 clients, pipeline 16", "set,get", 50, 16, 64, 1_500_000},
	{"500 clients", "set,get", 500, 1, 64, 200_000},
	{"50 clients, 10 KiB", "set,get", 50, 1, 10 << 10, 60_000},
	{"1 client", "set,get", 1, 1, 64, 30_000},
}

// sample is what one run of a row gave.
type sample struct {
	rps      float64 // commands per second
	p50, p99 float64 // milliseconds
	cpu      float64 // CPU-seconds of the target per million commands
}

// measure runs one row against one target.
func measure(ctx context.Context, t target, r row, scale float64) (sample, error) {
	n := max(r.clients, int(float64(r.commands)*scale))
	host, port, _ := strings.Cut(t.addr, ":")
	args := []string{"-h", host, "-p", port, "-t", r.tests, "-c", strconv.Itoa(r.clients), "-P", strconv.Itoa(r.pipeline),
		"-d", strconv.Itoa(r.size), "-n", strconv.Itoa(n), "-r", "10000", "--csv"}
	if t.password != "" {
		args = append(args, "-a", t.password)
	}
	before, err := cpuSeconds(t.pid)
	if err != nil {
		return sample{}, err
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "redis-benchmark", args...) //nolint:gosec // our own arguments
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return sample{}, fmt.Errorf("redis-benchmark: %w: %s", err, stderr.String())
	}
	after, err := cpuSeconds(t.pid)
	if err != nil {
		return sample{}, err
	}
	s, tests, err := parse(string(out))
	s.cpu = (after - before) / float64(n*tests) * 1e6
	return s, err
}

// parse reads redis-benchmark's CSV and averages the tests in it. The first lines may
// be warnings.
func parse(out string) (s sample, tests int, err error) {
	_, table, found := strings.Cut(out, `"test",`)
	if !found {
		return s, 0, fmt.Errorf("redis-benchmark printed no table: %q", out)
	}
	records, err := csv.NewReader(strings.NewReader(`"test",` + table)).ReadAll()
	if err != nil {
		return s, 0, err
	}
	column := func(record []string, name string) float64 {
		i := slices.Index(records[0], name)
		if i < 0 || i >= len(record) {
			return math.NaN()
		}
		v, err := strconv.ParseFloat(record[i], 64)
		if err != nil {
			return math.NaN()
		}
		return v
	}
	for _, r := range records[1:] {
		s.rps += column(r, "rps")
		s.p50 += column(r, "p50_latency_ms")
		s.p99 += column(r, "p99_latency_ms")
		tests++
	}
	if math.IsNaN(s.rps+s.p50+s.p99) || tests == 0 {
		return s, tests, fmt.Errorf("redis-benchmark's table lacks a figure: %q", out)
	}
	n := float64(tests)
	return sample{rps: s.rps / n, p50: s.p50 / n, p99: s.p99 / n}, tests, nil
}

// clockTicks per second in /proc (USER_HZ), which is 100 on every Linux.
const clockTicks = 100

// cpuSeconds is the time that a process's threads have used.
func cpuSeconds(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	var ticks int64
	for _, f := range fields[11:13] { // utime and stime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return float64(ticks) / clockTicks, nil
}
