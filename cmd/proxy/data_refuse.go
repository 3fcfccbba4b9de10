package main

import (
	"crypto/tls"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/respgate/respgate/loop"
	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/proxy"
)

// admit counts a connection among the clients, or returns why it is refused.
func (d *dataPlane) admit(nc net.Conn) (why string) {
	switch {
	case descriptor(nc) >= d.maxFile:
		return metrics.RefusedDescriptors
	case d.clients.Add(1) > d.maxClients:
		d.clients.Add(-1)
		return metrics.RefusedClients
	}
	return ""
}

// descriptor returns a connection's. The kernel gives the lowest that is free: so many at
// least are in use.
func descriptor(nc net.Conn) (fd int) {
	socket, ok := nc.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(s uintptr) { fd = int(s) }) //nolint:gosec // a descriptor
	return fd
}

// refuse tells a connection that there are too many, and closes it. With TLS it is only
// closed, as Redis does: to say something would take a handshake.
func (d *dataPlane) refuse(nc net.Conn, why string, tlsConfig *tls.Config) {
	d.metrics.Refused(why)
	if d.refusing.begins(time.Now()) {
		d.log.Warn("connections are refused", "reason", why, "clients", d.clients.Load(), "max_clients", d.maxClients)
	}
	if tlsConfig == nil && why == metrics.RefusedClients {
		// The loop waits with the last of it until the client may have read its reply.
		d.nextLane().loop.Attach(nc, func(c *loop.Conn) loop.Handler {
			c.Write(proxy.MaxClientsReply())
			c.CloseAfterFlush()
			return refused{}
		})
		return
	}
	if tlsConfig == nil {
		// It fits into the socket's empty buffer: this cannot block.
		_, _ = nc.Write(proxy.MaxClientsReply())
	}
	_ = nc.Close()
}

// refused is a connection that has been told that it is not served.
type refused struct{}

// Data implements loop.Handler.
func (refused) Data(b []byte) int { return len(b) }

// Drained implements loop.Handler.
func (refused) Drained() {}

// Closed implements loop.Handler.
func (refused) Closed(error) {}

// spell is a state that comes and goes and is told of when it begins, but not more often
// than once in tellSpells. It may be used by several goroutines.
type spell struct {
	mu   sync.Mutex
	on   bool
	told time.Time
}

const tellSpells = time.Minute

// begins reports whether to tell that the spell has begun.
func (s *spell) begins(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.on || !s.told.IsZero() && now.Sub(s.told) < tellSpells {
		return false
	}
	s.on, s.told = true, now
	return true
}

// ends reports whether to tell that the spell is over: it was told of, and is.
func (s *spell) ends() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.on
	s.on = false
	return was
}
