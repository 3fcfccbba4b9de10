package loop

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestGiveUpAfter(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := GiveUpAfter(conn, 1500*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	fd, err := detach(conn.(*net.TCPConn)) // what a loop takes over
	if err != nil {
		t.Fatal(err)
	}
	defer closeFD(fd)
	if got, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT); err != nil || got != 1500 {
		t.Errorf("the timeout is %d ms, %v, want 1500", got, err)
	}
	unixConn, other := net.Pipe()
	defer unixConn.Close()
	defer other.Close()
	if err := GiveUpAfter(unixConn, time.Second); err != nil {
		t.Errorf("of another kind of connection: %v", err)
	}
}
