package loop

import (
	"errors"
	"math"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxPieces is how many pieces of output one writev takes.
const maxPieces = 64

// errAgain says that a socket has nothing to read or no room to write.
var errAgain error = unix.EAGAIN

func isAgain(err error) bool {
	return err == errAgain //nolint:errorlint // rawIO returns it as it is
}

// readFD reads from a non-blocking socket. Like writeFD and writevFD it does
// not tell the scheduler, since it cannot block. The calls for sockets cost less than
// those for all files.
func readFD(fd int, b []byte) (int, error) {
	return rawIO(unix.SYS_RECVFROM, fd, unsafe.Pointer(unsafe.SliceData(b)), len(b)) //nolint:gosec // the kernel fills it
}

func writeFD(fd int, b []byte) (int, error) {
	return rawIO(unix.SYS_SENDTO, fd, unsafe.Pointer(unsafe.SliceData(b)), len(b)) //nolint:gosec // the kernel reads it
}

func writevFD(fd int, pieces [][]byte) (int, error) {
	var iov [maxPieces]unix.Iovec
	for i, b := range pieces {
		iov[i].Base = unsafe.SliceData(b) //nolint:gosec // the kernel reads it
		iov[i].SetLen(len(b))
	}
	return rawIO(unix.SYS_WRITEV, fd, unsafe.Pointer(&iov[0]), len(pieces)) //nolint:gosec // the kernel reads it
}

func rawIO(trap uintptr, fd int, p unsafe.Pointer, n int) (int, error) {
	for {
		r, _, errno := syscall.RawSyscall6(trap, uintptr(fd), uintptr(p), uintptr(n), 0, 0, 0)
		switch errno {
		case 0:
			return int(r), nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, errAgain
		default:
			return 0, errno
		}
	}
}

// unread returns how many bytes a socket has received that have not been read.
func unread(fd int) int {
	n, err := unix.IoctlGetInt(fd, fionread)
	if err != nil {
		return 0
	}
	return n
}

// undelivered returns how many bytes, the end of the stream counted as one, a socket has
// been given that its peer has not acknowledged.
func undelivered(fd int) int {
	n, err := outQueue(fd)
	if err != nil {
		return 0
	}
	return n
}

func shutdownWrite(fd int) error { return unix.Shutdown(fd, unix.SHUT_WR) }

// MaxFiles returns how many descriptors the process may have open. The Go runtime has
// raised that, at its start, to as many as the process may set.
func MaxFiles() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxInt
	}
	return int(min(limit.Cur, math.MaxInt))
}

func closeFD(fd int) { _ = unix.Close(fd) }

// detach returns a duplicate of conn's descriptor, which is non-blocking.
func detach(conn syscall.Conn) (fd int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return -1, err
	}
	ctl := raw.Control(func(s uintptr) {
		fd, err = unix.FcntlInt(s, unix.F_DUPFD_CLOEXEC, 3)
	})
	return fd, errors.Join(err, ctl)
}
