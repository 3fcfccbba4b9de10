//go:build linux

package chaos

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/resp"
)

// insideFaults are what breaks the proxy's own means, and clients that misbehave: those who
// are connected and behave feel nothing.
var insideFaults = []fault{
	{
		name: "clients vanish", how: "in the middle of a command, of a reply, of a transaction, of waiting: half of them with RST",
		told: nothing, hold: 300 * time.Millisecond, inject: vanish,
	},
	{
		name: "store gone", how: "its folder renamed away, and back",
		told: nothing, hold: time.Second, well: newKeyOpens,
		inject: func(s *site) func() {
			s.rename(s.proxy.dir, s.proxy.dir+".away")
			s.stillOpens()
			return func() { s.rename(s.proxy.dir+".away", s.proxy.dir) }
		},
	},
	{
		name: "store locked", how: "another process has the locks of SQLite's index",
		told: nothing, hold: time.Second, inject: lockStore, well: newKeyOpens,
	},
	{
		name: "store's disk full", how: "a limit of 0 bytes on the files that the process may write: each write fails",
		told: nothing, hold: time.Second, inject: fillDisk, well: newKeyOpens,
	},
	{
		name: "more clients than descriptors", how: "200 descriptors, 300 clients more", path: fewFiles,
		told: nothing, hold: time.Second, well: knownKeyOpens,
		inject: func(s *site) func() { return s.crowd(300) },
	},
	{
		name: "descriptors used up", how: "a limit just above what is open, and a crowd of new connections",
		told: refusals, elsewhere: refusals, hold: time.Second, inject: exhaust, well: knownKeyOpens,
	},
}

func (s *site) rename(from, to string) {
	s.t.Helper()
	if err := os.Rename(from, to); err != nil {
		s.t.Fatal(err)
	}
}

// knownKeyOpens reports whether clients come in.
func knownKeyOpens(s *site) bool { return s.proxy.admits(s.key) }

// stillOpens looks that clients come in while the store is away.
func (s *site) stillOpens() {
	s.t.Helper()
	if !knownKeyOpens(s) {
		s.t.Error("a key that the proxy knows is not let in while the store is away")
	}
}

// newKeyOpens reports whether keys are made and let in.
func newKeyOpens(s *site) bool {
	key, err := s.proxy.newKey("acme")
	if err != nil {
		s.t.Errorf("the store is back: %v", err)
		return true
	}
	return s.proxy.admits(key)
}

// lockStore takes all locks that SQLite knows in its write-ahead log's index: bytes 120 to 127
// of that file (https://sqlite.org/walformat.html#locks).
func lockStore(s *site) func() {
	index, err := os.OpenFile(s.proxy.dir+"/respgate.db-shm", os.O_RDWR, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Start: 120, Len: 8}
	testbed.Eventually(s.t, "the store is locked", func() bool {
		return syscall.FcntlFlock(index.Fd(), syscall.F_SETLK, &lock) == nil
	})
	s.stillOpens()
	return func() { _ = index.Close() }
}

// limit changes a limit of the running proxy, such as "nofile=100:".
func (s *site) limit(what string) {
	s.t.Helper()
	cmd := exec.Command("prlimit", "--pid", strconv.Itoa(s.proxy.cmd.Process.Pid), "--"+what)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("prlimit %s: %v: %s", what, err, out)
	}
}

func fillDisk(s *site) func() {
	s.limit("fsize=0:")
	s.stillOpens()
	out, err := exec.Command("sh", "-c", `ulimit -f 0; exec "$0" key create --org acme --instance cache --name web --config "$1"`,
		s.proxy.binary, s.proxy.config).CombinedOutput()
	if code := exitCode(err); code != 1 || strings.Count(string(out), "\n") != 1 {
		s.t.Errorf("key create on a full disk: exit status %d, %q; want 1 and one line", code, out)
	}
	return func() { s.limit("fsize=unlimited:") }
}

func exitCode(err error) int {
	if exit, ok := err.(*exec.ExitError); ok { //nolint:errorlint // as exec returns it
		return exit.ExitCode()
	}
	return 0
}

// crowd has so many more clients come, and stay until they are to leave.
func (s *site) crowd(clients int) (leave func()) {
	s.t.Helper()
	var crowd []net.Conn
	for range clients {
		conn, err := net.Dial("tcp", s.proxy.addr)
		if err != nil {
			s.t.Fatal(err) // the kernel accepts it for the proxy
		}
		crowd = append(crowd, conn)
		_, _ = fmt.Fprintf(conn, "AUTH %s\r\nPING\r\n", s.key)
	}
	return func() {
		for _, conn := range crowd {
			_ = conn.Close()
		}
	}
}

// exhaust lets the proxy open a few files more, and has many clients come.
func exhaust(s *site) func() {
	s.t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.proxy.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		s.t.Fatal(err)
	}
	s.limit(fmt.Sprintf("nofile=%d:", len(open)+4))
	leave := s.crowd(40)
	testbed.Eventually(s.t, "the proxy says that it cannot accept", func() bool {
		return strings.Contains(s.proxy.log.String(), "cannot accept connections")
	})
	return func() {
		leave()
		s.limit(fmt.Sprintf("nofile=%d:", before.Cur))
	}
}

// vanish has clients come and go in the middle of something, until it is over.
func vanish(s *site) func() {
	big := strings.Repeat("x", 1<<20)
	if err := s.ctl.Set(s.t.Context(), "big", big, 0).Err(); err != nil {
		s.t.Fatal(err)
	}
	manners := []string{
		"*3\r\n$3\r\nSET\r\n$6\r\nvanish\r\n$100\r\nhalf of ",                                // in a command
		string(resp.AppendCommand(nil, "GET", "big")),                                        // in a reply
		strings.Repeat(string(resp.AppendCommand(nil, "INCR", "other")), 100),                // in a pipeline
		"MULTI\r\nSET vanish 1\r\n",                                                          // in a transaction
		"BLPOP nothing 0\r\n",                                                                // waiting
		"SUBSCRIBE elsewhere\r\n",                                                            // listening
		"*2\r\n$4\r\nECHO\r\n$1048576\r\n" + big[:1<<19],                                     // in a large command
		strings.Repeat(string(resp.AppendCommand(nil, "GET", "big")), 5) + "SUBSCRIBE x\r\n", // unread
	}
	stop, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		random := rand.New(rand.NewPCG(1, 2))
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
			conn, err := net.Dial("tcp", s.proxy.addr)
			if err != nil {
				continue
			}
			_ = conn.SetDeadline(time.Now().Add(5 * time.Millisecond))
			_, _ = fmt.Fprintf(conn, "AUTH %s\r\n%s", s.key, manners[i%len(manners)])
			_, _ = io.ReadFull(conn, make([]byte, random.IntN(100)))
			if random.IntN(2) == 0 {
				_ = conn.(*net.TCPConn).SetLinger(0)
			}
			_ = conn.Close()
		}
	}()
	return func() {
		close(stop)
		<-gone
		if n, err := s.ctl.Exists(s.t.Context(), "vanish").Result(); n != 0 || err != nil {
			s.t.Errorf("half a command, or a transaction without EXEC, was run: %d, %v", n, err)
		}
	}
}
