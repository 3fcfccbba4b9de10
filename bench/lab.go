package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// lab owns processes and files. Its methods may be called from several goroutines.
type lab struct {
	dir      string
	mu       sync.Mutex
	children []*child
}

// child is a process; ended is closed once it has ended.
type child struct {
	cmd   *exec.Cmd
	log   string // the file with its output
	ended chan struct{}
}

func newLab() (*lab, error) {
	dir, err := os.MkdirTemp("", "respgate-bench-")
	return &lab{dir: dir}, err
}

// close ends the processes and removes the files.
func (l *lab) close() {
	for _, c := range l.children {
		_ = c.cmd.Process.Kill()
	}
	for _, c := range l.children {
		<-c.ended
	}
	_ = os.RemoveAll(l.dir)
}

// write writes a file and returns its path.
func (l *lab) write(name, format string, args ...any) (string, error) {
	path := filepath.Join(l.dir, name)
	return path, os.WriteFile(path, fmt.Appendf(nil, format, args...), 0o600)
}

// start starts a child and waits until it listens on addr.
func (l *lab) start(ctx context.Context, addr, program string, args ...string) (target, error) {
	c, err := l.spawn(program, args)
	if err != nil {
		return target{}, err
	}
	if err := c.listens(ctx, addr); err != nil {
		output, _ := os.ReadFile(c.log)
		return target{}, fmt.Errorf("%s: %w: %s", program, err, bytes.TrimSpace(output))
	}
	return target{addr: addr, pids: []int{c.cmd.Process.Pid}}, nil
}

func (l *lab) spawn(program string, args []string) (*child, error) {
	path, err := find(program)
	if err != nil {
		return nil, err
	}
	output, err := os.CreateTemp(l.dir, filepath.Base(program)+"-*.log")
	if err != nil {
		return nil, err
	}
	defer func() { _ = output.Close() }() // the child has its own
	cmd := exec.Command(path, args...)    //nolint:noctx // close ends it
	cmd.Stdout, cmd.Stderr, cmd.Dir = output, output, l.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us: close ends it
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{cmd, output.Name(), make(chan struct{})}
	l.mu.Lock()
	l.children = append(l.children, c)
	l.mu.Unlock()
	go func() {
		_ = cmd.Wait()
		close(c.ended)
	}()
	return c, nil
}

func (c *child) listens(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err == nil {
			return nc.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("does not listen on %s: %w", addr, errors.Join(err, ctx.Err()))
		case <-c.ended:
			return errors.New("has ended: " + c.cmd.ProcessState.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// find looks also where Debian keeps servers.
func find(program string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	path, err := exec.LookPath(filepath.Join("/usr/sbin", program))
	if err != nil {
		return "", fmt.Errorf("%s is not installed", program)
	}
	return path, nil
}

// Servers listen on ports below those that the kernel gives to connecting sockets: with
// thousands of these a free port would not stay free.
const firstPort, ports = 12_000, 20_000

var portsTried atomic.Uint32

// freeAddr is an address to listen on, which is not given again for long. Processes begin
// at different ones.
func freeAddr() (string, error) {
	for range ports {
		port := firstPort + (uint32(os.Getpid())*97+portsTried.Add(1))%ports
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port)))
		if ln, err := net.Listen("tcp", addr); err == nil { //nolint:noctx // at once
			return addr, ln.Close()
		}
	}
	return "", fmt.Errorf("no port from %d on is free", firstPort)
}
