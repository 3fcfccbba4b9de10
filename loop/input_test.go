package loop

import (
	"bytes"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
)

func TestLastReplyArrivesThoughInputIsUnread(t *testing.T) {
	client, server := tcpPair(t)
	l := startLoop(t)
	closed := make(chan error, 1)
	if _, err := client.Write(make([]byte, 300<<10)); err != nil {
		t.Fatal(err)
	}
	l.Attach(server, func(c *Conn) Handler { return once{&echo{conn: c, closed: closed}} })
	got, err := io.ReadAll(client)
	if err != nil || string(got) != "bye\n" {
		t.Errorf("got %q, %v; want the farewell and the end, not a reset", got, err)
	}
	<-closed
}

func TestPausedInputIsKept(t *testing.T) {
	for name, pair := range transports {
		t.Run(name, func(t *testing.T) {
			client, server := pair(t)
			l := startLoop(t)
			var conn *Conn
			l.Attach(server, func(c *Conn) Handler {
				conn = c
				c.Pause()
				return &echo{conn: c, closed: make(chan error, 1)}
			})
			go func() { _, _ = client.Write([]byte("early\n")) }()
			l.Do(func() {})
			l.Do(func() { conn.Resume() })
			got := make([]byte, 6)
			if _, err := io.ReadFull(client, got); err != nil || string(got) != "early\n" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// closer closes its connection while it looks at input, and then others write.
type closer struct {
	*echo
	other   *Conn
	changed chan bool
}

func (c *closer) Data(b []byte) int {
	before := string(b)
	c.conn.CloseAfterFlush()
	c.other.Write([]byte("something else"))
	c.changed <- string(b) != before
	return len(b)
}

func TestInputIsValidWhileItIsLookedAt(t *testing.T) {
	l := startLoop(t)
	attach := func(open func(c *Conn) Handler) {
		_, server := tcpPair(t)
		l.Attach(server, open)
	}
	var conn, other *Conn
	changed := make(chan bool, 1)
	attach(func(c *Conn) Handler { other = c; return &echo{conn: c, closed: make(chan error, 1)} })
	attach(func(c *Conn) Handler {
		conn = c
		return &closer{&echo{conn: c, closed: make(chan error, 1)}, other, changed}
	})
	l.Do(func() {})
	l.Do(func() {
		conn.Pause()
		conn.keep([]byte("kept input"))
		conn.Resume()
	})
	if <-changed {
		t.Error("the input was overwritten while the handler looked at it")
	}
}

// TestMuchInputIsNotCopiedOverAndOver has a handler wait for the end of 8 MiB: what is
// allocated meanwhile is a small multiple of that.
func TestMuchInputIsNotCopiedOverAndOver(t *testing.T) {
	const size = 8 << 20
	for name, pair := range transports {
		t.Run(name, func(t *testing.T) {
			client, server := pair(t)
			attachEcho(startLoop(t), server)
			want := bytes.Repeat([]byte("a"), size)
			want[size-1] = '\n'
			got := make([]byte, size)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			go func() { _, _ = client.Write(want) }()
			if _, err := io.ReadFull(client, got); err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&after)
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 8*size {
				t.Errorf("%d MiB allocated for %d MiB of input", allocated>>20, size>>20)
			}
		})
	}
}

// hanger consumes nothing, pauses, and hears that its peer has hung up.
type hanger struct {
	echo
	hungUp chan struct{}
}

func (h *hanger) Data([]byte) int { h.conn.Pause(); return 0 }
func (h *hanger) HungUp()         { close(h.hungUp) }

func TestPausedHandlerHearsThatItsPeerHasHungUp(t *testing.T) {
	for name, pair := range transports {
		t.Run(name, func(t *testing.T) {
			client, server := pair(t)
			h := &hanger{echo: echo{closed: make(chan error, 1)}, hungUp: make(chan struct{})}
			startLoop(t).Attach(server, func(c *Conn) Handler { h.conn = c; return h })
			if _, err := client.Write([]byte("not consumed")); err != nil {
				t.Fatal(err)
			}
			client.Close()
			select {
			case <-h.hungUp:
			case <-time.After(testbed.Patience):
				t.Error("it does not")
			}
		})
	}
}

// stepper answers one line, pauses, and goes on from another goroutine's post.
type stepper struct{ echo }

func (s *stepper) Data(b []byte) int {
	end := bytes.IndexByte(b, '\n') + 1
	if len(b) == 0 {
		s.conn.CloseAfterFlush()
		return 0
	}
	s.conn.Write(b[:end])
	s.conn.Pause()
	go s.conn.loop.Post(s.conn.Resume)
	return end
}

func TestKeptInputComesBeforeItsEnd(t *testing.T) {
	const want = "first\nsecond\nthird\n"
	l := startLoop(t)
	for name, pair := range transports {
		t.Run(name, func(t *testing.T) {
			for range 300 {
				client, server := pair(t)
				h := &stepper{echo{closed: make(chan error, 1)}}
				l.Attach(server, func(c *Conn) Handler { h.conn = c; return h })
				go func() {
					_, _ = io.WriteString(client, want)
					if half, ok := client.(interface{ CloseWrite() error }); ok {
						_ = half.CloseWrite()
					}
				}()
				got := make([]byte, len(want))
				if n, err := io.ReadFull(client, got); err != nil {
					t.Fatalf("got %q, %v, want %q", got[:n], err, want)
				}
				client.Close()
			}
		})
	}
}
