package testbed

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// The ports that are given are below those that the kernel gives to outgoing connections
// (32768 and up on Linux), so that none of these takes one before a server does. They are in
// blocks, of which each process of tests has one to itself, given in turn, so that none is
// given again for long: sentinels look for their servers at the ports where these were, and
// would make another test's server that they find there a replica of theirs.
const firstPort, blocks, blockPorts = 10_000, 22, 1000

var (
	portBlock  = sync.OnceValue(takeBlock)
	portsGiven atomic.Uint32
)

// FreeAddr returns a loopback address that nobody listens on.
func FreeAddr(tb testing.TB) string {
	tb.Helper()
	for range 100 {
		port := firstPort + portBlock()*blockPorts + int(portsGiven.Add(1)%blockPorts)
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		ln, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
		if err == nil {
			_ = ln.Close()
			return addr
		}
	}
	tb.Fatal("no free loopback port found")
	return ""
}

// takeBlock returns a block that no other process has, which this one keeps until it ends; any
// when all are taken.
func takeBlock() int {
	order := rand.Perm(blocks)
	for _, block := range order {
		name := filepath.Join(os.TempDir(), fmt.Sprintf("respgate-testbed-ports-%d", block))
		fd, err := syscall.Open(name, syscall.O_RDWR|syscall.O_CREAT|syscall.O_CLOEXEC, 0o600)
		if err != nil {
			continue // another user's
		}
		if syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			return block // the descriptor stays open, and with it the lock
		}
		_ = syscall.Close(fd)
	}
	return order[0]
}
