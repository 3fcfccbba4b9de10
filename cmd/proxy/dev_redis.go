package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/tenant"
)

// devRedis is the backend of `respgate dev`.
type devRedis struct {
	url  tenant.Secret
	what string // for people
	stop func()
}

// startDevRedis starts a redis-server that keeps nothing and listens on a socket
// in dir only, so that no port can be taken; without redis-server, a miniredis.
func startDevRedis(ctx context.Context, dir string) (devRedis, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return startMiniredis()
	}
	socket := filepath.Join(dir, "redis.sock")
	var output tail
	child := exec.Command(path, "--port", "0", "--unixsocket", socket, "--unixsocketperm", "700", "--dir", dir, "--save", "", "--appendonly", "no", "--daemonize", "no") //nolint:noctx,gosec // it outlives the context: draining needs it
	child.Stdout, child.Stderr = &output, &output
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us: we end it last
	if err := child.Start(); err != nil {
		return devRedis{}, fmt.Errorf("cannot start redis-server: %w", err)
	}
	exited := make(chan struct{})
	go func() { _ = child.Wait(); close(exited) }()
	stop := func() {
		_ = child.Process.Signal(syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(2 * time.Second):
			_ = child.Process.Kill()
			<-exited
		}
	}
	hello, err := waitForRedis(ctx, socket, exited)
	if err != nil {
		stop()
		return devRedis{}, fmt.Errorf("redis-server does not come up: %w: %s", err, output.last())
	}
	return devRedis{
		url:  tenant.Secret("unix://" + socket),
		what: fmt.Sprintf("redis-server %s, a child process on %s", hello.Version, socket),
		stop: stop,
	}, nil
}

func waitForRedis(ctx context.Context, socket string, exited <-chan struct{}) (pool.Hello, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	dialer := pool.NewDialer(pool.DialConfig{Timeout: time.Second}, slog.New(slog.DiscardHandler), nil)
	for {
		nc, hello, err := dialer.Dial(ctx, "demo/cache", pool.Backend{Network: "unix", Addr: socket}, 0, 2, 1)
		if err == nil {
			return hello, nc.Close()
		}
		select {
		case <-exited:
			return hello, errors.New("it has exited")
		case <-ctx.Done():
			return hello, err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func startMiniredis() (devRedis, error) {
	m := miniredis.NewMiniRedis()
	if err := m.StartAddr(net.JoinHostPort("127.0.0.1", "0")); err != nil {
		return devRedis{}, fmt.Errorf("cannot start a Redis in this process: %w", err)
	}
	return devRedis{
		url:  tenant.Secret("redis://" + m.Addr()),
		what: "miniredis in this process on " + m.Addr() + " (no redis-server on PATH: some commands are missing)",
		stop: m.Close,
	}, nil
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailSize = 4096

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	t.buf = t.buf[max(0, len(t.buf)-tailSize):]
	return len(b), nil
}

// last returns the last line.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := bytes.Split(bytes.TrimSpace(t.buf), []byte("\n"))
	return strings.TrimSpace(string(lines[len(lines)-1]))
}

var _ io.Writer = (*tail)(nil)

// clientHost splits a listener's address into what a client on this machine
// connects to.
func clientHost(addr string) (host, port string) {
	host, port, _ = net.SplitHostPort(addr)
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return host, port
}
