package main

import (
	"io/fs"
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
	for line := range strings.Lines(readText(root, "proc/self/cgroup")) {
		// 0::/path is version 2; in 9:memory:/path, version 1, controllers stand between.
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		dir, file := "sys/fs/cgroup", "memory.max"
		switch {
		case parts[0] == "0" && parts[1] == "":
		case strings.Contains(","+parts[1]+",", ",memory,"):
			dir, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		default:
			continue
		}
		// The path may be one that the host sees, and the container has its own group at
		// the root.
		for p := path.Clean("/" + parts[2]); ; p = path.Dir(p) {
			if limit := groupLimit(readText(root, path.Join(dir, p, file))); limit > 0 && (least == 0 || limit < least) {
				least = limit
			}
			if p == "/" {
				break
			}
		}
	}
	return least
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
