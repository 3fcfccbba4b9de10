package load

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// grace is how long a target that has fallen behind may take to catch up.
const grace = 2 * time.Second

// Steady is a load that does not wait for the target: command i is due at a fixed time and
// belongs to client i modulo Clients, so that each client has a schedule of its own and the
// commands come one by one.
type Steady struct {
	Rate    int // commands per second of all clients
	Clients int
	Request []byte
	During  time.Duration
}

// Steadily is what came of a Steady load.
type Steadily struct {
	// Latencies are measured from when a command was due, not from when it was sent: a
	// delay counts for all that it delays.
	Latencies []time.Duration
	Answered  int
	Took      time.Duration // until the last was answered, or it was given up
}

func (s Steady) total() int { return int(s.During.Seconds() * float64(s.Rate)) }

// due is when command i is to be sent, counted from the start.
func (s Steady) due(i int) time.Duration {
	return time.Duration(i) * time.Second / time.Duration(s.Rate)
}

// nth is the command that is a client's nth, counted from 0: replies come in order.
func (s Steady) nth(client, n int) int { return client + n*s.Clients }

// Run opens the connections and then applies the load. measured is called twice: right
// before and right after.
func (s Steady) Run(ctx context.Context, e Endpoint, measured func()) (Steadily, error) {
	conns, err := Open(ctx, Repeat(e, s.Clients), s.Request)
	if err != nil {
		return Steadily{}, err
	}
	defer conns.Close()
	r := &steadyRun{Steady: s, answered: make([]int, s.Clients), kept: make([][]byte, s.Clients)}
	measured()
	err = r.run(ctx, conns)
	measured()
	if err != nil {
		return Steadily{}, fmt.Errorf("%s: %w", e.Addr, errors.Join(err, ctx.Err()))
	}
	return r.result(), nil
}

// steadyRun is how far a Steady load is.
type steadyRun struct {
	Steady
	sent     int
	answered []int    // by each client
	kept     [][]byte // each client's part of a reply that is not complete
	took     []time.Duration
	now      time.Duration // since the start
}

// received takes what came for a client at r.now.
func (r *steadyRun) received(client int, b []byte) error {
	if len(r.kept[client]) > 0 {
		b = append(r.kept[client], b...)
	}
	for {
		n, err := replyLength(b)
		if err != nil {
			return err
		}
		if n == 0 {
			r.kept[client] = append(r.kept[client][:0], b...)
			return nil
		}
		b = b[n:]
		r.took = append(r.took, r.now-r.due(r.nth(client, r.answered[client])))
		r.answered[client]++
	}
}

// result counts what was never answered as if it had been now.
func (r *steadyRun) result() Steadily {
	answered := len(r.took)
	for client, n := range r.answered {
		for i := r.nth(client, n); i < r.total(); i = r.nth(client, n) {
			r.took = append(r.took, r.now-r.due(i))
			n++
		}
	}
	return Steadily{r.took, answered, r.now}
}
