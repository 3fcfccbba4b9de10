package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// targetNames are all targets, in the order of the table.
var targetNames = []string{"direct", "respgate", "twemproxy", "haproxy"}

// target is something to run redis-benchmark against.
type target struct {
	name, addr, password string
	pid                  int // whose CPU time is counted
}

// lab owns the processes and files of a run.
type lab struct {
	dir, binary string
	children    []*exec.Cmd
	redis       target
}

func newLab(binary string) (*lab, error) {
	path, err := filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "respgate-bench-")
	return &lab{dir: dir, binary: path}, err
}

// close stops the processes and removes the files.
func (l *lab) close() {
	slices.Reverse(l.children)
	for _, c := range l.children {
		_ = c.Process.Kill()
		_ = c.Wait()
	}
	_ = os.RemoveAll(l.dir)
}

// start starts a Redis and the targets, which all lead to it.
func (l *lab) start(ctx context.Context, names []string) (targets []target, err error) {
	if l.redis, err = l.startRedis(ctx); err != nil {
		return nil, err
	}
	how := map[string]func(context.Context) (target, error){
		"direct":    func(context.Context) (target, error) { return l.redis, nil },
		"respgate":  l.startRespgate,
		"twemproxy": l.startTwemproxy,
		"haproxy":   l.startHAProxy,
	}
	for _, name := range names {
		t, err := how[name](ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		t.name = name
		targets = append(targets, t)
	}
	return targets, nil
}

// run starts a child and waits until it listens on addr.
func (l *lab) run(ctx context.Context, addr, program string, args ...string) (target, error) {
	path, err := find(program)
	if err != nil {
		return target{}, err
	}
	var output bytes.Buffer
	cmd := exec.Command(path, args...) //nolint:noctx,gosec // close ends it, in its order
	cmd.Stdout, cmd.Stderr, cmd.Dir = &output, &output, l.dir
	if err := cmd.Start(); err != nil {
		return target{}, err
	}
	l.children = append(l.children, cmd)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err == nil {
			return target{addr: addr, pid: cmd.Process.Pid}, c.Close()
		}
		select {
		case <-ctx.Done():
			return target{}, fmt.Errorf("%s does not listen on %s: %w", program, addr, err)
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

func freeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

func (l *lab) startRedis(ctx context.Context) (target, error) {
	addr, err := freeAddr()
	if err != nil {
		return target{}, err
	}
	_, port, _ := net.SplitHostPort(addr)
	return l.run(ctx, addr, "redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no")
}

// write writes a configuration file and returns its path.
func (l *lab) write(name, format string, args ...any) (string, error) {
	path := filepath.Join(l.dir, name)
	return path, os.WriteFile(path, fmt.Appendf(nil, format, args...), 0o600)
}

func (l *lab) startTwemproxy(ctx context.Context) (target, error) {
	addr, err1 := freeAddr()
	stats, err2 := freeAddr()
	config, err3 := l.write("nutcracker.yml", "bench:\n  listen: %s\n  redis: true\n  hash: fnv1a_64\n  distribution: ketama\n  servers:\n   - %s:1\n", addr, l.redis.addr)
	if err := errors.Join(err1, err2, err3); err != nil {
		return target{}, err
	}
	_, port, _ := net.SplitHostPort(stats)
	return l.run(ctx, addr, "nutcracker", "-c", config, "-s", port)
}

func (l *lab) startHAProxy(ctx context.Context) (target, error) {
	addr, err1 := freeAddr()
	config, err2 := l.write("haproxy.cfg", "global\n  maxconn 4000\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1m\n  timeout server 1m\nlisten bench\n  bind %s\n  server redis %s\n", addr, l.redis.addr)
	if err := errors.Join(err1, err2); err != nil {
		return target{}, err
	}
	return l.run(ctx, addr, "haproxy", "-f", config, "-db")
}

// startRespgate has everything on: a key with a limit that is never reached, policy
// and metrics.
func (l *lab) startRespgate(ctx context.Context) (target, error) {
	addr, err1 := freeAddr()
	httpAddr, err2 := freeAddr()
	config, err3 := l.write("respgate.yaml", "listen: %s\nhttp: {listen: %s}\nstore: {dsn: \"file:%s/respgate.db\"}\n", addr, httpAddr, l.dir)
	if err := errors.Join(err1, err2, err3); err != nil {
		return target{}, err
	}
	var key struct{ Key string }
	for _, args := range [][]string{
		{"org", "create", "--name", "bench"},
		{"instance", "create", "--org", "bench", "--name", "cache", "--url", "redis://" + l.redis.addr},
		{"key", "create", "--org", "bench", "--instance", "cache", "--name", "web", "--rate", "100000000"},
	} {
		out, err := exec.CommandContext(ctx, l.binary, append(args, "--json", "--config", config)...).Output() //nolint:gosec // our own arguments
		if err != nil {
			return target{}, fmt.Errorf("respgate %s: %w", strings.Join(args, " "), err)
		}
		if err := json.Unmarshal(out, &key); err != nil {
			return target{}, err
		}
	}
	t, err := l.run(ctx, addr, l.binary, "serve", "--config", config)
	t.password = key.Key
	return t, err
}

// versions says what was measured.
func (l *lab) versions() []string {
	var all []string
	for _, command := range [][]string{{l.binary, "version", "--json"}, {"redis-server", "--version"}, {"nutcracker", "--version"}, {"haproxy", "-v"}} {
		path, err := find(command[0])
		if err != nil {
			continue
		}
		out, _ := exec.Command(path, command[1:]...).CombinedOutput() //nolint:noctx,gosec // prints and ends; nutcracker with status 1
		first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		all = append(all, strings.TrimSpace(first))
	}
	return all
}
