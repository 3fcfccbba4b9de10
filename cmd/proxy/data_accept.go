package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/respgate/respgate/loop"
	"github.com/respgate/respgate/proxy"
)

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
	var failing spell
	for {
		nc, err := ln.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			d.metrics.AcceptFailed()
			if failing.begins(time.Now()) {
				d.log.Error("cannot accept connections: they wait", "listen", ln.Addr().String(), "error", rootCause(err))
			}
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return
			}
			pause = min(2*pause, maxAcceptPause)
			continue
		}
		pause = minAcceptPause
		if failing.ends() {
			d.log.Info("connections are accepted again", "listen", ln.Addr().String())
		}
		d.take(nc, tlsConfig)
	}
}

// take hands one connection to a loop, or refuses it.
func (d *dataPlane) take(nc net.Conn, tlsConfig func() *tls.Config) {
	if why := d.admit(); why != "" {
		d.refuse(nc, why, tlsConfig != nil)
		return
	}
	if d.refusing.ends() {
		d.log.Info("connections are served again", "clients", d.clients.Load())
	}
	peer := proxy.Peer{Addr: addrPort(nc.RemoteAddr()), Local: addrPort(nc.LocalAddr()), TLS: tlsConfig != nil}
	if tlsConfig != nil {
		nc = tls.Server(d.handshakes.Transport(nc), tlsConfig())
	}
	l := d.nextLane()
	posted := l.loop.Post(func() {
		err := l.loop.Adopt(nc, false, func(c *loop.Conn) loop.Handler { return l.core.Open(c, peer) })
		if err != nil {
			d.clients.Add(-1)
			d.log.Warn("connection not served", "client", peer.Addr.String(), "error", rootCause(err))
		}
	})
	if !posted {
		d.clients.Add(-1)
		_ = nc.Close()
	}
}

// nextLane gives the loops their connections by turns.
func (d *dataPlane) nextLane() *lane { return d.lanes[d.accepted.Add(1)%uint64(len(d.lanes))] }

func addrPort(addr net.Addr) netip.AddrPort {
	if a, ok := addr.(*net.TCPAddr); ok {
		return a.AddrPort()
	}
	return netip.AddrPort{}
}
