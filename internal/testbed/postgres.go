package testbed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// PostgresServer is a PostgreSQL server. What it keeps is gone when the test ends.
type PostgresServer struct {
	Addr string

	tb        testing.TB
	superuser *url.Userinfo
	bin, dir  string
	as        *syscall.SysProcAttr
	cmd       *exec.Cmd
	done      chan struct{} // closed when the process is gone
	out       Buffer
	databases atomic.Int64
	template  string // what databases are copied from
}

// Postgres starts a server as PostgresAs does.
func Postgres(tb testing.TB) *PostgresServer {
	tb.Helper()
	return PostgresAs(tb, url.UserPassword("postgres", "pg-hunter2"), "--auth=scram-sha-256", "--no-sync")
}

// PostgresAs starts a PostgreSQL server and waits until it answers. It is killed when the
// test ends. As root, which PostgreSQL refuses to run as, it is started as the user
// postgres, who comes with Debian's package. initdb, which makes it, is told who its
// superuser is, and the further arguments.
func PostgresAs(tb testing.TB, superuser *url.Userinfo, initdb ...string) *PostgresServer {
	tb.Helper()
	dir, err := os.MkdirTemp("", "respgate-postgres-") // tb.TempDir's may not be entered by others
	if err != nil {
		tb.Fatal(err)
	}
	s := &PostgresServer{Addr: FreeAddr(tb), tb: tb, superuser: superuser, template: "template1", bin: postgresBin(tb), dir: filepath.Join(dir, "data")}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	if os.Geteuid() == 0 {
		s.become("postgres", dir)
	}
	file := filepath.Join(dir, "password")
	password, _ := superuser.Password()
	if err := os.WriteFile(file, []byte(password), 0o644); err != nil {
		tb.Fatal(err)
	}
	args := append([]string{"-D", s.dir, "-U", superuser.Username(), "--pwfile", file, "-E", "UTF8", "--locale", "C"}, initdb...)
	if out, err := s.command("initdb", args...).CombinedOutput(); err != nil {
		tb.Fatalf("initdb: %v\n%s", err, out)
	}
	s.Start()
	tb.Cleanup(s.Kill)
	return s
}

// postgresBin is the folder of PostgreSQL's programs: the newest that Debian has, or the
// one on PATH.
func postgresBin(tb testing.TB) string {
	tb.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	slices.SortFunc(found, func(a, b string) int {
		version := func(path string) int {
			n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
			return n
		}
		return version(b) - version(a)
	})
	if len(found) > 0 {
		return filepath.Dir(found[0])
	}
	return filepath.Dir(Binary(tb, "initdb", "postgresql"))
}

// become has the server run as another user, who owns dir.
func (s *PostgresServer) become(name, dir string) {
	u, err := user.Lookup(name)
	if err != nil {
		s.tb.Fatalf("PostgreSQL cannot run as root: %v", err)
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	if err := os.Chown(dir, int(uid), int(gid)); err != nil {
		s.tb.Fatal(err)
	}
	s.as = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

func (s *PostgresServer) command(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), filepath.Join(s.bin, name), args...)
	cmd.Dir, cmd.SysProcAttr = filepath.Dir(s.dir), s.as
	return cmd
}

// Start starts the server again, at the address it had, with what it had committed.
func (s *PostgresServer) Start() {
	s.tb.Helper()
	host, port, _ := net.SplitHostPort(s.Addr)
	spawn := func() {
		// Durability is for machines that crash: a killed process loses nothing of what the kernel has.
		s.cmd = s.command("postgres", "-D", s.dir, "-h", host, "-p", port, "-k", "", "-F", "-c", "full_page_writes=off")
		s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
		if err := s.cmd.Start(); err != nil {
			s.tb.Fatal(err)
		}
		s.done = make(chan struct{})
		go func(cmd *exec.Cmd, done chan struct{}) { _ = cmd.Wait(); close(done) }(s.cmd, s.done)
	}
	spawn()
	tries := 1
	Eventually(s.tb, "postgres answers", func() bool {
		select {
		case <-s.done:
			// After a kill the children may still be there, and it refuses to start beside them.
			if tries++; tries > 100 {
				s.tb.Fatalf("postgres does not start:\n%s", s.out.String())
			}
			spawn()
		default:
		}
		conn, err := pgx.Connect(context.Background(), s.dsn("postgres"))
		if err != nil {
			return false
		}
		return conn.Close(context.Background()) == nil
	})
}

// Kill ends the server at once (SIGKILL) and waits until it is gone.
func (s *PostgresServer) Kill() {
	_ = s.cmd.Process.Signal(os.Kill)
	<-s.done
}

// Signal sends a signal, such as SIGSTOP, to the process that accepts connections.
func (s *PostgresServer) Signal(sig os.Signal) { _ = s.cmd.Process.Signal(sig) }

// Freeze stops all of the server's processes, until thaw is called, which may be more than
// once, or the test ends: connections stay, and nothing is answered.
func (s *PostgresServer) Freeze() (thaw func()) {
	s.tb.Helper()
	ctx := context.Background()
	conn := s.connect()
	rows, _ := conn.Query(ctx, "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
	all, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err = errors.Join(err, conn.Close(ctx)); err != nil {
		s.tb.Fatal(err)
	}
	signal := func(sig syscall.Signal) {
		for _, pid := range append(all, s.cmd.Process.Pid) {
			_ = syscall.Kill(pid, sig) // it may have ended
		}
	}
	signal(syscall.SIGSTOP)
	thaw = sync.OnceFunc(func() { signal(syscall.SIGCONT) })
	s.tb.Cleanup(thaw)
	return thaw
}

// Database makes an empty database, or one as Template says, and returns its DSN.
func (s *PostgresServer) Database() string {
	s.tb.Helper()
	name := fmt.Sprintf("test%d", s.databases.Add(1))
	s.Exec("CREATE DATABASE " + name + " TEMPLATE " + s.template)
	return s.dsn(name)
}

// Template has databases begin as copies of one that prepare fills, and leaves again. It is
// called before any that are to be so.
func (s *PostgresServer) Template(prepare func(dsn string)) {
	s.tb.Helper()
	prepare(s.Database())
	s.template = fmt.Sprintf("test%d", s.databases.Load())
}

// Exec executes a statement as the superuser.
func (s *PostgresServer) Exec(statement string) {
	s.tb.Helper()
	conn := s.connect()
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(context.Background(), statement); err != nil {
		s.tb.Fatalf("%s: %v", statement, err)
	}
}

func (s *PostgresServer) connect() *pgx.Conn {
	s.tb.Helper()
	conn, err := pgx.Connect(context.Background(), s.dsn("postgres"))
	if err != nil {
		s.tb.Fatal(err)
	}
	return conn
}

func (s *PostgresServer) dsn(database string) string {
	u := url.URL{Scheme: "postgres", User: s.superuser, Host: s.Addr, Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}
