package loop

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// Peer returns the user and the process at the other end of a Unix connection, as they
// were when it was made: the kernel's word.
func Peer(conn *net.UnixConn) (uid, pid int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return -1, -1, err
	}
	var cred *unix.Ucred
	ctl := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(err, ctl); err != nil {
		return -1, -1, err
	}
	return int(cred.Uid), int(cred.Pid), nil
}
