package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/respgate/respgate/loop"
	"github.com/respgate/respgate/proxy"
)

// listen opens a listener; key is the configuration key to change when that
// cannot be.
func listen(ctx context.Context, key, addr string) (net.Listener, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s: %s is in use already: stop what listens there or change %s", key, addr, key)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: cannot listen on %s: %w", key, addr, rootCause(err))
	}
	return ln, nil
}

// rootCause is the last of a chain of errors, which says what is wrong; the others
// repeat what was tried.
func rootCause(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

const (
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

// accept gives the connections that come to the loops, by turns, until ln is
// closed. tlsConfig gives how they speak TLS; it is nil for plain ones. When there are no
// descriptors left it pauses: the connections wait in the kernel meanwhile.
func (d *dataPlane) accept(ctx context.Context, ln net.Listener, tlsConfig func() *tls.Config) {
	pause := minAcceptPause
	for {
		nc, err := ln.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			d.log.Error("cannot accept connections", "listen", ln.Addr().String(), "error", rootCause(err), "next_try_in", pause)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return
			}
			pause = min(2*pause, maxAcceptPause)
			continue
		}
		pause = minAcceptPause
		d.take(nc, tlsConfig)
	}
}

// take hands one connection to a loop, or refuses it.
func (d *dataPlane) take(nc net.Conn, tlsConfig func() *tls.Config) {
	if d.clients.Add(1) > d.maxClients {
		d.clients.Add(-1)
		// It fits into the socket's empty buffer: this cannot block.
		_, _ = nc.Write(proxy.MaxClientsReply())
		_ = nc.Close()
		return
	}
	addr, local := addrPort(nc.RemoteAddr()), addrPort(nc.LocalAddr())
	if tlsConfig != nil {
		nc = tls.Server(d.handshakes.Transport(nc), tlsConfig())
	}
	l := d.lanes[d.accepted.Add(1)%uint64(len(d.lanes))]
	posted := l.loop.Post(func() {
		err := l.loop.Adopt(nc, false, func(c *loop.Conn) loop.Handler { return l.core.Open(c, addr, local) })
		if err != nil {
			d.clients.Add(-1)
			d.log.Warn("connection not served", "client", addr.String(), "error", rootCause(err))
		}
	})
	if !posted {
		d.clients.Add(-1)
		_ = nc.Close()
	}
}

func addrPort(addr net.Addr) netip.AddrPort {
	if a, ok := addr.(*net.TCPAddr); ok {
		return a.AddrPort()
	}
	return netip.AddrPort{}
}
