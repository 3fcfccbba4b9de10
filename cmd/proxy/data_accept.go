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
// closed. tlsConfig is nil for plain ones. When there are no descriptors left it
// pauses: the connections wait in the kernel meanwhile.
func (d *dataPlane) accept(ctx context.Context, ln net.Listener, tlsConfig *tls.Config) {
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
func (d *dataPlane) take(nc net.Conn, tlsConfig *tls.Config) {
	if d.clients.Add(1) > d.maxClients.Load() {
		d.clients.Add(-1)
		d.turnAway(nc, tlsConfig != nil)
		return
	}
	addr, local := addrPort(nc.RemoteAddr()), addrPort(nc.LocalAddr())
	if tlsConfig != nil {
		nc = tls.Server(loop.NewTransport(nc), tlsConfig)
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

// maxTurnedAway is how many connections beyond the bound on clients may linger: they take
// descriptors beside those that the bound is for.
const maxTurnedAway = 256

// turnAway tells a connection why it is not served, and closes it. A loop does it, so that
// the reply outlives what the client sends meanwhile. With TLS nothing can be said before
// the handshake.
func (d *dataPlane) turnAway(nc net.Conn, encrypted bool) {
	if encrypted || d.turnedAway.Load() >= maxTurnedAway {
		_ = nc.Close()
		return
	}
	d.turnedAway.Add(1)
	l := d.lanes[d.accepted.Add(1)%uint64(len(d.lanes))].loop
	posted := l.Post(func() {
		err := l.Adopt(nc, false, func(c *loop.Conn) loop.Handler {
			c.Write(proxy.MaxClientsReply())
			c.CloseAfterFlush()
			return stranger{d}
		})
		if err != nil {
			d.turnedAway.Add(-1)
		}
	})
	if !posted {
		d.turnedAway.Add(-1)
		_ = nc.Close()
	}
}

// stranger is a connection that is turned away.
type stranger struct{ *dataPlane }

// Data implements loop.Handler.
func (stranger) Data(b []byte) int { return len(b) }

// Drained implements loop.Handler.
func (stranger) Drained() {}

// Closed implements loop.Handler.
func (stranger) Closed(error) {}

// Released is told when the connection's descriptor is closed.
func (s stranger) Released() { s.turnedAway.Add(-1) }

func addrPort(addr net.Addr) netip.AddrPort {
	if a, ok := addr.(*net.TCPAddr); ok {
		return a.AddrPort()
	}
	return netip.AddrPort{}
}
