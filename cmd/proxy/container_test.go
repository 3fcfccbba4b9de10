package main

import (
	"testing"
	"testing/fstest"
)

func TestAvailableMemory(t *testing.T) {
	const meminfo = "MemTotal:        8000000 kB\nMemFree:          100 kB\n"
	const machine = 8000000 << 10
	for _, c := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"nothing is known", nil, 0},
		{"a machine", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n"}, machine},
		{"version 2, in a container", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1073741824\n"}, 1 << 30},
		{"version 2, no limit", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n"}, machine},
		{"version 2, a service", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/system.slice/respgate.service\n", "sys/fs/cgroup/system.slice/respgate.service/memory.max": "1000\n"}, 1000},
		{"version 2, a stricter parent", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/memory.max": "1000\n", "sys/fs/cgroup/a/b/memory.max": "2000\n"}, 1000},
		{"version 2, the host's path", map[string]string{"proc/self/cgroup": "0::/docker/0123\n", "sys/fs/cgroup/memory.max": "1000\n"}, 1000},
		{"version 2, a path outside", map[string]string{"proc/self/cgroup": "0::/../../x\n", "sys/fs/cgroup/x/memory.max": "1000\n", "x/memory.max": "1\n"}, 1000},
		{"version 1", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "12:cpu,cpuacct:/c\n9:memory:/docker/1\n", "sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes": "1000\n"}, 1000},
		{"version 1, with another controller", map[string]string{"proc/self/cgroup": "9:cpu,memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "1000\n"}, 1000},
		{"version 1, no limit", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "9:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, machine},
		{"both versions", map[string]string{"proc/self/cgroup": "9:memory:/\n0::/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "2000\n", "sys/fs/cgroup/unified/memory.max": "1\n"}, 2000},
		{"more than the machine has", map[string]string{"proc/meminfo": meminfo, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1099511627776\n"}, machine},
		{"nonsense", map[string]string{"proc/meminfo": "MemTotal: many kB\nMemTotal: -5 kB\nMemTotal: 9223372036854775807 kB\nMemTotal:\n", "proc/self/cgroup": "x\n0::\n::\n9:memory:\n", "sys/fs/cgroup/memory.max": "-1"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := fstest.MapFS{}
			for name, text := range c.files {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
			if got := availableMemory(root); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

func TestAvailableCPUs(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  float64
	}{
		{"nothing is known", nil, 4},
		{"no quota", map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "max 100000\n"}, 4},
		{"version 2, in a container", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5},
		{"version 2, a stricter parent", map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "50000 100000\n", "sys/fs/cgroup/a/b/cpu.max": "200000 100000\n"}, 0.5},
		{"version 1", map[string]string{"proc/self/cgroup": "9:memory:/m\n4:cpu,cpuacct:/c\n", "sys/fs/cgroup/cpu/c/cpu.cfs_quota_us": "250000\n", "sys/fs/cgroup/cpu/c/cpu.cfs_period_us": "100000\n"}, 2.5},
		{"version 1, no quota", map[string]string{"proc/self/cgroup": "4:cpu:/\n", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, 4},
		{"more than the machine has", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "1600000 100000\n"}, 4},
		{"nonsense", map[string]string{"proc/self/cgroup": "0::/\n4:cpu:/\n", "sys/fs/cgroup/cpu.max": "150000 0\n", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "x"}, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := fstest.MapFS{}
			for name, text := range c.files {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
			if got := availableCPUs(root, 4); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// FuzzAvailableMemory reads whatever a kernel may say, of processors too.
func FuzzAvailableMemory(f *testing.F) {
	f.Add("0::/a/../b\n", "1073741824\n", "MemTotal: 8000000 kB\n")
	f.Add("9:cpu,memory:/\n", "max\n", "")
	f.Fuzz(func(t *testing.T, groups, limit, meminfo string) {
		root := fstest.MapFS{}
		for name, text := range map[string]string{
			"proc/self/cgroup": groups, "proc/meminfo": meminfo,
			"sys/fs/cgroup/cpu.max": limit, "sys/fs/cgroup/memory.max": limit, "sys/fs/cgroup/memory/memory.limit_in_bytes": limit,
		} {
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
		if got := availableMemory(root); got < 0 {
			t.Errorf("%d bytes", got)
		}
		if got := availableCPUs(root, 4); !(got > 0 && got <= 4) {
			t.Errorf("%v processors", got)
		}
	})
}
