package main

import (
	"io/fs"
	"iter"
	"math"
	"path"
	"strconv"
	"strings"
)

// availableMemory returns how many bytes of memory the process may have: the least of what
// its control groups and those above them allow, and of what the machine has; 0 where the
// system does not say. root is the root of the file system.
func availableMemory(root fs.FS) int64 {
	least := machineMemory(readText(root, "proc/meminfo"))
	for dir, v2 := range controlGroups(root, "memory") {
		file := "memory.max"
		if !v2 {
			file = "memory.limit_in_bytes"
		}
		if limit := groupLimit(readText(root, path.Join(dir, file))); limit > 0 && (least == 0 || limit < least) {
			least = limit
		}
	}
	return least
}

// availableCPUs returns how many processors the process may use: machine, or less where its
// control groups, or those above them, have a quota.
func availableCPUs(root fs.FS, machine int) float64 {
	least := float64(machine)
	for dir, v2 := range controlGroups(root, "cpu") {
		text := readText(root, path.Join(dir, "cpu.max")) // "150000 100000", or "max 100000"
		if !v2 {
			text = readText(root, path.Join(dir, "cpu.cfs_quota_us")) + " " + readText(root, path.Join(dir, "cpu.cfs_period_us"))
		}
		if fields := strings.Fields(text); len(fields) == 2 {
			if quota, period := groupLimit(fields[0]), groupLimit(fields[1]); quota > 0 && period > 0 {
				least = min(least, float64(quota)/float64(period))
			}
		}
	}
	return least
}

// controlGroups goes through the directories of the process's control groups that have a
// controller, and of those above them; v2 is which version of control groups they are of.
func controlGroups(root fs.FS, controller string) iter.Seq2[string, bool] {
	return func(yield func(string, bool) bool) {
		for line := range strings.Lines(readText(root, "proc/self/cgroup")) {
			// 0::/path is version 2; in 9:cpu,cpuacct:/path, version 1, controllers stand between.
			parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
			if len(parts) != 3 {
				continue
			}
			dir, v2 := "sys/fs/cgroup", parts[0] == "0" && parts[1] == ""
			switch {
			case v2:
			case strings.Contains(","+parts[1]+",", ","+controller+","):
				dir = path.Join(dir, controller)
			default:
				continue
			}
			// The path may be one that the host sees, and the container has its own group at
			// the root.
			for p := path.Clean("/" + parts[2]); ; p = path.Dir(p) {
				if !yield(path.Join(dir, p), v2) {
					return
				}
				if p == "/" {
					break
				}
			}
		}
	}
}

// groupLimit reads a control group's limit; 0 is none, such as "max".
func groupLimit(text string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// machineMemory reads MemTotal from /proc/meminfo; 0 where it is not found.
func machineMemory(text string) int64 {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[0] != "MemTotal:" || fields[2] != "kB" {
			continue
		}
		if n, err := strconv.ParseInt(fields[1], 10, 64); err == nil && n > 0 && n <= math.MaxInt64>>10 {
			return n << 10
		}
	}
	return 0
}

// readText returns what a file of the kernel's says, "" where there is none.
func readText(root fs.FS, name string) string {
	b, err := fs.ReadFile(root, name)
	if err != nil {
		return ""
	}
	return string(b)
}
