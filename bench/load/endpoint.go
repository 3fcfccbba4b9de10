// Package load has the clients that redis-benchmark lacks: with exact latencies, with a
// steady rate, idle ones, thousands of tenants' and with one huge command.
package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// dialers is how many connections are opened at once: fewer than any listener's backlog.
const dialers = 32

// Endpoint is where a client connects, and how.
type Endpoint struct {
	Addr     string
	Password string      // "": none
	TLS      *tls.Config // nil: plain
}

// dial connects, authenticates and has first, which may be nil, answered.
func (e Endpoint) dial(ctx context.Context, first []byte) (net.Conn, error) {
	nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", e.Addr)
	if err != nil {
		return nil, err
	}
	// Only a deadline in the past ends a read when ctx does.
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if e.TLS != nil {
		nc = tls.Client(nc, e.TLS)
	}
	if e.Password != "" {
		err = roundTrip(nc, Command("AUTH", e.Password))
	}
	if err == nil && first != nil {
		err = roundTrip(nc, first)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", e.Addr, err), nc.Close())
	}
	return nc, nil
}

// Do sends one command on a connection of its own and waits for its reply.
func Do(ctx context.Context, e Endpoint, request []byte) error {
	nc, err := e.dial(ctx, request)
	if err != nil {
		return err
	}
	return nc.Close()
}

// Conns are open connections.
type Conns []net.Conn

// Close closes them all.
func (c Conns) Close() {
	for _, nc := range c {
		if nc != nil {
			_ = nc.Close()
		}
	}
}

// Open opens a connection to each endpoint, in their order, authenticates and has first,
// which may be nil, answered. Then they are silent.
func Open(ctx context.Context, endpoints []Endpoint, first []byte) (Conns, error) {
	conns, errs := make(Conns, len(endpoints)), make([]error, len(endpoints))
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(dialers, len(endpoints)) {
		workers.Go(func() {
			for i := range next {
				conns[i], errs[i] = endpoints[i].dial(ctx, first)
			}
		})
	}
	for i := range endpoints {
		next <- i
	}
	close(next)
	workers.Wait()
	for _, err := range errs {
		if err != nil { // one tells enough
			conns.Close()
			return nil, err
		}
	}
	return conns, nil
}

// Repeat is n times the same endpoint.
func Repeat(e Endpoint, n int) []Endpoint {
	all := make([]Endpoint, n)
	for i := range all {
		all[i] = e
	}
	return all
}
