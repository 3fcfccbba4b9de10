package loop

import (
	"time"

	"golang.org/x/sys/unix"
)

const fionread = 0x4004667f // FIONREAD in <sys/filio.h>

func outQueue(fd int) (int, error) { return unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_NWRITE) }

// event is what kqueue reports of one filter of one socket.
type event unix.Kevent_t

func (e *event) fd() int        { return int(e.Ident) }
func (e *event) readable() bool { return e.Filter == unix.EVFILT_READ }
func (e *event) writable() bool { return e.Filter == unix.EVFILT_WRITE }
func (e *event) hungUp() bool   { return false }
func (e *event) failed() bool   { return e.Flags&unix.EV_EOF != 0 && e.Fflags != 0 }

// poller is a kqueue, level-triggered. A user event ends a wait: it reports
// descriptor 0, which is no connection.
type poller struct {
	kq     int
	events [maxEvents]event
	kernel [maxEvents]unix.Kevent_t
}

func (p *poller) open() (err error) {
	if p.kq, err = unix.Kqueue(); err != nil {
		return err
	}
	unix.CloseOnExec(p.kq)
	if err = p.change(0, unix.EVFILT_USER, unix.EV_ADD|unix.EV_CLEAR, 0); err != nil {
		p.close()
	}
	return err
}

func (p *poller) close() { closeFD(p.kq) }

func (p *poller) change(fd int, filter int16, flags uint16, fflags uint32) error {
	e := unix.Kevent_t{Filter: filter, Flags: flags, Fflags: fflags}
	e.Ident = uint64(fd)
	_, err := unix.Kevent(p.kq, []unix.Kevent_t{e}, nil, nil)
	return err
}

func (p *poller) add(fd int) error {
	return p.change(fd, unix.EVFILT_READ, unix.EV_ADD, 0)
}

// modify changes what is reported of fd.
func (p *poller) modify(fd int, wasReadable, wasWritable, readable, writable, _ bool) error {
	if err := p.toggle(fd, unix.EVFILT_READ, wasReadable, readable); err != nil {
		return err
	}
	return p.toggle(fd, unix.EVFILT_WRITE, wasWritable, writable)
}

func (p *poller) toggle(fd int, filter int16, was, is bool) error {
	switch {
	case is && !was:
		return p.change(fd, filter, unix.EV_ADD, 0)
	case was && !is:
		return p.change(fd, filter, unix.EV_DELETE, 0)
	}
	return nil
}

// remove need do nothing: the kernel forgets a descriptor that is closed.
func (p *poller) remove(int) {}

// wake ends a wait on another goroutine.
func (p *poller) wake() { _ = p.change(0, unix.EVFILT_USER, 0, unix.NOTE_TRIGGER) }

// poll reports what is ready now.
func (p *poller) poll() []event { return p.wait(0) }

// wait reports what is ready, after at most timeout; a negative one is forever.
func (p *poller) wait(timeout time.Duration) []event {
	var limit *unix.Timespec
	if timeout >= 0 {
		ts := unix.NsecToTimespec(int64(timeout))
		limit = &ts
	}
	n, err := unix.Kevent(p.kq, nil, p.kernel[:], limit)
	if err != nil {
		return nil // EINTR
	}
	for i := range n {
		p.events[i] = event(p.kernel[i])
	}
	return p.events[:n]
}
