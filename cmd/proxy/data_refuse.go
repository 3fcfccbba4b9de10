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
	case n > d.maxClients:
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
		d.log.Warn("connections are refused", "reason", why, "clients", d.clients.Load(), "max_clients", d.maxClients)
	}
	if !secure && d.mayLinger(time.Now()) {
		// The loop waits with the last of it until the client may have read its reply.
		d.nextLane().loop.Attach(nc, func(c *loop.Conn) loop.Handler {
			c.Write(proxy.MaxClientsReply())
			c.CloseAfterFlush()
			return refused{}
		})
		return
	}
	if !secure {
		// It fits into the socket's empty buffer: this cannot block.
		_, _ = nc.Write(proxy.MaxClientsReply())
	}
	_ = nc.Close()
}

// mayLinger reports whether a refused connection may keep its descriptor for the second that
// a loop waits. In each second a quarter of what is kept for backends may: two seconds meet.
func (d *dataPlane) mayLinger(now time.Time) bool {
	if second := now.Unix(); d.lingering.second.Swap(second) != second {
		d.lingering.n.Store(0)
	}
	return d.lingering.n.Add(1) <= d.spareFiles/4
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
