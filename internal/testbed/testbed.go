// Package testbed starts the real servers that tests run against, on free
// loopback ports, and stops them when the test ends.
package testbed

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Patience is how long a test waits for what has to happen and says nothing of how fast:
// processes, their answers and their clients' commands on a machine that is busy with others.
const Patience = time.Minute

// Binary returns the path of a command, or fails the test saying which Debian
// package brings it.
func Binary(tb testing.TB, name, debianPackage string) string {
	tb.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		tb.Fatalf("%s is missing: run 'apt-get install %s', or 'make test', which does", name, debianPackage)
	}
	return path
}

// Eventually waits until cond holds, and fails the test when its [Patience] is at an end.
func Eventually(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	Within(tb, Patience, what, cond)
}

// Within waits until cond holds, and fails the test after d: for what another rule would
// bring about later, or what takes longer than [Patience].
func Within(tb testing.TB, d time.Duration, what string, cond func() bool) {
	tb.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(d); !cond(); <-tick.C {
		if time.Now().After(deadline) {
			tb.Fatalf("not within %v: %s", d, what)
		}
	}
}

// Server is a redis-server. It keeps no data on disk.
type Server struct {
	Addr     string
	Password string      // what --requirepass was given, if anything
	TLS      *tls.Config // what its clients need, where it speaks TLS; nil is plain text

	tb   testing.TB
	dir  string // what it keeps, for as long as the test runs
	args []string
	conf string // a sentinel's configuration, which it rewrites; "" is none
	cmd  *exec.Cmd
	done chan struct{} // closed when the process is gone
	out  Buffer
	own  *redis.Client // the testbed's own, of a cluster's node
}

// Redis starts a redis-server with further arguments, such as "--requirepass",
// "x", and waits until it answers. With "--tls-cert-file", "--tls-key-file" and
// "--tls-ca-cert-file" it speaks TLS only. It is killed when the test ends.
func Redis(tb testing.TB, args ...string) *Server {
	tb.Helper()
	return start(tb, FreeAddr(tb), args...)
}

// Replica starts a redis-server that follows primary, and waits until it has what
// primary has. It has primary's password and speaks TLS as that does, and has further
// arguments of its own.
func Replica(tb testing.TB, primary *Server, args ...string) *Server {
	tb.Helper()
	host, port, _ := net.SplitHostPort(primary.Addr)
	args = slices.Concat([]string{"--replicaof", host, port}, tlsArguments(primary.args), args)
	if primary.Password != "" {
		args = append([]string{"--requirepass", primary.Password, "--masterauth", primary.Password}, args...)
	}
	s := Redis(tb, args...)
	s.WaitSynced()
	return s
}

// WaitSynced waits until the server, a replica, has what its primary has.
func (s *Server) WaitSynced() {
	s.tb.Helper()
	client := s.Client()
	Eventually(s.tb, "the replica is in step with its primary", func() bool {
		info, err := client.Info(context.Background(), "replication").Result()
		return err == nil && strings.Contains(info, "master_link_status:up")
	})
}

func start(tb testing.TB, addr string, args ...string) *Server {
	tb.Helper()
	s := &Server{tb: tb, args: args, Addr: addr, TLS: clientTLS(tb, args), dir: tb.TempDir()}
	for i, a := range args {
		if a == "--requirepass" && i+1 < len(args) {
			s.Password = args[i+1]
		}
	}
	s.Start()
	tb.Cleanup(s.Kill)
	return s
}

// Start starts the server again, at the address it had.
func (s *Server) Start() {
	s.tb.Helper()
	_, port, _ := net.SplitHostPort(s.Addr)
	ports := []string{"--port", port}
	if s.TLS != nil {
		ports = []string{"--port", "0", "--tls-port", port}
	}
	args := slices.Concat(ports, []string{"--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", s.dir,
		"--repl-diskless-sync-delay", "0"}, s.args)
	if s.conf != "" {
		args = []string{s.conf, "--sentinel"}
	}
	s.cmd = exec.CommandContext(context.Background(), Binary(s.tb, "redis-server", "redis-server"), args...)
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	if err := s.cmd.Start(); err != nil {
		s.tb.Fatal(err)
	}
	s.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) { _ = cmd.Wait(); close(done) }(s.cmd, s.done)
	client := s.Client()
	defer func() { _ = client.Close() }()
	Eventually(s.tb, "redis-server answers", func() bool {
		select {
		case <-s.done:
			s.tb.Fatalf("redis-server ended at once:\n%s", s.out.String())
		default:
		}
		return client.Ping(context.Background()).Err() == nil
	})
}

// Client returns a client of the server itself, closed when the test ends.
func (s *Server) Client() *redis.Client {
	return Client(s.tb, &redis.Options{Addr: s.Addr, Password: s.Password, TLSConfig: s.TLS, MaxRetries: -1})
}

// Client returns a client that waits for answers for as long as its [Patience] lasts, closed
// when the test ends.
func Client(tb testing.TB, opts *redis.Options) *redis.Client {
	opts.DialTimeout, opts.ReadTimeout, opts.WriteTimeout, opts.PoolTimeout = Patience, Patience, Patience, Patience
	c := redis.NewClient(opts)
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// Kill ends the server at once (SIGKILL) and waits until it is gone.
func (s *Server) Kill() {
	_ = s.cmd.Process.Signal(os.Kill)
	<-s.done
}

// Freeze stops the server where it is (SIGSTOP) until Thaw: its connections stay open and
// silent.
func (s *Server) Freeze() { _ = s.cmd.Process.Signal(syscall.SIGSTOP) }

// Thaw undoes Freeze.
func (s *Server) Thaw() { _ = s.cmd.Process.Signal(syscall.SIGCONT) }
