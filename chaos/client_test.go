//go:build linux

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/respgate/respgate/resp"
)

// patience is how long a client waits for an answer before it says that there is none: far
// longer than any fault lasts.
const patience = 60 * time.Second

// client is one connection's user: it connects again whenever it has to. What is not atomic
// belongs to its goroutine until that has ended.
type client struct {
	id, of    int    // its own number, and whose keys it works on
	addr, key string // of the proxy
	proto     int    // 2 or 3
	kinds     []kind // what it does; none: it listens to its channel
	random    *rand.Rand

	conn  net.Conn
	wire  *wire
	seq   int
	ops   []op
	heard []string
	hung  int

	done   [3]atomic.Int64 // how many operations had each outcome
	told   atomic.Value    // the text of the last refusal, or why the last connection ended
	lost   atomic.Int64    // how many connections ended without being asked to
	proven atomic.Int64    // when the latest was sent that has been answered, in nanoseconds
	asks   atomic.Value    // what it waits for an answer to
}

// run works until ctx ends.
func (c *client) run(ctx context.Context) {
	defer func() { c.hangUp() }()
	for ctx.Err() == nil {
		if c.conn == nil && !c.connect(ctx) {
			pause(ctx, 5*time.Millisecond)
			continue
		}
		if len(c.kinds) == 0 {
			c.listen(ctx)
			continue
		}
		c.batch()
		pause(ctx, time.Duration(c.random.IntN(4))*time.Millisecond)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (c *client) hangUp() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// connect opens a connection that has authenticated.
func (c *client) connect(ctx context.Context) bool {
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "tcp", c.addr)
	if err != nil {
		return false
	}
	c.conn, c.wire = conn, newWire(conn)
	_ = conn.SetDeadline(time.Now().Add(patience))
	hello := resp.AppendCommand(nil, "HELLO", strconv.Itoa(c.proto), "AUTH", "default", c.key)
	if len(c.kinds) == 0 {
		hello = resp.AppendCommand(hello, "SUBSCRIBE", c.channel())
	}
	if _, err := conn.Write(hello); err == nil {
		var r reply
		if r, err = c.wire.next(); err == nil && judge(r) == acked {
			return true
		}
		c.told.Store(fmt.Sprintf("when connecting: %v, %v", r, err))
	}
	c.hangUp()
	return false
}

func (c *client) channel() string { return fmt.Sprintf("channel:%d", c.of) }

// batch sends one operation, or several in one write, and records what became of each.
func (c *client) batch() {
	n := 1
	if c.random.IntN(2) == 0 {
		n += c.random.IntN(8)
	}
	var out []byte
	ops, replies := make([]op, n), make([]int, n)
	sent := time.Now().UnixNano()
	for i := range ops {
		c.seq++
		ops[i] = op{client: c.id, of: c.of, seq: c.seq, kind: c.kinds[c.random.IntN(len(c.kinds))], outcome: unknown}
		out, replies[i] = ops[i].append(out, sent)
	}
	_ = c.conn.SetDeadline(time.Now().Add(patience))
	// Part may arrive though the write fails: the answers tell.
	_, _ = c.conn.Write(out)
	for i := range ops {
		c.asks.Store(ops[i].kind)
		if err := c.answer(&ops[i], replies[i]); err != nil {
			if timedOut(err) {
				c.hung++
			}
			c.lost.Add(1)
			c.told.Store(err.Error())
			c.hangUp()
			break
		}
		c.proven.Store(max(c.proven.Load(), sent))
	}
	for _, o := range ops {
		if o.outcome != acked && o.reply.text != "" {
			c.told.Store(o.reply.text)
		}
		c.done[o.outcome].Add(1)
	}
	c.ops = append(c.ops, ops...)
}

// answer reads an operation's replies; the last says what became of it.
func (c *client) answer(o *op, replies int) error {
	for range replies {
		r, err := c.wire.next()
		if err != nil {
			return err
		}
		o.reply = r
	}
	o.outcome = judge(o.reply)
	if o.kind == pair && o.reply.kind == '_' {
		o.outcome = refused // nothing is watched, so this is never said
	}
	return nil
}

func timedOut(err error) bool {
	timeout, ok := err.(net.Error) //nolint:errorlint // as net returns it
	return ok && timeout.Timeout()
}

// listen hears one message. Its text says when it was sent.
func (c *client) listen(ctx context.Context) {
	conn := c.conn
	_ = conn.SetDeadline(time.Now().Add(patience))
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	r, err := c.wire.next()
	if err != nil {
		if timedOut(err) && ctx.Err() == nil {
			c.hung++
		}
		if ctx.Err() == nil {
			c.told.Store(err.Error())
			c.lost.Add(1)
		}
		c.hangUp()
		return
	}
	if judge(r) != acked { // SUBSCRIBE was refused
		c.told.Store(r.text)
		c.done[refused].Add(1)
		c.hangUp()
		pause(ctx, 5*time.Millisecond)
		return
	}
	words := r.words()
	if len(words) == 0 || words[0] != "message" {
		c.told.Store(r.String())
		return
	}
	token, sent, _ := strings.Cut(words[len(words)-1], "@")
	if len(words) != 3 || words[1] != c.channel() {
		token = "a message to " + strings.Join(words, " ")
	}
	c.heard = append(c.heard, token)
	c.done[acked].Add(1)
	if at, err := strconv.ParseInt(sent, 10, 64); err == nil {
		c.proven.Store(max(c.proven.Load(), at))
	}
}
