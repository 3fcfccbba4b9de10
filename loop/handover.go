package loop

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxListeners is how many listeners are handed over at a time.
const maxListeners = 16

// SendListeners hands listeners to the process at the other end of conn, with a message,
// in one piece. They stay open here too: both processes accept connections from the same
// queue, which lives until neither has them.
func SendListeners(conn *net.UnixConn, message []byte, listeners ...net.Listener) (err error) {
	var fds []int
	defer func() {
		for _, fd := range fds {
			closeFD(fd)
		}
	}()
	for _, ln := range listeners {
		raw, ok := ln.(syscall.Conn)
		if !ok {
			return fmt.Errorf("%T is no socket", ln)
		}
		fd, err := detach(raw)
		if err != nil {
			return err
		}
		fds = append(fds, fd)
	}
	_, _, err = conn.WriteMsgUnix(message, unix.UnixRights(fds...), nil)
	return err
}

// ReceiveListeners takes what one SendListeners sent. The message goes to buf, which has to
// have room for it.
func ReceiveListeners(conn *net.UnixConn, buf []byte) (message []byte, listeners []net.Listener, err error) {
	oob := make([]byte, unix.CmsgSpace(maxListeners*4))
	n, oobn, _, _, err := conn.ReadMsgUnix(buf, oob)
	if err != nil {
		return nil, nil, err
	}
	control, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return nil, nil, err
	}
	for i := range control {
		fds, rightsErr := unix.ParseUnixRights(&control[i])
		err = errors.Join(err, rightsErr)
		for _, fd := range fds {
			ln, fileErr := listenerOf(fd)
			if err = errors.Join(err, fileErr); fileErr == nil {
				listeners = append(listeners, ln)
			}
		}
	}
	if err != nil {
		for _, ln := range listeners {
			_ = ln.Close()
		}
		return nil, nil, err
	}
	return buf[:n], listeners, nil
}

// listenerOf makes a listener of a descriptor, which it owns.
func listenerOf(fd int) (net.Listener, error) {
	f := os.NewFile(uintptr(fd), "listener")
	defer func() { _ = f.Close() }() // the listener has a duplicate
	return net.FileListener(f)
}
