package loop

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// GiveUpAfter has the kernel give a TCP connection up whose peer has acknowledged nothing of
// what it was sent for so long (TCP_USER_TIMEOUT, tcp(7)); its own bound is about a quarter
// of an hour. Other connections it leaves as they are.
func GiveUpAfter(conn net.Conn, d time.Duration) error {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	ctl := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	})
	if err != nil {
		return err
	}
	return ctl
}
