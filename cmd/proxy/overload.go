package main

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/respgate/respgate/loop"
	"github.com/respgate/respgate/proxy"
)

// unknownMemory bounds what is in flight where the system does not say what there is.
const unknownMemory = 1 << 30

// memoryBound returns how many bytes may be in flight: as configured, else half of what
// the process has. The other half is for what a buffer does not show: garbage that is not
// collected yet, sessions, the kernel's socket buffers.
func (c LimitsConfig) memoryBound(available int64) int64 {
	switch {
	case c.MemoryBytes > 0:
		return c.MemoryBytes
	case available == 0:
		return unknownMemory
	}
	return available / 2
}

// gcPercent is lower than Go's 100, unless the environment says otherwise: relayed commands
// leave no garbage, so that collecting earlier costs next to nothing, and what idle clients
// take stays nearer to what they need.
const gcPercent = 50

// tuneGC has the collector keep the process within nine tenths of the memory that it has,
// unless the environment says otherwise: the rest is the kernel's, which counts what
// sockets hold as the container's.
func tuneGC(available int64) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" && available > 0 {
		debug.SetMemoryLimit(available / 10 * 9)
	}
}

// resources is what the system gives the process.
type resources struct {
	memory int64   // bytes; 0: not known
	cpus   float64 // processors
	files  int     // descriptors
}

// available looks at what the system gives; root is the root of its files.
func available(root fs.FS) resources {
	return resources{memory: availableMemory(root), cpus: availableCPUs(root, runtime.NumCPU()), files: loop.MaxFiles()}
}

// ownFiles are the descriptors of the process itself, at most: 30 with one loop and as many
// connections to SQLite as there may be, and two with each loop more. With many loops they take
// of what is spare.
const ownFiles = 48

// spareFiles returns how many descriptors clients are not given: backends must be dialled
// and /metrics asked when clients have taken all others.
func (r resources) spareFiles() int { return min(ownFiles+max(32, r.files/8), r.files/2) }

// freeFiles returns how many of them the process does not need for itself.
func (r resources) freeFiles() int { return max(r.spareFiles()-ownFiles, r.spareFiles()/4) }

// lingering is how many connections that are refused may be open, for their clients to read why.
func (r resources) lingering() int { return r.freeFiles() / 4 }

// maxHTTP is how many connections over HTTP are served at once: far more than those who
// watch a proxy need.
const maxHTTP = 256

// httpConnections returns how many there may be: no more than half of the descriptors that
// nobody else is given, so that backends can be dialled.
func (r resources) httpConnections() int { return min(maxHTTP, r.freeFiles()/2) }

// warnings are what the configuration wants and the system does not give.
func (r resources) warnings(c LimitsConfig) (all []string) {
	if fit := r.files - r.spareFiles(); c.MaxClients > fit {
		all = append(all, fmt.Sprintf("limits.max_clients is %d, but with %d descriptors (ulimit -n), of which %d are kept for backends, at most %d clients are served",
			c.MaxClients, r.files, r.spareFiles(), fit))
	}
	if r.memory > 0 && c.MemoryBytes > r.memory {
		all = append(all, fmt.Sprintf("limits.memory_bytes is %d, but there are only %d bytes of memory", c.MemoryBytes, r.memory))
	}
	return all
}

const (
	// leastHolding is how many bytes a client must hold to be dropped for them.
	leastHolding = 1 << 10
	// hopelessPause is how long nobody is looked for when there was nobody to drop.
	hopelessPause = 100 * time.Millisecond
)

// watchMemory drops clients when more is in flight than may be, until ctx ends.
func (d *dataPlane) watchMemory(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.account.Over():
			d.relieve(ctx)
		}
	}
}

// relieve drops those who hold the most, the greediest first, until what is in flight is
// within its bound.
func (d *dataPlane) relieve(ctx context.Context) {
	for ctx.Err() == nil {
		held, bound := d.account.Held(), d.account.Bound()
		if held <= bound {
			return
		}
		if n := d.dropGreediest(held - bound); n > 0 {
			d.log.Warn("too much is in flight: clients dropped", "clients", n, "in_flight", held, "limit", bound)
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(hopelessPause):
		}
		return
	}
}

// greedy is a client that holds something, and where.
type greedy struct {
	proxy.Holding
	lane *lane
}

// dropGreediest drops the clients that hold the most, so many as hold excess bytes
// together, and returns how many that was once they are gone.
func (d *dataPlane) dropGreediest(excess int64) int {
	var mu sync.Mutex
	var all []greedy
	d.onAll(func(l *lane) {
		holdings := l.core.Holdings(leastHolding)
		mu.Lock()
		defer mu.Unlock()
		for _, h := range holdings {
			all = append(all, greedy{h, l})
		}
	})
	slices.SortFunc(all, func(a, b greedy) int { return cmp.Compare(b.Bytes, a.Bytes) })
	n := 0
	for n < len(all) && excess > 0 {
		excess -= int64(all[n].Bytes)
		n++
	}
	d.onAll(func(l *lane) {
		for _, g := range all[:n] {
			if g.lane == l {
				g.Session.DropForMemory()
			}
		}
	})
	d.onAll(func(*lane) {}) // their turns are over: what was held is returned, and told
	return n
}

// onAll runs fn on every loop and waits until all have.
func (d *dataPlane) onAll(fn func(*lane)) {
	done := make(chan struct{})
	d.everywhere(fn, func() { close(done) })
	<-done
}
