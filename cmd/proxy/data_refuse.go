package main

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/respgate/respgate/loop"
	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/proxy"
)

// admit counts a connection among the clients, or returns why it is refused.
func (d *dataPlane) admit() (why string) {
	switch n := d.clients.Add(1); {
	case n > d.maxClients.Load():
		why = metrics.RefusedClients
	case n+d.links.Load() > d.maxOpen:
		why = metrics.RefusedDescriptors
	default:
		return ""
	}
	d.clients.Add(-1)
	return why
}

// linkCounter counts the links of all loops, which have descriptors too.
type linkCounter struct {
	*metrics.Metrics
	open *atomic.Int64
}

// LinkOpened implements pool.LinkObserver.
func (c linkCounter) LinkOpened(label, kind string) {
	c.open.Add(1)
	c.Metrics.LinkOpened(label, kind)
}

// LinkClosed implements pool.LinkObserver.
func (c linkCounter) LinkClosed(label, kind string) {
	c.open.Add(-1)
	c.Metrics.LinkClosed(label, kind)
}

// refuse tells a connection that there are too many, and closes it. With TLS it is only
// closed, as Redis does: to say something would take a handshake.
func (d *dataPlane) refuse(nc net.Conn, why string, secure bool) {
	d.metrics.Refused(why)
	if d.refusing.begins(time.Now()) {
		d.log.Warn("connections are refused", "reason", why, "clients", d.clients.Load(), "max_clients", d.maxClients.Load())
	}
	switch {
	case secure:
		_ = nc.Close()
	case d.turnedAway.Load() < d.lingering:
		d.linger(nc)
	default:
		// It fits into the socket's empty buffer: this cannot block.
		_, _ = nc.Write(proxy.MaxClientsReply())
		_ = nc.Close()
	}
}

// linger has a loop tell a refused connection why, and wait until the client may have read
// it: what the client sends meanwhile would have the kernel's reset destroy it.
func (d *dataPlane) linger(nc net.Conn) {
	d.turnedAway.Add(1)
	l := d.nextLane().loop
	posted := l.Post(func() {
		err := l.Adopt(nc, false, func(c *loop.Conn) loop.Handler {
			c.Write(proxy.MaxClientsReply())
			c.CloseAfterFlush()
			return refused{d}
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

// refused is a connection that has been told that it is not served.
type refused struct{ *dataPlane }

// Data implements loop.Handler.
func (refused) Data(b []byte) int { return len(b) }

// Drained implements loop.Handler.
func (refused) Drained() {}

// Closed implements loop.Handler.
func (refused) Closed(error) {}

// Released is told when the connection's descriptor is closed.
func (r refused) Released() { r.turnedAway.Add(-1) }

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
