package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"

	"github.com/respgate/respgate/loop"
)

// Swarm is many clients on one event loop, which makes them cheap. Each sends a SET and a
// GET of its own key in turn, the next when the last is answered.
type Swarm struct {
	loop     *loop.Loop
	running  sync.WaitGroup
	commands int64 // answered; like err, the loop's
	err      error // the first that a client had
}

// StartSwarm connects a client to each of the endpoints and has them begin. Values have
// size bytes.
func StartSwarm(ctx context.Context, endpoints []Endpoint, size int) (*Swarm, error) {
	conns, err := Open(ctx, endpoints, nil)
	if err != nil {
		return nil, err
	}
	l, err := loop.New(slog.New(slog.DiscardHandler))
	if err != nil {
		conns.Close()
		return nil, err
	}
	s := &Swarm{loop: l}
	s.running.Go(l.Run)
	value := strings.Repeat("x", size)
	for i, nc := range conns {
		key := fmt.Sprintf("swarm:%06d", i)
		l.Attach(nc, func(c *loop.Conn) loop.Handler {
			m := &member{swarm: s, conn: c, requests: [2][]byte{Command("SET", key, value), Command("GET", key)}}
			c.Write(m.requests[0])
			return m
		})
	}
	return s, nil
}

// Commands is how many have been answered, or why a client has ended.
func (s *Swarm) Commands() (n int64, err error) {
	if !s.loop.Do(func() { n, err = s.commands, s.err }) {
		return 0, loop.ErrStopped
	}
	return n, err
}

// Close ends all clients.
func (s *Swarm) Close() {
	s.loop.Stop()
	s.running.Wait()
}

// member is one client of a swarm.
type member struct {
	swarm    *Swarm
	conn     *loop.Conn
	requests [2][]byte
	answered int
}

// Data implements loop.Handler.
func (m *member) Data(b []byte) int {
	if len(b) == 0 {
		m.conn.Close(io.ErrUnexpectedEOF)
		return 0
	}
	n, err := replyLength(b)
	if err != nil {
		m.conn.Close(err)
	}
	if n > 0 {
		m.answered++
		m.swarm.commands++
		m.conn.Write(m.requests[m.answered%len(m.requests)])
	}
	return n
}

// Drained implements loop.Handler.
func (m *member) Drained() {}

// Closed implements loop.Handler.
func (m *member) Closed(err error) {
	if m.swarm.err == nil && !errors.Is(err, loop.ErrStopped) {
		m.swarm.err = fmt.Errorf("a client's connection ended: %w", err)
	}
}
