package loop

import (
	"encoding/binary"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const fionread = unix.TIOCINQ // its other name

func outQueue(fd int) (int, error) { return unix.IoctlGetInt(fd, unix.TIOCOUTQ) }

// event is what epoll reports of one socket.
type event unix.EpollEvent

func (e *event) fd() int        { return int(e.Fd) }
func (e *event) readable() bool { return e.Events&^unix.EPOLLOUT != 0 }
func (e *event) writable() bool { return e.Events&(unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP) != 0 }
func (e *event) hungUp() bool   { return e.Events&unix.EPOLLRDHUP != 0 }
func (e *event) failed() bool   { return e.Events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 }

// poller is an epoll instance, level-triggered: one read per report and no
// read that ends in vain. wakeFD is an eventfd that ends a wait.
type poller struct {
	epfd, wakeFD int
	events       [maxEvents]event
}

func (p *poller) open() (err error) {
	if p.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if p.wakeFD, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err == nil {
		err = p.add(p.wakeFD)
	}
	if err != nil {
		p.close()
	}
	return err
}

func (p *poller) close() {
	closeFD(p.epfd)
	closeFD(p.wakeFD)
}

func (p *poller) add(fd int) error {
	return unix.EpollCtl(p.epfd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}) //nolint:gosec // a descriptor
}

// modify changes what is reported of fd.
func (p *poller) modify(fd int, _, _, readable, writable, hangingUp bool) error {
	e := unix.EpollEvent{Fd: int32(fd)} //nolint:gosec // a descriptor
	if readable {
		e.Events |= unix.EPOLLIN
	}
	if writable {
		e.Events |= unix.EPOLLOUT
	}
	if hangingUp {
		e.Events |= unix.EPOLLRDHUP
	}
	return unix.EpollCtl(p.epfd, unix.EPOLL_CTL_MOD, fd, &e)
}

func (p *poller) remove(fd int) {
	_ = unix.EpollCtl(p.epfd, unix.EPOLL_CTL_DEL, fd, nil)
}

// wake ends a wait on another goroutine.
func (p *poller) wake() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = unix.Write(p.wakeFD, one[:])
}

// poll reports what is ready now. It does not block, so the scheduler need not
// know of the system call.
func (p *poller) poll() []event {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epfd),
		uintptr(unsafe.Pointer(&p.events[0])), maxEvents, 0, 0, 0) //nolint:gosec // the kernel fills it
	if errno != 0 {
		return nil
	}
	return p.reported(int(n))
}

// wait reports what is ready, after at most timeout; a negative one is forever.
func (p *poller) wait(timeout time.Duration) []event {
	ms := -1
	if timeout >= 0 {
		ms = int((timeout + time.Millisecond - 1) / time.Millisecond)
	}
	n, _, errno := syscall.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epfd),
		uintptr(unsafe.Pointer(&p.events[0])), maxEvents, uintptr(ms), 0, 0) //nolint:gosec // the kernel fills it
	if errno != 0 {
		return nil // EINTR
	}
	return p.reported(int(n))
}

func (p *poller) reported(n int) []event {
	for i := range p.events[:n] {
		if p.events[i].fd() == p.wakeFD {
			var b [8]byte
			_, _ = unix.Read(p.wakeFD, b[:])
			break
		}
	}
	return p.events[:n]
}
