package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/respgate/respgate/loop"
)

const (
	// handoverTime bounds each step of a takeover but the successor's start.
	handoverTime = 10 * time.Second
	// offerRetry is how soon a proxy tries again to be there for a successor.
	offerRetry = time.Second
	// maxHandover bounds what is said about the listeners.
	maxHandover = 16 << 10
	// readyLine is what a successor says when it serves clients.
	readyLine = "ready\n"
)

// takeoverName is the socket at which the proxy that listens at an address has its
// successor ask for the listeners: an abstract one (unix(7)), which has no file that could
// be left behind, and ends with the process. Who may ask is told by the kernel.
func takeoverName(listen string) *net.UnixAddr {
	return &net.UnixAddr{Net: "unix", Name: "@respgate/" + listen}
}

// offered names a listener that is handed over.
type offered struct {
	Key  string `json:"key"`  // such as http.listen
	Addr string `json:"addr"` // that key's value
}

// predecessor is the proxy that this one takes over from; nil when there is none.
type predecessor struct {
	conn      *net.UnixConn
	pid       int
	listeners map[offered]net.Listener // those that nobody has taken
}

// inherit asks the proxy that runs already, if there is one, for its listeners. Another
// user's process in its place is not asked, and cannot keep this one from starting.
func inherit(ctx context.Context, cfg Config, log *slog.Logger) (*predecessor, error) {
	nc, err := (&net.Dialer{Timeout: handoverTime}).DialContext(ctx, "unix", takeoverName(cfg.Listen).Name)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil, nil // nobody is there
	}
	if err != nil { // nobody knows who is there: where it is a proxy, the port is in use
		log.Warn("nothing is taken over", "error", rootCause(err))
		return nil, nil
	}
	p := &predecessor{conn: nc.(*net.UnixConn), listeners: map[offered]net.Listener{}}
	if p.pid, err = sameUser(p.conn); err != nil {
		_ = nc.Close()
		log.Warn("nothing is taken over", "error", err)
		return nil, nil
	}
	if err := p.receive(); err != nil {
		_ = nc.Close()
		return nil, fmt.Errorf("reuse_port: cannot take over from the proxy at %s: %w", cfg.Listen, err)
	}
	return p, nil
}

func (p *predecessor) receive() error {
	_ = p.conn.SetReadDeadline(time.Now().Add(handoverTime))
	text, listeners, err := loop.ReceiveListeners(p.conn, make([]byte, maxHandover))
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errors.New("it does not hand its listeners over: another successor may be starting")
	case err != nil:
		return rootCause(err)
	}
	var names []offered
	err = json.Unmarshal(text, &names)
	for i := range min(len(names), len(listeners)) {
		p.listeners[names[i]] = listeners[i]
	}
	if err != nil || len(names) != len(listeners) || len(p.listeners) != len(listeners) {
		clear(p.listeners)
		closeAll(listeners)
		return fmt.Errorf("it hands over %d listeners and describes them so: %s", len(listeners), shown(string(text)))
	}
	return nil
}

// take returns the listener that was handed over for a key with this value, or nil.
func (p *predecessor) take(key, addr string) net.Listener {
	if p == nil {
		return nil
	}
	ln := p.listeners[offered{key, addr}]
	delete(p.listeners, offered{key, addr})
	return ln
}

// close lets go of what was not taken, and of the predecessor, which goes on unless
// dismiss was called.
func (p *predecessor) close() {
	if p == nil {
		return
	}
	for _, ln := range p.listeners {
		_ = ln.Close()
	}
	_ = p.conn.Close()
}

// dismiss tells the predecessor that this process serves clients, and waits until it
// accepts no more. One that has gone meanwhile is no harm: the listeners are here.
func (p *predecessor) dismiss(ctx context.Context) {
	defer p.close()
	defer context.AfterFunc(ctx, func() { _ = p.conn.Close() })()
	_ = p.conn.SetDeadline(time.Now().Add(handoverTime))
	if _, err := io.WriteString(p.conn, readyLine); err == nil {
		_, _ = io.Copy(io.Discard, p.conn)
	}
}

// succession ends the predecessor's service, if there is one, and then waits for a
// successor, for which it calls leave: that returns when this process accepts no more.
func (s *server) succession(ctx context.Context, leave func()) {
	if p := s.listeners.from; p != nil {
		p.dismiss(ctx)
		s.log.Info("taken over from the proxy that ran here", "pid", p.pid)
	}
	for said := false; ; said = true {
		ln, err := net.ListenUnix("unix", takeoverName(s.cfg.Listen))
		if err == nil {
			s.awaitSuccessor(ctx, ln, leave)
			return
		}
		if !said {
			s.log.Warn("no successor can take over for now", "error", rootCause(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(offerRetry):
		}
	}
}

// awaitSuccessor serves successors, one after the other, until one is ready or ctx ends.
func (s *server) awaitSuccessor(ctx context.Context, ln *net.UnixListener, leave func()) {
	defer func() { _ = ln.Close() }()
	defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
	for {
		conn, err := ln.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.log.Warn("no successor can take over for now", "error", rootCause(err))
			select {
			case <-ctx.Done():
			case <-time.After(offerRetry):
			}
			continue
		}
		pid, err := s.handOver(ctx, conn)
		if err == nil {
			s.log.Info("a successor has taken over", "pid", pid)
			_ = ln.Close() // its place is the successor's now
			leave()
			_ = conn.Close()
			return
		}
		_ = conn.Close()
		if ctx.Err() == nil {
			s.log.Warn("a successor has not taken over: this process goes on", "pid", pid, "error", rootCause(err))
		}
	}
}

// handOver gives a successor the listeners and waits, however long it takes to start, until
// it is ready.
func (s *server) handOver(ctx context.Context, conn *net.UnixConn) (pid int, err error) {
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	if pid, err = sameUser(conn); err != nil {
		return pid, err
	}
	names, listeners := s.listeners.offer(s.cfg)
	text, err := json.Marshal(names)
	if err != nil {
		return pid, err
	}
	_ = conn.SetWriteDeadline(time.Now().Add(handoverTime))
	if err := loop.SendListeners(conn, text, listeners...); err != nil {
		return pid, err
	}
	s.log.Info("a successor is starting", "pid", pid)
	answer := make([]byte, len(readyLine))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return pid, err
	}
	if string(answer) != readyLine {
		return pid, fmt.Errorf("it says %s", shown(string(answer)))
	}
	return pid, nil
}

// sameUser returns the process at the other end, whose user must be this one's: it gets, or
// gives, the tenants' connections.
func sameUser(conn *net.UnixConn) (pid int, err error) {
	uid, pid, err := loop.Peer(conn)
	if err == nil && uid != os.Geteuid() {
		err = fmt.Errorf("process %d is of user %d, want %d", pid, uid, os.Geteuid())
	}
	return pid, err
}
