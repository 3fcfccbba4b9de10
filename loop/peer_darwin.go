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
	var cred *unix.Xucred
	ctl := raw.Control(func(fd uintptr) {
		if cred, err = unix.GetsockoptXucred(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERCRED); err == nil {
			pid, err = unix.GetsockoptInt(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERPID)
		}
	})
	if err := errors.Join(err, ctl); err != nil {
		return -1, -1, err
	}
	return int(cred.Uid), pid, nil
}
