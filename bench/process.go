package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clockTicks per second in /proc (USER_HZ), which is 100 on every Linux.
const clockTicks = 100

// cpuSeconds is the time that the processes' threads have used.
func cpuSeconds(pids []int) (float64, error) {
	var ticks int64
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		n, err := statTicks(text)
		if err != nil {
			return 0, fmt.Errorf("process %d: %w", pid, err)
		}
		ticks += n
	}
	return float64(ticks) / clockTicks, nil
}

// statTicks are the ticks in user and system mode in /proc/PID/stat.
func statTicks(text []byte) (ticks int64, err error) {
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("stat is too short: %q", text)
	}
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return ticks, nil
}

// residentBytes is the memory in /proc/PID/status.
func residentBytes(status string) (float64, error) {
	_, rest, _ := strings.Cut(status, "VmRSS:")
	line, _, _ := strings.Cut(rest, "\n")
	kib, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(line, "kB")), 64)
	if err != nil {
		return 0, fmt.Errorf("status has no VmRSS: %w", err)
	}
	return kib * 1024, nil
}

// settledMemory is a process's memory once it has stopped changing.
func settledMemory(ctx context.Context, pid int) (float64, error) {
	const every, atMost = 500 * time.Millisecond, 40
	var seen []float64
	for len(seen) < atMost && !settled(seen) {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(every):
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return 0, err
		}
		bytes, err := residentBytes(string(text))
		if err != nil {
			return 0, err
		}
		seen = append(seen, bytes)
	}
	return seen[len(seen)-1], nil
}

// settled says that the last four values differ by less than half a percent.
func settled(values []float64) bool {
	if len(values) < 4 {
		return false
	}
	last := values[len(values)-4:]
	low, high := last[0], last[0]
	for _, v := range last {
		low, high = min(low, v), max(high, v)
	}
	return high-low < low/200
}

// raiseFileLimit lets this process and its children open as many files as it may.
func raiseFileLimit() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return os.NewSyscallError("getrlimit", err)
	}
	limit.Cur = limit.Max
	return os.NewSyscallError("setrlimit", syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
}

// fileLimit is how many files a process may open.
func fileLimit() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return int(limit.Cur)
}
