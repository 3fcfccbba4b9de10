package pool

import (
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/loop"
	"github.com/respgate/respgate/tenant"
)

// told is an owner that passes on what it is told.
type told struct{ c chan string }

func (o *told) Replies(b []byte, _ int, _ bool) { o.c <- string(b) }
func (o *told) Failed(_ command.ID, err *Error) { o.c <- err.Error() }

// TestSentWhileClosing has a connection end in the middle of a turn in which commands come
// before and after. None has been sent: all go over the next connection, each client's its own.
func TestSentWhileClosing(t *testing.T) {
	l, err := loop.New(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { l.Run(); close(done) }()
	t.Cleanup(func() { l.Stop(); <-done })
	first, _ := sockets(t)
	second, backend := sockets(t)
	link := &Link{nanos: l.Nanos, onIdle: func(*Link) {}, memory: l}
	link.count(&tally{watch: tenant.Watch{Slow: -1}})
	adopt := func(nc net.Conn) {
		var conn *loop.Conn
		if err := l.Adopt(nc, true, func(c *loop.Conn) loop.Handler { conn = c; return link }); err != nil {
			t.Error(err)
		}
		link.Up(conn, Hello{})
	}
	link.redial = func(*Link) { go l.Post(func() { adopt(second) }) }
	a, b := &told{make(chan string, 1)}, &told{make(chan string, 1)}
	l.Do(func() {
		adopt(first)
		_, _ = link.Send(a, []byte("*2\r\n$3\r\nGET\r\n$1\r\na\r\n"), command.Other, 1)
		link.Data(nil) // the backend has closed
		_, _ = link.Send(b, []byte("*2\r\n$3\r\nGET\r\n$1\r\nb\r\n"), command.Other, 1)
	})
	want := "*2\r\n$3\r\nGET\r\n$1\r\na\r\n*2\r\n$3\r\nGET\r\n$1\r\nb\r\n"
	got := make([]byte, len(want))
	if n, err := io.ReadFull(backend, got); err != nil || string(got) != want {
		t.Fatalf("the next connection is sent %q, %v; want %q", got[:n], err, want)
	}
	_, _ = io.WriteString(backend, "+a\r\n+b\r\n")
	for _, c := range []struct {
		owner *told
		want  string
	}{{a, "+a\r\n"}, {b, "+b\r\n"}} {
		if got := <-c.owner.c; got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// sockets returns both ends of a loopback connection.
func sockets(t *testing.T) (ours, theirs net.Conn) {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	if ours, err = new(net.Dialer).DialContext(t.Context(), "tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if theirs, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = theirs.Close() })
	_ = theirs.SetDeadline(time.Now().Add(testbed.Patience))
	return ours, theirs
}
