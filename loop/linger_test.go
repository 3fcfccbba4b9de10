package loop

import (
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"
)

// mourner tells when its connection is closed, and when its descriptor is.
type mourner struct {
	*echo
	released chan struct{}
}

func (m mourner) Released() { close(m.released) }

// dropped closes its connection with an error after the first bytes, leaving more unread.
type dropped struct{ mourner }

func (d dropped) Data(b []byte) int {
	d.conn.Write([]byte("bye\n"))
	d.conn.loop.flush()
	d.conn.Close(io.ErrNoProgress)
	return len(b)
}

// TestDroppedConnectionLingers: what a peer was sent reaches it though it has more to say,
// and its descriptor is kept until it has closed its side.
func TestDroppedConnectionLingers(t *testing.T) {
	client, server := tcpPair(t)
	l := startLoop(t)
	if _, err := client.Write(make([]byte, 300<<10)); err != nil {
		t.Fatal(err)
	}
	m := mourner{&echo{closed: make(chan error, 1)}, make(chan struct{})}
	l.Attach(server, func(c *Conn) Handler { m.conn = c; return dropped{m} })
	if err := <-m.closed; !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("closed with %v, want %v", err, io.ErrNoProgress)
	}
	if got, err := io.ReadAll(client); err != nil || string(got) != "bye\n" {
		t.Errorf("got %q, %v; want the farewell and the end, not a reset", got, err)
	}
	client.Close()
	<-m.released
}

// TestStoppedLoopLingers: a reply reaches a peer that goes on sending while the loop stops.
func TestStoppedLoopLingers(t *testing.T) {
	client, server := tcpPair(t)
	l, err := New(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { l.Run(); close(done) }()
	attachEcho(l, server)
	if _, err := client.Write([]byte("last words\n")); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, len("last words\n"))
	if _, err := io.ReadFull(client, reply); err != nil {
		t.Fatal(err)
	}
	l.Stop()
	if n, err := client.Read(reply); !errors.Is(err, io.EOF) {
		t.Errorf("got %q, %v; want the end", reply[:n], err)
	}
	if _, err := client.Write([]byte("too late\n")); err != nil {
		t.Errorf("what is sent while it stops: %v", err)
	}
	if n, err := client.Read(reply); !errors.Is(err, io.EOF) {
		t.Errorf("got %q, %v; want the end, not a reset", reply[:n], err)
	}
	client.Close()
	<-done
}

// TestPeerThatTakesNothingOfItsLastReplies: it is not waited for without end.
func TestPeerThatTakesNothingOfItsLastReplies(t *testing.T) {
	client, server := tcpPair(t)
	l := startLoop(t)
	m := mourner{&echo{closed: make(chan error, 1)}, make(chan struct{})}
	ready := make(chan struct{})
	l.Attach(server, func(c *Conn) Handler { m.conn = c; close(ready); return m })
	<-ready
	l.Do(func() {
		m.conn.Write(make([]byte, 64<<20))
		m.conn.CloseAfterFlush()
	})
	pass := func() { l.Do(func() { m.conn.patience.at = l.now }) }
	if _, err := io.CopyN(io.Discard, client, 32<<20); err != nil {
		t.Fatal(err)
	}
	pass()
	l.Do(func() {
		if m.conn.state != draining {
			t.Error("it is closed though its peer took something")
		}
	})
	for len(m.closed) == 0 { // until the kernel takes no more
		pass()
		<-time.After(time.Millisecond)
	}
	if err := <-m.closed; !errors.Is(err, ErrStalled) {
		t.Errorf("closed with %v, want %v", err, ErrStalled)
	}
	client.Close()
	<-m.released
}

// TestArrived counts what is kept and what is in the socket.
func TestArrived(t *testing.T) {
	client, server := tcpPair(t)
	l := startLoop(t)
	e := &echo{closed: make(chan error, 1)}
	ready := make(chan struct{})
	l.Attach(server, func(c *Conn) Handler { e.conn = c; close(ready); return e })
	<-ready
	arrived := func() (n int) { l.Do(func() { n = e.conn.Arrived() }); return n }
	if got := arrived(); got != 0 {
		t.Errorf("%d bytes at first, want 0", got)
	}
	for i, text := range []string{"kept", "paused"} {
		if i == 1 {
			l.Do(func() { e.conn.Pause() })
		}
		if _, err := client.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		want := []int{4, 10}[i]
		for end := time.Now().Add(5 * time.Second); arrived() != want; {
			if time.Now().After(end) {
				t.Fatalf("%d bytes have arrived, want %d", arrived(), want)
			}
			<-time.After(time.Millisecond)
		}
	}
}

// TestLingersForWhatIsNotAcknowledged: a peer that goes on sending, and reads for longer
// than connections linger otherwise, gets everything.
func TestLingersForWhatIsNotAcknowledged(t *testing.T) {
	client, server := tcpPair(t)
	l := startLoop(t)
	m := mourner{&echo{closed: make(chan error, 1)}, make(chan struct{})}
	ready := make(chan struct{})
	l.Attach(server, func(c *Conn) Handler { m.conn = c; close(ready); return m })
	<-ready
	var lines []byte
	for len(lines) < 1<<20 {
		lines = append(lines, "a line that is not read at once\n"...)
	}
	l.Do(func() {
		m.conn.Write(lines)
		m.conn.CloseAfterFlush()
	})
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = client.Write([]byte("more\n"))
			}
		}
	}()
	if err := <-m.closed; err != nil {
		t.Error(err)
	}
	var got int
	for part := make([]byte, 1<<18); ; {
		// The time that the connection lingers passes between two looks of its peer.
		l.Do(func() {
			if m.conn.state == lingering {
				m.conn.patience.at = l.now
			}
		})
		n, err := io.ReadFull(client, part)
		if got += n; err != nil {
			break
		}
	}
	if got != len(lines) {
		t.Errorf("got %d bytes, want %d", got, len(lines))
	}
	close(stop)
	<-done
	client.Close()
	<-m.released
}
