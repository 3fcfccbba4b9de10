package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"syscall"
	"time"
)

// Latencies has one client send request n times, each when the one before has been
// answered, and returns how long each took. It waits in plain blocking system calls: the
// runtime's poller would add its own time.
func Latencies(ctx context.Context, e Endpoint, request []byte, n int) ([]time.Duration, error) {
	nc, err := e.dial(ctx, nil)
	if err != nil {
		return nil, err
	}
	file, err := nc.(*net.TCPConn).File() // a duplicate
	err = errors.Join(err, nc.Close())
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	fd := int(file.Fd())
	if err := syscall.SetNonblock(fd, false); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = syscall.Shutdown(fd, syscall.SHUT_RDWR) })
	defer stop()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	took := make([]time.Duration, n)
	for i := range took {
		began := time.Now()
		if err := exchange(fd, request); err != nil {
			return nil, fmt.Errorf("%s: %w", e.Addr, errors.Join(err, ctx.Err()))
		}
		took[i] = time.Since(began)
	}
	return took, nil
}

// exchange sends a request and reads its reply from a blocking socket.
func exchange(fd int, request []byte) error {
	if n, err := syscall.Write(fd, request); err != nil || n < len(request) {
		return errors.Join(io.ErrShortWrite, err)
	}
	var buf [512]byte
	for got := 0; ; {
		n, err := syscall.Read(fd, buf[got:])
		if err == syscall.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return errors.Join(io.ErrUnexpectedEOF, err)
		}
		got += n
		if n, err := replyLength(buf[:got]); n > 0 || err != nil {
			return err
		}
	}
}
