//go:build linux

package chaos

import (
	"bufio"
	"bytes"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// trick is what a middleman does to what passes through it.
type trick int32

const (
	honest    trick = iota
	duplicate       // a write reaches Redis twice, and its second answer is hidden
	exchange        // two answers that follow each other change places
	garbage         // bytes that are no RESP, between two answers
	reset           // a connection is reset in the middle of an answer
)

// settledIn is how many answers a connection has had before garbage comes or it is reset: it
// is in use then, no longer being opened.
const settledIn = 20

// middleman is between the proxy and Redis, and knows where commands and answers end.
type middleman struct {
	addr, upstream string

	trick  atomic.Int32
	left   atomic.Int64 // how often the trick is still to be played
	pumps  sync.WaitGroup
	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]struct{}
}

// newMiddleman starts one in front of upstream, until the test ends.
func newMiddleman(t *testing.T, upstream string) *middleman {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &middleman{addr: ln.Addr().String(), upstream: upstream, conns: map[net.Conn]struct{}{}}
	m.pumps.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			m.serve(conn)
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		m.mu.Lock()
		m.closed = true
		for conn := range m.conns {
			_ = conn.Close()
		}
		m.mu.Unlock()
		m.pumps.Wait()
	})
	return m
}

// play has a trick played so often.
func (m *middleman) play(what trick, times int64) {
	m.left.Store(times)
	m.trick.Store(int32(what))
}

// played reports whether all that was asked for has been.
func (m *middleman) played() bool { return m.left.Load() <= 0 }

// now reports whether the trick is to be played here.
func (m *middleman) now(what trick) bool {
	return trick(m.trick.Load()) == what && m.left.Add(-1) >= 0
}

// keep remembers conn to close it; false says that all are closed already.
func (m *middleman) keep(conn net.Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		_ = conn.Close()
		return false
	}
	m.conns[conn] = struct{}{}
	return true
}

func (m *middleman) serve(near net.Conn) {
	far, err := net.Dial("tcp", m.upstream)
	if err != nil {
		_ = near.Close()
		return
	}
	if !m.keep(near) || !m.keep(far) {
		return
	}
	p := &passage{m: m, near: near, far: far, hidden: map[int]bool{}}
	for _, pump := range []func(){p.up, p.down} {
		m.pumps.Go(func() {
			pump()
			_, _ = near.Close(), far.Close()
			m.mu.Lock()
			defer m.mu.Unlock()
			delete(m.conns, near)
			delete(m.conns, far)
		})
	}
}

// passage is one connection through a middleman.
type passage struct {
	m         *middleman
	near, far net.Conn

	mu     sync.Mutex
	hidden map[int]bool // the answers that are kept back, by number
}

// up passes commands on.
func (p *passage) up() {
	in, sent := newWire(p.near), 0
	for {
		cmd, err := in.next()
		if err != nil {
			return
		}
		sent++
		out := in.raw
		if words := cmd.words(); len(words) > 2 && words[0] == "RPUSH" && strings.HasPrefix(words[1], "list:") && p.m.now(duplicate) {
			sent++
			p.mu.Lock()
			p.hidden[sent] = true
			p.mu.Unlock()
			out = append(bytes.Clone(out), out...)
		}
		if _, err := p.far.Write(out); err != nil {
			return
		}
	}
}

// down passes answers on.
func (p *passage) down() {
	in, out := newWire(p.far), bufio.NewWriter(p.near)
	for n := 0; ; {
		r, err := in.next()
		if err != nil {
			return
		}
		if r.kind != '>' { // a message is no answer
			n++
		}
		p.mu.Lock()
		hide := p.hidden[n]
		p.mu.Unlock()
		switch {
		case hide:
		case n > settledIn && p.m.now(garbage):
			_, _ = out.Write(append(bytes.Clone(in.raw), "\x00\xffnonsense\r\n"...))
		case n > settledIn && p.m.now(reset):
			_, _ = out.Write(in.raw[:len(in.raw)/2])
			_ = out.Flush()
			_ = p.near.(*net.TCPConn).SetLinger(0)
			return
		case trick(p.m.trick.Load()) == exchange && r.kind == '$' && in.Buffered() > 0:
			first := bytes.Clone(in.raw)
			second, err := in.next()
			if err != nil {
				return
			}
			n++
			if second.kind == '$' && second.text != r.text && p.m.now(exchange) {
				_, _ = out.Write(append(bytes.Clone(in.raw), first...))
			} else {
				_, _ = out.Write(append(first, in.raw...))
			}
		default:
			_, _ = out.Write(in.raw)
		}
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
	}
}
