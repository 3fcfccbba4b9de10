package load

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

const (
	sysEpollPwait2  = 441 // on every architecture; package syscall does not know it
	prSetTimerSlack = 29
)

// run sends what is due and reads what has come, on one thread, until all is answered. It
// has an epoll of its own, since the loop package's timers are good to a millisecond: the
// time between two commands is less.
func (r *steadyRun) run(ctx context.Context, conns Conns) error {
	w, err := watch(conns)
	defer w.close()
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// The kernel may let a sleeper sleep 50 µs longer, which is a command's time.
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, prSetTimerSlack, 1, 0)
	defer func() { _, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, prSetTimerSlack, 0, 0) }() // the default

	total, end, start := r.total(), r.During+grace, time.Now()
	r.took = make([]time.Duration, 0, total)
	for len(r.took) < total && r.now < end {
		r.now = time.Since(start)
		for ; r.sent < total && r.due(r.sent) <= r.now; r.sent++ {
			if n, err := syscall.Write(w.fds[r.sent%r.Clients], r.Request); err != nil || n < len(r.Request) {
				return errors.Join(io.ErrShortWrite, err)
			}
		}
		next := end
		if r.sent < total {
			next = r.due(r.sent)
		}
		ready, err := w.wait(max(0, next-time.Since(start)))
		for i := 0; i < len(ready) && err == nil; i++ {
			var b []byte
			b, err = w.read(ready[i])
			r.now = time.Since(start)
			err = errors.Join(err, r.received(int(ready[i].Fd), b))
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
	}
	return nil
}

// watched are sockets and the epoll that reports the index of each.
type watched struct {
	epfd   int
	files  []*os.File // duplicates, closed here
	fds    []int
	events [64]syscall.EpollEvent
	buf    [64 << 10]byte
}

// watch returns what is to be closed also when it fails.
func watch(conns Conns) (*watched, error) {
	epfd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	w := &watched{epfd: epfd}
	if err != nil {
		return w, os.NewSyscallError("epoll_create1", err)
	}
	for i, nc := range conns {
		file, err := nc.(*net.TCPConn).File()
		if err != nil {
			return w, err
		}
		fd := int(file.Fd())
		w.files, w.fds = append(w.files, file), append(w.fds, fd)
		event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(i)}
		if err := errors.Join(syscall.SetNonblock(fd, true), syscall.EpollCtl(epfd, syscall.EPOLL_CTL_ADD, fd, &event)); err != nil {
			return w, err
		}
	}
	return w, nil
}

func (w *watched) close() {
	for _, f := range w.files {
		_ = f.Close()
	}
	if w.epfd >= 0 {
		_ = syscall.Close(w.epfd)
	}
}

// wait returns which sockets have input, after at most timeout.
func (w *watched) wait(timeout time.Duration) ([]syscall.EpollEvent, error) {
	until := syscall.NsecToTimespec(int64(timeout))
	n, _, errno := syscall.Syscall6(sysEpollPwait2, uintptr(w.epfd), uintptr(unsafe.Pointer(&w.events[0])),
		uintptr(len(w.events)), uintptr(unsafe.Pointer(&until)), 0, 0)
	switch errno {
	case 0:
		return w.events[:n], nil
	case syscall.EINTR:
		return nil, nil
	}
	return nil, os.NewSyscallError("epoll_pwait2", errno)
}

// read returns what a socket has; the next call reuses it.
func (w *watched) read(e syscall.EpollEvent) ([]byte, error) {
	n, err := syscall.Read(w.fds[e.Fd], w.buf[:])
	if err == syscall.EAGAIN || err == syscall.EINTR {
		return nil, nil
	}
	if err != nil || n == 0 {
		return nil, errors.Join(io.ErrUnexpectedEOF, err)
	}
	return w.buf[:n], nil
}
